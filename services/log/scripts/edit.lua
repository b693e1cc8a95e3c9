-- Replaces an update's body.
--
-- KEYS: log, update, members, group's hash
-- ARGV: shard, actor, group, expected revision, body, record
-- Answers {'OK', position, replayed}, NO_UPDATE, NOT_AUTHOR, NOT_MEMBER, ROLE_TOO_LOW, CLOSED, REVISION. An edit that
-- is in force already yields the log's last position, replayed.

local update, members, group_hash = KEYS[2], KEYS[3], KEYS[4]
local actor, group, expected_revision = ARGV[2], ARGV[3], tonumber(ARGV[4])
local body, record = ARGV[5], ARGV[6]

return guarded(function()
  read_log()
  local stored = at('GET', update)
  if not stored or stored == '' then
    return {'NO_UPDATE'}
  end
  if #stored < 8 or string.byte(stored, 1) ~= 1 then
    corrupt(update, 'holds no body')
  end
  local group_offset = 9 + string.byte(stored, 7)
  if string.sub(stored, 9, group_offset - 1) ~= actor then
    return {'NOT_AUTHOR'}
  end
  if string.sub(stored, group_offset, group_offset + string.byte(stored, 8) - 1) ~= group then
    corrupt(update, 'is not in that group')
  end
  local role = role_of(at('HGET', members, actor), members)
  local facts = at('HMGET', group_hash, 'p', 'z')
  if role == 0 then
    return {'NOT_MEMBER'}
  elseif role < lowest_role(facts[1], group_hash) then
    return {'ROLE_TOO_LOW'}
  elseif facts[2] == '1' then
    return {'CLOSED'}
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
