-- Changes fields of a group.
--
-- KEYS: log, group, members
-- ARGV: shard, actor, record, then field and value of each change (services/log/group_hash.h)
-- Answers {'OK', position, replayed, the group's fields as they are then (in the order of group_hash.h)},
-- NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW.

local ROLE_OWNER = 4
local group, members = KEYS[2], KEYS[3]
local actor, record = ARGV[2], ARGV[3]

local function fields()
  return at('HMGET', group, 's', 'n', 'd', 'h', 'a', 'm', 'o', 'f', 'c', 'x', 'p', 'b', 'j', 'l', 'z')
end

return guarded(function()
  read_log()
  if at('HGET', group, 's') ~= '1' then
    return {'NO_GROUP'}
  end
  local role = role_of(at('HGET', members, actor), members)
  if role == 0 then
    return {'NOT_MEMBER'}
  elseif role < ROLE_OWNER then
    return {'ROLE_TOO_LOW'}
  end
  if #ARGV == 3 then
    return {'OK', last_position(), 1, fields()}
  end

  local position = append(record)
  at('HSET', group, unpack(ARGV, 4))
  return {'OK', position, 0, fields()}
end)
