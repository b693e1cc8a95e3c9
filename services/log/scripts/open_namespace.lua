-- Writes the facts of a namespace if there are none, and reads what is there.
--
-- KEYS: namespace
-- ARGV: field and value of each fact
-- Answers the stored values in the order of the arguments. A fact that is missing beside others stays
-- missing.

local facts = KEYS[1]
if redis.call('EXISTS', facts) == 0 then
  redis.call('HSET', facts, unpack(ARGV))
end
local values = {}
for i = 1, #ARGV, 2 do
  values[#values + 1] = redis.call('HGET', facts, ARGV[i])
end
return values
