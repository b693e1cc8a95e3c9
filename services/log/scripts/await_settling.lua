-- Notes that an update's groups are to be looked at again, in case that who is about to change them doesn't
-- come to settle it.
--
-- KEYS: log, pending
-- ARGV: shard, 16 hexadecimal digits of the update's id, ms that the caller may take for it
-- Answers {'OK'}.

return guarded(function()
  read_clock()
  at('ZCARD', KEYS[2])
  allow_without_memory()
  at('ZADD', KEYS[2], now_ms + tonumber(ARGV[3]), ARGV[2])
  return {'OK'}
end)
