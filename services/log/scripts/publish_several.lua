-- Accepts a post to several groups, in the slot of its author's home shard. Nobody sees it before carry.lua
-- has brought it to a group.
--
-- KEYS: log, once, pending
-- ARGV: shard, body retention ms, once retention ms, prefix of update keys, digest, body, record,
--       request id, refusal: '', or what to answer unless the update was published before; when it expires:
--       ms since 2024, or ''
-- Answers {'OK', position, replayed, body: what is stored of an earlier one, '' if that is gone}, the refusal,
-- KEY_REUSED.

local once, pending = KEYS[2], KEYS[3]
local body_retention_ms, once_retention_ms, update_prefix = ARGV[2], ARGV[3], ARGV[4]
local digest, body, record, request_id, refusal = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local expires = ARGV[10]

return guarded(function()
  local earlier = used(once, digest)
  if earlier then
    if earlier[1] == 'OK' then
      earlier[4] = at('GET', update_prefix .. hex_of(earlier[2])) or ''
    end
    return earlier
  end
  if refusal ~= '' then
    return {refusal}
  end
  at('ZCARD', pending)

  local position = append_unread(record)
  local id = hex(last_ms, last_sequence)
  at('SET', update_prefix .. id, body, 'PX', kept_ms(body_retention_ms, expires))
  at('SET', once, position .. digest, 'PX', once_retention_ms)
  at('ZADD', pending, now_ms, id .. request_id)
  return {'OK', position, 0, ''}
end)
