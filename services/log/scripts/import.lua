-- Put before publish.lua to import updates of the past: keys, arguments and answers are publish.lua's. The
-- once keys are those of imports, and are kept as long as bodies.
--
-- Who wrote it then need only be a member now: roles, and whether the group is closed, are about what is
-- posted today.
local function look_at_group(group, members, author)
  local facts = at('HMGET', group, 's', 'a', 'f')
  if facts[1] ~= '1' then
    return 'NO_GROUP'
  end
  if role_of(at('HGET', members, author), members) == 0 then
    return 'NOT_MEMBER'
  end
  return nil, facts[2], count_of(facts[3], group)
end
