-- Removes persons from a group; who is no member is passed over.
--
-- KEYS: log, once, group, members
-- ARGV: shard, once retention ms, digest, actor, record up to its event, number of persons, the persons,
--       then for each the encoded MembersChanged.left
-- Answers {'OK', position, replayed, changed and unchanged (packed)}, NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW,
-- ROLE_NOT_BELOW, LAST_OWNER, KEY_REUSED. If nobody changed, nothing is appended: the position is the log's
-- last; and the outcome is kept only if there is memory for it and the actor is a member, so that strangers
-- write nothing.

local ROLE_MODERATOR, ROLE_OWNER = 3, 4
local TAG_MEMBERS_CHANGED = 58
local once, group, members = KEYS[2], KEYS[3], KEYS[4]
local once_retention_ms, digest, actor, record = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local persons = tonumber(ARGV[6])

return guarded(function()
  read_log()
  local earlier = used(once, digest)
  if earlier then
    return earlier
  end
  local facts = at('HMGET', group, 's', 'm', 'o')
  if facts[1] ~= '1' then
    return {'NO_GROUP'}
  end
  local only_oneself = persons == 1 and ARGV[7] == actor
  local actor_role = role_of(at('HGET', members, actor), members)
  if not only_oneself then
    if actor_role == 0 then
      return {'NOT_MEMBER'}
    elseif actor_role < ROLE_MODERATOR then
      return {'ROLE_TOO_LOW'}
    end
  end
  local stays = at('HMGET', members, unpack(ARGV, 7, 6 + persons))
  local leaving, pieces, owners, seen = {}, {}, 0, {}
  for i = 1, persons do
    local person, role = ARGV[6 + i], role_of(stays[i], members)
    if role > 0 and not seen[person] then
      if role >= actor_role and actor_role ~= ROLE_OWNER and not only_oneself then
        return {'ROLE_NOT_BELOW'}
      end
      seen[person] = true
      leaving[#leaving + 1] = person
      pieces[#pieces + 1] = ARGV[6 + persons + i]
      if role == ROLE_OWNER then
        owners = owners + 1
      end
    end
  end
  local member_count = count_of(facts[2], group) - #leaving
  local owner_count = count_of(facts[3], group) - owners
  if owners > 0 and owner_count < 1 then
    return {'LAST_OWNER'}
  end

  local counts = struct.pack('<I4I4', #leaving, persons - #leaving)
  if #leaving == 0 then
    local position = last_position()
    if actor_role > 0 then
      touched = once
      local kept = redis.pcall('SET', once, position .. digest .. counts, 'PX', once_retention_ms)
      if kept.err and string.sub(kept.err, 1, 3) ~= 'OOM' then
        error(kept)
      end
    end
    return {'OK', position, 0, counts}
  end

  allow_without_memory()
  local position = append(record .. delimited(TAG_MEMBERS_CHANGED, table.concat(pieces)))
  at('HDEL', members, unpack(leaving))
  at('HSET', group, 'm', member_count, 'o', owner_count)
  at('SET', once, position .. digest .. counts, 'PX', once_retention_ms)
  return {'OK', position, 0, counts}
end)
