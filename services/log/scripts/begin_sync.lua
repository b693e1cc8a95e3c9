-- Begins to make a group's members those of a list: from now on older lists, and earlier calls with the same
-- one, change nothing any more (sync_members.lua).
--
-- KEYS: log, group
-- ARGV: shard, the list's version (20 digits), its digest (16 bytes), what tells this call from others (8 bytes)
-- Answers {'OK', the log's last position, 0}, NO_GROUP, STALE_VERSION, VERSION_REUSED.

local group = KEYS[2]
local version, digest, claim = ARGV[2], ARGV[3], ARGV[4]

return guarded(function()
  read_log()
  local facts = at('HMGET', group, 's', 'v', 'w')
  if facts[1] ~= '1' then
    return {'NO_GROUP'}
  end
  local stored = facts[2]
  if stored then
    if #stored ~= #version or #(facts[3] or '') ~= #digest + #claim then
      corrupt(group, 'holds no version of a list of members')
    end
    if stored > version then
      return {'STALE_VERSION'}
    elseif stored == version and string.sub(facts[3], 1, #digest) ~= digest then
      return {'VERSION_REUSED'}
    end
  end

  -- A list may do nothing but take away.
  allow_without_memory()
  at('HSET', group, 'v', version, 'w', digest .. claim)
  return {'OK', last_position(), 0}
end)
