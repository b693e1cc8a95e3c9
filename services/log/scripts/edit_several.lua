-- Replaces the body of an update of several groups, all but its targets: what is decided about them meanwhile
-- stays. Whether its author may post in one of the groups was asked before: they are in other slots.
--
-- KEYS: log, update
-- ARGV: shard, actor, expected revision, body, record
-- Answers {'OK', position, replayed}, NO_UPDATE, NOT_AUTHOR, REVISION. An edit that is in force already yields
-- the log's last position, replayed.

local update = KEYS[2]
local actor, expected_revision, body, record = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

return guarded(function()
  read_log()
  local stored = at('GET', update)
  if not stored or stored == '' then
    return {'NO_UPDATE'}
  end
  local first, behind = targets_of(stored, update)
  if string.sub(stored, 9, first - 1) ~= actor then
    return {'NOT_AUTHOR'}
  end
  local new_first, new_behind = targets_of(body, update)
  body = string.sub(body, 1, new_first - 1) .. string.sub(stored, first, behind - 1) ..
         string.sub(body, new_behind)
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
