-- Keeps a group's past no further back than to a position.
--
-- KEYS: log, group, kept
-- ARGV: shard, group, position (8 bytes), record
-- Answers {'OK', position, replayed}, NO_GROUP. If it is kept no further back already: the log's last position,
-- replayed.

local group, kept = KEYS[2], KEYS[3]
local id, since, record = ARGV[2], ARGV[3], ARGV[4]

local function is_later(a, b)
  local a_low, a_high = struct.unpack('<I4I4', a)
  local b_low, b_high = struct.unpack('<I4I4', b)
  return a_high > b_high or (a_high == b_high and a_low > b_low)
end

return guarded(function()
  read_log()
  if at('HGET', group, 's') ~= '1' then
    return {'NO_GROUP'}
  end
  local before = at('HGET', kept, id)
  if before and #before ~= 8 then
    corrupt(kept, 'holds no position')
  end
  if before and not is_later(since, before) then
    return {'OK', last_position(), 1}
  end

  allow_without_memory()
  local position = append(record)
  at('HSET', kept, id, since)
  return {'OK', position, 0}
end)
