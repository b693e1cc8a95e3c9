-- Put behind posting.lua before the scripts by which persons join a group: what they see of its past.

local TAG_MEMBERS_CHANGED = 58
local TAG_VISIBLE_FROM = 33 -- MembersChanged.visible_from
local HAS_PAST = '\40\1' -- MembersChanged.has_past = true
local HISTORY_ALL, HISTORY_LAST = '2', '3'
local ALL_OF_IT = string.rep('\0', 8)

-- Back to where the past is open to who joins now: nothing if it isn't. `updates`: how many the feed has
-- taken. A feed is a ring in the order of the group's log (publish.lua), so the last ones but `count` are
-- found without sorting. If it isn't known where the log has one, the next newer one counts.
local function visible_from(feed, carry_prefix, history, count, updates)
  if history == HISTORY_ALL then
    return ALL_OF_IT
  elseif history ~= HISTORY_LAST then
    return nil
  elseif updates <= count then
    return ALL_OF_IT
  end
  local ring = at('GET', feed) or ''
  local slots = math.floor(#ring / 8)
  if slots < math.min(updates, count) then
    corrupt(feed, 'is shorter than what it has taken')
  end
  for i = updates - count, updates - 1 do
    local offset = i % slots * 8
    local position = position_in_group(string.sub(ring, offset + 1, offset + 8), carry_prefix)
    if position then
      return position
    end
  end
  return nil
end

-- The piece of a MembersChanged that says so to who joins.
local function opening(from, updates)
  if not from then
    return ''
  end
  return string.char(TAG_VISIBLE_FROM) .. from .. (updates > 0 and HAS_PAST or '')
end
