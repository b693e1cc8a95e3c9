-- Publishes updates, each on its own.
--
-- KEYS: log, then per update: once, group, members, feed
-- ARGV: shard, body retention ms, once retention ms, prefix of update keys, then per update: actor,
--       digest, body, record, refusal: '', or what to answer unless the update was published before
-- Answers per update: {'OK', position, replayed, audience}, the refusal, NO_GROUP, NOT_MEMBER, ROLE_TOO_LOW,
-- CLOSED, KEY_REUSED.

local body_retention_ms, once_retention_ms, update_prefix = ARGV[2], ARGV[3], ARGV[4]

-- Slots of a feed that has taken `count` updates: it is made whole in steps, since appending would double
-- its memory.
local function slots_for(count)
  if count < 40 then
    return 40
  elseif count < 110 then
    return 110
  elseif count < 220 then
    return 220
  elseif count < 440 then
    return 440
  end
  return 880
end

local function publish(first_key, first_argument)
  local once, group = KEYS[first_key], KEYS[first_key + 1]
  local members, feed = KEYS[first_key + 2], KEYS[first_key + 3]
  local actor, digest = ARGV[first_argument], ARGV[first_argument + 1]
  local body, record = ARGV[first_argument + 2], ARGV[first_argument + 3]
  local refusal = ARGV[first_argument + 4]

  local earlier = used(once, digest)
  if earlier then
    earlier[4] = 0
    return earlier
  end
  if refusal ~= '' then
    return {refusal}
  end
  local facts = at('HMGET', group, 's', 'a', 'f', 'p', 'z')
  if facts[1] ~= '1' then
    return {'NO_GROUP'}
  end
  local role = role_of(at('HGET', members, actor), members)
  if role == 0 then
    return {'NOT_MEMBER'}
  elseif role < lowest_role(facts[4], group) then
    return {'ROLE_TOO_LOW'}
  elseif facts[5] == '1' then
    return {'CLOSED'}
  end
  local audience = string.byte(body, 2)
  if audience == 0 then
    audience = tonumber(facts[2])
    if audience ~= 1 and audience ~= 2 then
      corrupt(group, 'holds no audience')
    end
    body = string.sub(body, 1, 1) .. string.char(audience) .. string.sub(body, 3)
  end
  local count = count_of(facts[3], group)
  local feed_bytes = slots_for(count) * 8
  local slot_offset = (count * 8) % feed_bytes
  local grown
  if at('STRLEN', feed) ~= feed_bytes then
    grown = string.sub(at('GET', feed) or '', 1, feed_bytes)
    grown = grown .. string.rep('\0', feed_bytes - #grown)
  end

  local position = append_unread(record)
  if grown then
    at('SET', feed, string.sub(grown, 1, slot_offset) .. position .. string.sub(grown, slot_offset + 9))
  else
    at('SETRANGE', feed, slot_offset, position)
  end
  at('HSET', group, 'f', count + 1)
  at('SET', update_prefix .. hex(last_ms, last_sequence), body, 'PX', body_retention_ms)
  at('SET', once, position .. digest, 'PX', once_retention_ms)
  return {'OK', position, 0, audience}
end

local results = {}
for i = 1, (#KEYS - 1) / 4 do
  results[i] = guarded(publish, 4 * i - 2, 5 * i)
end
return results
