-- Deletes a group's members and feed. Its hash stays, so that the id is never given out again; bodies
-- expire by themselves, since nobody is a member who could see them.
--
-- KEYS: log, group, members, feed, groups, kept
-- ARGV: shard, actor, group, record
-- Answers {'OK', position, replayed}, NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW.

local ROLE_OWNER = 4
local group, members, feed, groups, kept = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local actor, id, record = ARGV[2], ARGV[3], ARGV[4]

return guarded(function()
  read_log()
  local facts = at('HMGET', group, 's', 'x')
  if facts[1] == '2' then
    if #(facts[2] or '') ~= 8 then
      corrupt(group, 'holds no position of its deletion')
    end
    return {'OK', facts[2], 1}
  elseif facts[1] ~= '1' then
    return {'NO_GROUP'}
  end
  local role = role_of(at('HGET', members, actor), members)
  if role == 0 then
    return {'NOT_MEMBER'}
  elseif role < ROLE_OWNER then
    return {'ROLE_TOO_LOW'}
  end
  at('STRLEN', feed)
  at('SISMEMBER', groups, id)
  at('HEXISTS', kept, id)

  allow_without_memory()
  local position = append(record)
  at('HSET', group, 's', '2', 'x', position, 'm', '0', 'o', '0')
  at('UNLINK', members)
  at('UNLINK', feed)
  at('SREM', groups, id)
  at('HDEL', kept, id)
  return {'OK', position, 0}
end)
