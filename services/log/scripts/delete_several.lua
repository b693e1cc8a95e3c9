-- Deletes the body of an update of several groups, by its author. Its id stays in feeds and timelines.
--
-- KEYS: log, update
-- ARGV: shard, author, record
-- Answers {'OK', position, replayed}, NOT_AUTHOR. What is gone already yields the log's last position.

local update, author, record = KEYS[2], ARGV[2], ARGV[3]

return guarded(function()
  read_log()
  local body = at('GET', update)
  if not body or body == '' then
    return {'OK', last_position(), 1}
  end
  local first = targets_of(body, update)
  if string.sub(body, 9, first - 1) ~= author then
    return {'NOT_AUTHOR'}
  end

  allow_without_memory()
  local position = append(record)
  delete_body(update)
  return {'OK', position, 0}
end)
