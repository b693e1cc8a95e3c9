-- Changes fields of a group.
--
-- KEYS: log, group, members, kept
-- ARGV: shard, actor, group, record, then field and value of each change (services/log/group_hash.h)
-- Answers {'OK', position, replayed, the group's fields as they are then (in the order of group_hash.h)},
-- NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW.

local ROLE_OWNER = 4
local RETENTION = {e = true, q = true, y = true}
local group, members, kept = KEYS[2], KEYS[3], KEYS[4]
local actor, id, record = ARGV[2], ARGV[3], ARGV[4]

local function bounds_the_past()
  for i = 5, #ARGV, 2 do
    if RETENTION[ARGV[i]] and ARGV[i + 1] ~= '0' then
      return true
    end
  end
  return false
end

local function fields()
  return at('HMGET', group, 's', 'n', 'd', 'h', 'a', 'm', 'o', 'f', 'c', 'x', 'p', 'b', 'j', 'l', 'z', 'e',
            'q', 'y', 'u')
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
  if #ARGV == 4 then
    return {'OK', last_position(), 1, fields()}
  end

  at('HEXISTS', kept, id)

  local position = append(record)
  at('HSET', group, unpack(ARGV, 5))
  if bounds_the_past() then
    note_bounded(kept, id)
  end
  return {'OK', position, 0, fields()}
end)
