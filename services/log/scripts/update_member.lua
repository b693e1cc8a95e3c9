-- Changes a member's role; the stay goes on.
--
-- KEYS: log, group, members
-- ARGV: shard, actor, person, role, record
-- Answers {'OK', position, replayed, the person's stay as it is then}, NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW,
-- NO_MEMBER, LAST_OWNER. A role that the person has already yields the log's last position, replayed.

local ROLE_OWNER = 4
local group, members = KEYS[2], KEYS[3]
local actor, person, role, record = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

return guarded(function()
  read_log()
  local facts = at('HMGET', group, 's', 'o')
  if facts[1] ~= '1' then
    return {'NO_GROUP'}
  end
  local stays = at('HMGET', members, actor, person)
  local actor_role, old_role = role_of(stays[1], members), role_of(stays[2], members)
  if actor_role == 0 then
    return {'NOT_MEMBER'}
  elseif actor_role < ROLE_OWNER then
    return {'ROLE_TOO_LOW'}
  elseif old_role == 0 then
    return {'NO_MEMBER'}
  elseif old_role == role then
    return {'OK', last_position(), 1, stays[2]}
  end
  local owner_count = count_of(facts[2], group)
  if old_role == ROLE_OWNER then
    owner_count = owner_count - 1
    if owner_count < 1 then
      return {'LAST_OWNER'}
    end
  elseif role == ROLE_OWNER then
    owner_count = owner_count + 1
  end

  allow_without_memory()
  local position = append(record)
  local stay = string.char(role) .. string.sub(stays[2], 2)
  at('HSET', members, person, stay)
  at('HSET', group, 'o', owner_count)
  return {'OK', position, 0, stay}
end)
