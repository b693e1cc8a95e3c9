-- Put behind append.lua before the scripts that post to a group: who may, the group's feed, and what is
-- stored of a post to several groups (services/model/carry.h).

-- Why a group refuses a post to several, by the number in a carry.
local REFUSALS = {'NO_GROUP', 'NOT_MEMBER', 'ROLE_TOO_LOW', 'REMOVED', 'CLOSED'}
local REFUSAL_NUMBERS = {}
for number, name in ipairs(REFUSALS) do
  REFUSAL_NUMBERS[name] = number
end

-- Slots of a feed that has taken `count` updates: it is made whole in steps, since appending would double
-- its memory.
local function slots_for(count)
  if count < 40 then
    return 40
  elseif count < 110 then
    return 110
  elseif count < 220 then
    return 220
  elseif count < 440 then
    return 440
  end
  return 880
end

-- Whether `actor` may post to the group: nothing, the group's default audience and how many updates its feed
-- has taken; or the refusal.
local function look_at_group(group, members, actor)
  local facts = at('HMGET', group, 's', 'a', 'f', 'p', 'z')
  if facts[1] ~= '1' then
    return 'NO_GROUP'
  end
  local role = role_of(at('HGET', members, actor), members)
  if role == 0 then
    return 'NOT_MEMBER'
  elseif role < lowest_role(facts[4], group) then
    return 'ROLE_TOO_LOW'
  elseif facts[5] == '1' then
    return 'CLOSED'
  end
  return nil, facts[2], count_of(facts[3], group)
end

-- The audience asked for, or the group's own if that is 0.
local function resolved(audience, group_audience, group)
  if audience ~= 0 then
    return audience
  end
  audience = tonumber(group_audience)
  if audience ~= 1 and audience ~= 2 then
    corrupt(group, 'holds no audience')
  end
  return audience
end

-- Looks at a feed that has taken `count` updates; `push` then puts the next one there.
local function look_at_feed(feed, count)
  local bytes = slots_for(count) * 8
  local place = {feed = feed, count = count, offset = (count * 8) % bytes}
  if at('STRLEN', feed) ~= bytes then
    place.grown = string.sub(at('GET', feed) or '', 1, bytes)
    place.grown = place.grown .. string.rep('\0', bytes - #place.grown)
  end
  return place
end

local function push(place, group, id)
  if place.grown then
    at('SET', place.feed,
       string.sub(place.grown, 1, place.offset) .. id .. string.sub(place.grown, place.offset + 9))
  else
    at('SETRANGE', place.feed, place.offset, id)
  end
  at('HSET', group, 'f', place.count + 1)
end

local CARRY_BYTES = 9
local UNDECIDED = string.rep('\0', CARRY_BYTES)
local REMOVED = string.char(255 - REFUSAL_NUMBERS.REMOVED) .. string.rep('\255', 7) .. '\0'

-- A carry that refuses.
local function refused_carry(refusal)
  return string.char(255 - REFUSAL_NUMBERS[refusal]) .. string.rep('\255', 7) .. '\0'
end

-- The refusal that a carry holds; nothing if it holds a position.
local function refusal_of(carry, key)
  if #carry ~= CARRY_BYTES then
    corrupt(key, 'holds no carry')
  end
  if string.byte(carry, 8) < 128 then
    return nil
  end
  local refusal = REFUSALS[255 - string.byte(carry, 1)]
  if not refusal then
    corrupt(key, 'holds no carry')
  end
  return refusal
end

-- The 16 hexadecimal digits of a packed position.
local function hex_of(position)
  return (string.gsub(string.reverse(position), '.', function(byte)
    return string.format('%02x', string.byte(byte))
  end))
end

-- Where the group's log has an update of its feed; nothing if a moderator has taken it out since, or that is
-- not known any more. `carry_prefix`: of the group's carries.
local function position_in_group(id, carry_prefix)
  local key = carry_prefix .. hex_of(id)
  local carry = at('GET', key)
  if carry then
    return not refusal_of(carry, key) and string.sub(carry, 1, 8) or nil
  end
  -- The position of a post to this group alone is its id.
  local low, high = string.byte(id, 2, 3)
  return math.floor(low / 16) + (high % 64) * 16 == shard and id or nil
end

-- The table of targets in a body of several groups: the offset of its first byte, from 1, of the first
-- behind it, and those of each target's carry.
local function targets_of(body, key)
  if #body < 8 or string.byte(body, 1) ~= 2 then
    corrupt(key, 'holds no body of several groups')
  end
  local first = 9 + string.byte(body, 7)
  local offset, carries = first, {}
  for i = 1, string.byte(body, 8) do
    carries[i] = offset + 1 + (string.byte(body, offset) or 0)
    offset = carries[i] + CARRY_BYTES
  end
  if offset - 1 > #body then
    corrupt(key, 'holds a body that is cut short')
  end
  return first, offset, carries
end
