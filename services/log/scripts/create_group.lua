-- Makes a group whose one member is the actor, as owner.
--
-- KEYS: log, once, group, members, feed, groups, kept
-- ARGV: shard, once retention ms, digest, actor, group, record, name, description, history, audience,
--       post role, add role, joining, history count, closed, retention: age, count, bytes
-- Answers {'OK', position, replayed}, GROUP_EXISTS, KEY_REUSED.

local ROLE_OWNER = 4
local once, group, members, feed, groups, kept = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local once_retention_ms, digest, actor, id, record = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

return guarded(function()
  read_log()
  local earlier = used(once, digest)
  if earlier then
    return earlier
  end
  if at('HLEN', group) > 0 then
    return {'GROUP_EXISTS'}
  end
  if at('HLEN', members) > 0 then
    corrupt(members, 'holds members of a group that was never made')
  end
  if at('STRLEN', feed) > 0 then
    corrupt(feed, 'holds the feed of a group that was never made')
  end
  at('SISMEMBER', groups, id)
  at('HEXISTS', kept, id)

  local position = append(record)
  at('HSET', group, 's', '1', 'n', ARGV[7], 'd', ARGV[8], 'h', ARGV[9], 'a', ARGV[10], 'm', '1', 'o', '1',
     'f', '0', 'c', position, 'p', ARGV[11], 'b', ARGV[12], 'j', ARGV[13], 'l', ARGV[14], 'z', ARGV[15],
     'e', ARGV[16], 'q', ARGV[17], 'y', ARGV[18])
  at('HSET', members, actor, string.char(ROLE_OWNER) .. position .. position)
  at('SADD', groups, id)
  if ARGV[16] ~= '0' or ARGV[17] ~= '0' or ARGV[18] ~= '0' then
    note_bounded(kept, id)
  end
  at('SET', once, position .. digest, 'PX', once_retention_ms)
  return {'OK', position, 0}
end)
