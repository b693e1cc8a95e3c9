-- Takes on some posts to several groups that have waited for too long to be decided, the longest first. They
-- go to the end of the queue, so that one that can't be finished keeps no other waiting, and so that two who
-- ask don't get the same.
--
-- What was noted for a time that nobody notes for any more was so before the clock went back: it begins to wait
-- anew, as if it had been noted now for as far ahead as that may be.
--
-- KEYS: log, pending
-- ARGV: shard, age ms, count, ms that something is noted ahead at most
-- Answers the members of pending: 16 hexadecimal digits of the update's id, then the request id.

local pending, age_ms, count, ahead_ms = KEYS[2], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

return guarded(function()
  read_clock()
  local waiting = at('ZRANGEBYSCORE', pending, '-inf', now_ms - age_ms, 'LIMIT', 0, count)
  local beyond = at('ZRANGEBYSCORE', pending, string.format('(%d', now_ms + ahead_ms), '+inf', 'LIMIT', 0, count)
  if #waiting > 0 or #beyond > 0 then
    allow_without_memory()
    for _, member in ipairs(waiting) do
      at('ZADD', pending, now_ms, member)
    end
    for _, member in ipairs(beyond) do
      at('ZADD', pending, now_ms + ahead_ms, member)
    end
  end
  return {'OK', waiting}
end)
