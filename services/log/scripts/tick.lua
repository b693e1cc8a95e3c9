-- Appends a tick.
--
-- KEYS: log
-- ARGV: shard, record
-- Answers {'OK', position, replayed}.

return guarded(function()
  return {'OK', append_unread(ARGV[2]), 0}
end)
