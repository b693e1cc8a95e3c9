-- Decides how a group's updates reach its members by how many there are: copied to each, or read from the
-- group's feed. A switch is a record, so that everybody makes it at the same place.
--
-- KEYS: log, group, pulled
-- ARGV: shard, group, pull above so many members (0: never), copy again below so many, record of the switch
--       to reading, record of the switch back
-- Answers {'OK', position, replayed, {delivery}}; delivery as in services/model/delivery.h. If nothing is to
-- be switched, nothing is appended: the position is the log's last.
--
-- `pulled` has an entry as long as the feed may hold updates that were not copied: the mode ('1' read, '2'
-- copied again), the position of the last switch, and how many updates the feed had taken by then.

local COPIED, PULLED, COPIED_AGAIN = 0, 1, 2
local FEED_SLOTS_MAX = 880
local group, pulled = KEYS[2], KEYS[3]
local id, above, least = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local record_of_pull, record_of_copy = ARGV[5], ARGV[6]

-- Mode and the feed's count of an entry.
local function entry_of(entry)
  if not entry then
    return COPIED, 0
  end
  local mode, count = tonumber(string.sub(entry, 1, 1)), tonumber(string.sub(entry, 10))
  if (mode ~= PULLED and mode ~= COPIED_AGAIN) or not count then
    corrupt(pulled, 'holds no delivery')
  end
  return mode, count
end

return guarded(function()
  read_log()
  local facts = at('HMGET', group, 's', 'm', 'f')
  local mode, count = entry_of(at('HGET', pulled, id))
  if facts[1] ~= '1' then
    at('HDEL', pulled, id)
    return {'OK', last_position(), 1, {COPIED}}
  end
  local members, updates = count_of(facts[2], group), count_of(facts[3], group)
  local switched
  if mode ~= PULLED and above > 0 and members > above then
    switched = PULLED
  elseif mode == PULLED and (above == 0 or members < least) then
    switched = COPIED_AGAIN
  end
  if switched then
    local position = append(switched == PULLED and record_of_pull or record_of_copy)
    at('HSET', group, 'u', switched == PULLED and '1' or '0')
    at('HSET', pulled, id, switched .. position .. updates)
    return {'OK', position, 0, {switched}}
  end
  -- Every slot of the feed has been written again since: nothing that was not copied is left there.
  if mode == COPIED_AGAIN and updates - count >= FEED_SLOTS_MAX then
    at('HDEL', pulled, id)
    mode = COPIED
  end
  return {'OK', last_position(), 1, {mode}}
end)
