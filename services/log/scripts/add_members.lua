-- Adds persons to a group; who is a member already stays as they are. Where joining is open, everybody may
-- add themselves alone.
--
-- KEYS: log, once, group, members, feed
-- ARGV: shard, once retention ms, digest, actor, record up to its event, the persons' roles (a byte each),
--       then the persons, then for each the encoded MembersChanged.joined, then the prefix of the group's carries
-- Answers {'OK', position, replayed, changed and unchanged (packed)}, NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW,
-- ROLE_TOO_HIGH, CLOSED, KEY_REUSED. If nobody changed, nothing is appended: the position is the log's last.

local ROLE_MEMBER, ROLE_OWNER = 2, 4
local JOINING_OPEN = '2'
local once, group, members, feed = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local once_retention_ms, digest, actor, record, roles = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local persons = #roles
local carry_prefix = ARGV[7 + 2 * persons]

-- The highest role that may be given by one who may add: owners give any, moderators and members up to member.
local function highest_to_give(actor_role)
  return actor_role == ROLE_OWNER and ROLE_OWNER or ROLE_MEMBER
end

return guarded(function()
  read_log()
  local earlier = used(once, digest)
  if earlier then
    return earlier
  end
  local facts = at('HMGET', group, 's', 'h', 'm', 'o', 'b', 'j', 'l', 'f', 'z')
  if facts[1] ~= '1' then
    return {'NO_GROUP'}
  end
  local updates = count_of(facts[8], group)
  local actor_role = role_of(at('HGET', members, actor), members)
  local adds_others = actor_role >= lowest_role(facts[5], group)
  local joins = facts[6] == JOINING_OPEN and persons == 1 and ARGV[7] == actor
  if not adds_others and not joins then
    return {actor_role == 0 and 'NOT_MEMBER' or 'ROLE_TOO_LOW'}
  end
  if facts[9] == '1' then
    return {'CLOSED'}
  end
  local highest = adds_others and highest_to_give(actor_role) or ROLE_MEMBER
  local stays = at('HMGET', members, unpack(ARGV, 7, 6 + persons))
  local joining, pieces, owners, seen = {}, {}, 0, {}
  for i = 1, persons do
    local person, role = ARGV[6 + i], string.byte(roles, i)
    if role > highest then
      return {'ROLE_TOO_HIGH'}
    end
    if not stays[i] and not seen[person] then
      seen[person] = true
      joining[#joining + 1] = i
      pieces[#pieces + 1] = ARGV[6 + persons + i]
      if role == ROLE_OWNER then
        owners = owners + 1
      end
    end
  end
  local member_count = count_of(facts[3], group) + #joining
  local owner_count = count_of(facts[4], group) + owners

  local position = last_position()
  if #joining > 0 then
    local from = visible_from(feed, carry_prefix, facts[2], count_of(facts[7], group), updates)
    pieces[#pieces + 1] = opening(from, updates)
    position = append(record .. delimited(TAG_MEMBERS_CHANGED, table.concat(pieces)))
    local stay = position .. (from or position)
    local values = {}
    for _, i in ipairs(joining) do
      values[#values + 1] = ARGV[6 + i]
      values[#values + 1] = string.sub(roles, i, i) .. stay
    end
    at('HSET', members, unpack(values))
    at('HSET', group, 'm', member_count, 'o', owner_count)
  end
  local counts = struct.pack('<I4I4', #joining, persons - #joining)
  at('SET', once, position .. digest .. counts, 'PX', once_retention_ms)
  return {'OK', position, 0, counts}
end)
