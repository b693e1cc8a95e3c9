-- Writes into the body of a post to several groups what became of it in each, and takes it off the pending
-- ones once all is decided. If no group has it, the body is deleted.
--
-- KEYS: log, update, pending, once: if a post that no group took is to be forgotten
-- ARGV: shard, request id, record, then per target its carry (9 bytes), in the order of the body
-- Answers {'OK', position, replayed, {how many groups have the update}}: the record's position if what had been
-- decided before has changed, otherwise the log's last, replayed.

local update, pending, once = KEYS[2], KEYS[3], KEYS[4]
local request_id, record = ARGV[2], ARGV[3]
local FIRST_CARRY = 4

-- The targets' table with the carries put in, how many are carried, whether all are decided, and whether it is
-- new that a group has lost the update. A decision is changed by a removal only.
local function settled(body, first, carries)
  local pieces, from, carried, all_decided, lost = {}, first, 0, true, false
  for i, offset in ipairs(carries) do
    local before, after = string.sub(body, offset, offset + CARRY_BYTES - 1), ARGV[FIRST_CARRY + i - 1]
    local kept = before
    if before == UNDECIDED or (after == REMOVED and not refusal_of(before, update)) then
      kept = after
    end
    lost = lost or (kept == REMOVED and before ~= REMOVED)
    if kept == UNDECIDED then
      all_decided = false
    elseif not refusal_of(kept, update) then
      carried = carried + 1
    end
    pieces[#pieces + 1] = string.sub(body, from, offset - 1) .. kept
    from = offset + CARRY_BYTES
  end
  return table.concat(pieces), carried, all_decided, lost
end

return guarded(function()
  read_log()
  local member = string.sub(update, -16) .. request_id
  at('ZSCORE', pending, member)
  if once then
    at('GET', once)
  end
  local body = at('GET', update)
  if not body or body == '' then
    allow_without_memory()
    at('ZREM', pending, member)
    return {'OK', last_position(), 1, {0}}
  end
  local first, _, carries = targets_of(body, update)
  if #carries ~= #ARGV - FIRST_CARRY + 1 then
    corrupt(update, 'has other groups')
  end
  local targets, carried, all_decided, lost = settled(body, first, carries)

  allow_without_memory()
  local position, replayed = last_position(), 1
  if lost then
    position, replayed = append(record), 0
  end
  at('SETRANGE', update, first - 1, targets)
  if all_decided then
    at('ZREM', pending, member)
    if carried == 0 then
      delete_body(update)
      if once then
        at('DEL', once)
      end
    end
  end
  return {'OK', position, replayed, {carried}}
end)
