-- Publishes updates, each on its own.
--
-- KEYS: log, then per update: once, group, members, feed
-- ARGV: shard, body retention ms, once retention ms, prefix of update keys, then per update: actor,
--       digest, body, record, refusal: '', or what to answer unless the update was published before;
--       when it expires: ms since 2024, or ''
-- Answers per update: {'OK', position, replayed, audience}, the refusal, NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW,
-- CLOSED, KEY_REUSED.

local body_retention_ms, once_retention_ms, update_prefix = ARGV[2], ARGV[3], ARGV[4]

local function publish(first_key, first_argument)
  local once, group = KEYS[first_key], KEYS[first_key + 1]
  local members, feed = KEYS[first_key + 2], KEYS[first_key + 3]
  local actor, digest = ARGV[first_argument], ARGV[first_argument + 1]
  local body, record = ARGV[first_argument + 2], ARGV[first_argument + 3]
  local refusal, expires = ARGV[first_argument + 4], ARGV[first_argument + 5]

  local earlier = used(once, digest)
  if earlier then
    earlier[4] = 0
    return earlier
  end
  if refusal ~= '' then
    return {refusal}
  end
  local refused, group_audience, count = look_at_group(group, members, actor)
  if refused then
    return {refused}
  end
  local asked = string.byte(body, 2)
  local audience = resolved(asked, group_audience, group)
  if audience ~= asked then
    body = string.sub(body, 1, 1) .. string.char(audience) .. string.sub(body, 3)
  end
  local place = look_at_feed(feed, count)

  local position = append_unread(record)
  push(place, group, position)
  at('SET', update_prefix .. hex(last_ms, last_sequence), body, 'PX',
     kept_ms(body_retention_ms, expires))
  at('SET', once, position .. digest, 'PX', once_retention_ms)
  return {'OK', position, 0, audience}
end

local results = {}
for i = 1, (#KEYS - 1) / 4 do
  results[i] = guarded(publish, 4 * i - 2, 6 * i - 1)
end
return results
