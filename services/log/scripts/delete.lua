-- Deletes an update's body. Its id stays in feeds and timelines, where an id without a body is nothing.
--
-- KEYS: log, update, members
-- ARGV: shard, actor, author, group, record
-- Answers {'OK', position, replayed}, ROLE_TOO_LOW. What is gone already yields the log's last position.

local ROLE_MODERATOR = 3
local update, members = KEYS[2], KEYS[3]
local actor, author, group, record = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

return guarded(function()
  read_log()
  -- The header, as far as ids of 128 bytes can take it.
  local header = at('GETRANGE', update, 0, 8 + 128 + 128 - 1)
  if header == '' then
    return {'OK', last_position(), 1}
  end
  local author_bytes = string.byte(header, 7) or 0
  local named = string.sub(header, 9, 8 + author_bytes + (string.byte(header, 8) or 0))
  if string.byte(header, 1) ~= 1 or author_bytes ~= #author or named ~= author .. group then
    corrupt(update, 'is not by that author in that group')
  end
  if actor ~= author and role_of(at('HGET', members, actor), members) < ROLE_MODERATOR then
    return {'ROLE_TOO_LOW'}
  end

  allow_without_memory()
  local position = append(record)
  delete_body(update)
  return {'OK', position, 0}
end)
