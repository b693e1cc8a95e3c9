-- Takes an update of several groups out of one of them. It is gone from there once settle.lua has written that
-- into its body.
--
-- KEYS: log, carry, members
-- ARGV: shard, actor, record
-- Answers {'OK', position, replayed}, NOT_MEMBER, ROLE_TOO_LOW, NO_UPDATE: the group doesn't have it. What was
-- taken out already yields the log's last position, replayed.

local ROLE_MODERATOR = 3
local carry, members = KEYS[2], KEYS[3]
local actor, record = ARGV[2], ARGV[3]

return guarded(function()
  read_log()
  local role = role_of(at('HGET', members, actor), members)
  if role == 0 then
    return {'NOT_MEMBER'}
  elseif role < ROLE_MODERATOR then
    return {'ROLE_TOO_LOW'}
  end
  local decided = at('GET', carry)
  local refusal = decided and refusal_of(decided, carry)
  if refusal == 'REMOVED' then
    return {'OK', last_position(), 1}
  elseif refusal or not decided then
    return {'NO_UPDATE'}
  end

  allow_without_memory()
  local position = append(record)
  at('SET', carry, REMOVED, 'KEEPTTL')
  return {'OK', position, 0}
end)
