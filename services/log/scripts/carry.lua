-- Brings a post to several groups to one of them, or refuses it there. What is decided once stays decided:
-- a repetition has the same outcome.
--
-- KEYS: log, carry, group, members, feed
-- ARGV: shard, body retention ms, refusal retention ms, update id (8 bytes), author, audience asked for,
--       record
-- Answers {'OK', position, replayed, audience}; or the refusal: NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW, CLOSED,
-- REMOVED.

local carry, group, members, feed = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local body_retention_ms, refusal_retention_ms, id = ARGV[2], ARGV[3], ARGV[4]
local author, asked, record = ARGV[5], tonumber(ARGV[6]), ARGV[7]

return guarded(function()
  local decided = at('GET', carry)
  if decided then
    local refusal = refusal_of(decided, carry)
    if refusal then
      return {refusal}
    end
    return {'OK', string.sub(decided, 1, 8), 1, string.byte(decided, 9)}
  end
  local refused, group_audience, count = look_at_group(group, members, author)
  if refused then
    at('SET', carry, refused_carry(refused), 'PX', refusal_retention_ms)
    return {refused}
  end
  local audience = resolved(asked, group_audience, group)
  local place = look_at_feed(feed, count)

  local position = append_unread(record)
  push(place, group, id)
  at('SET', carry, position .. string.char(audience), 'PX', body_retention_ms)
  return {'OK', position, 0, audience}
end)
