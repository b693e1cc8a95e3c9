-- Gives persons the roles that a list of a group's members has for them: who is no member joins, whose role is
-- another gets this one, and role 0 leaves. Who may is the app's business, and also whether the group is closed.
--
-- KEYS: log, group, members, feed
-- ARGV: shard, the list's version, its digest and what tells the call from others (24 bytes), record up to its
--       event, prefix of the group's carries, the persons' roles (a byte each), then the persons, each once
-- Answers {'OK', position, 0, false, changes}: a byte per person, j joined, r role changed, l left, - nothing;
-- NO_GROUP, STALE_VERSION, SUPERSEDED, LAST_OWNER. If nobody changed, nothing is appended: the position is the
-- log's last.

local ROLE_OWNER = 4
local TAG_PERSON, TAG_ROLE = 10, 16 -- of a MemberRole
local TAG_JOINED, TAG_ROLE_CHANGED, TAG_LEFT = 10, 18, 26
local group, members, feed = KEYS[2], KEYS[3], KEYS[4]
local version, claim, record, carry_prefix, roles = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local persons = #roles

-- What the group's hash says against this call; nothing: it may.
local function objection(facts)
  if facts[1] ~= '1' then
    return 'NO_GROUP'
  elseif facts[7] ~= version then
    return 'STALE_VERSION'
  end
  return facts[8] ~= claim and 'SUPERSEDED' or nil
end

-- What becomes of one person, and the piece of the record that says so.
local function change_of(person, role, old_role)
  if role == old_role then
    return '-'
  elseif role == 0 then
    return 'l', delimited(TAG_LEFT, person)
  end
  local member = delimited(TAG_PERSON, person) .. string.char(TAG_ROLE, role)
  if old_role == 0 then
    return 'j', delimited(TAG_JOINED, member)
  end
  return 'r', delimited(TAG_ROLE_CHANGED, member)
end

-- Writes what has been decided. `joined`: a joiner's stay but the role.
local function write(stays, changes, joined)
  local values, leaving = {}, {}
  for i = 1, persons do
    local change, role = changes[i], string.sub(roles, i, i)
    if change == 'l' then
      leaving[#leaving + 1] = ARGV[6 + i]
    elseif change ~= '-' then
      values[#values + 1] = ARGV[6 + i]
      values[#values + 1] = role .. (change == 'j' and joined or string.sub(stays[i], 2))
    end
  end
  if #values > 0 then
    at('HSET', members, unpack(values))
  end
  if #leaving > 0 then
    at('HDEL', members, unpack(leaving))
  end
end

return guarded(function()
  read_log()
  local facts = at('HMGET', group, 's', 'h', 'm', 'o', 'l', 'f', 'v', 'w')
  local refusal = objection(facts)
  if refusal then
    return {refusal}
  end
  local updates = count_of(facts[6], group)
  local member_count, owner_count = count_of(facts[3], group), count_of(facts[4], group)
  local stays = at('HMGET', members, unpack(ARGV, 7, 6 + persons))
  local changes, pieces, joining = {}, {}, 0
  for i = 1, persons do
    local role, old_role = string.byte(roles, i), role_of(stays[i], members)
    local change, piece = change_of(ARGV[6 + i], role, old_role)
    changes[i] = change
    pieces[#pieces + 1] = piece
    joining = joining + (change == 'j' and 1 or 0)
    member_count = member_count + (change == 'j' and 1 or change == 'l' and -1 or 0)
    owner_count = owner_count + (role == ROLE_OWNER and 1 or 0) - (old_role == ROLE_OWNER and 1 or 0)
  end
  if #pieces == 0 then
    return {'OK', last_position(), 0, false, table.concat(changes)}
  elseif owner_count < 1 then
    return {'LAST_OWNER'}
  end

  local from
  if joining > 0 then
    from = visible_from(feed, carry_prefix, facts[2], count_of(facts[5], group), updates)
    pieces[#pieces + 1] = opening(from, updates)
  else
    allow_without_memory()
  end
  local position = append(record .. delimited(TAG_MEMBERS_CHANGED, table.concat(pieces)))
  write(stays, changes, position .. (from or position))
  at('HSET', group, 'm', member_count, 'o', owner_count)
  return {'OK', position, 0, false, table.concat(changes)}
end)
