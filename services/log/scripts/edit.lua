-- Replaces an update's body.
--
-- KEYS: log, update
-- ARGV: shard, actor, expected revision, body, record
-- Answers {'OK', position, replayed}, NO_UPDATE, NOT_AUTHOR, REVISION. An edit that is in force already
-- yields the log's last position, replayed.

local update = KEYS[2]
local actor, expected_revision, body, record = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

return guarded(function()
  read_log()
  local stored = at('GET', update)
  if not stored then
    return {'NO_UPDATE'}
  end
  if #stored < 8 or string.byte(stored, 1) ~= 1 then
    corrupt(update, 'holds no body')
  end
  if string.sub(stored, 9, 8 + string.byte(stored, 7)) ~= actor then
    return {'NOT_AUTHOR'}
  end
  if stored == body then
    return {'OK', last_position(), 1}
  end
  if struct.unpack('<I4', stored, 3) ~= expected_revision then
    return {'REVISION'}
  end

  local position = append(record)
  at('SET', update, body, 'KEEPTTL')
  return {'OK', position, 0}
end)
