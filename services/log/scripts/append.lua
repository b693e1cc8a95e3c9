-- Put before every script that appends: the clock, positions, the log's end, errors.
--
-- Every script keeps to one order: read and check everything, append, write the rest. XADD is the first
-- write, so whatever Redis refuses (out of memory, read-only) is refused before anything has changed;
-- every key that is written later was read before, so its type is known to be right.
--
-- A script answers {'OK', position, replayed, …}, or {'<REFUSAL>', …}, or {'REDIS', message, key}.
-- Numbers of Lua are doubles: milliseconds and sequence of a position stay apart.

-- The first argument is the shard, and above it the greatest time in any log that the node has seen.

local log = KEYS[1]
local shard = ARGV[1] % 1024
local seen_ms = (ARGV[1] - shard) / 1024

local EPOCH_SECONDS = 1704067200 -- 2024-01-01
local SEQUENCE_MAX = 4095
local MS_MAX = 2199023255551 -- 41 bits
local AHEAD_MAX_MS = 86400000 -- a log that is further ahead of the clock stays the only one

local touched = log
-- redis.call that remembers the key, so that an error can name it.
local function at(command, key, ...)
  touched = key
  return redis.call(command, key, ...)
end

local function corrupt(key, what)
  touched = key
  error({err = 'CORRUPT ' .. what})
end

-- Runs `action`; what Redis refuses becomes an answer. That it is a replica now stays an error of the whole
-- script, because the connection looks for that to look for the master anew; it comes at the first write,
-- so nothing is lost.
local function guarded(action, ...)
  local ok, result = pcall(action, ...)
  if ok then
    return result
  end
  local message = type(result) == 'table' and result.err or tostring(result)
  if string.sub(message, 1, 8) == 'READONLY' then
    error({err = message})
  end
  return {'REDIS', message, touched}
end

-- The 8 little-endian bytes of a position.
local function packed(ms, sequence)
  return struct.pack('<I4I4', (ms % 1024) * 4194304 + shard * 4096 + sequence, math.floor(ms / 1024))
end

-- Its 16 hexadecimal digits.
local function hex(ms, sequence)
  return string.format('%08x%08x', math.floor(ms / 1024),
                       (ms % 1024) * 4194304 + shard * 4096 + sequence)
end

local now_ms, last_ms, last_sequence

local function read_clock()
  local time = redis.call('TIME')
  now_ms = (time[1] - EPOCH_SECONDS) * 1000 + math.floor(time[2] / 1000)
end

-- The time for a record: the present, unless the clock went back and some log is ahead of it. Needs now_ms.
local function append_ms()
  if seen_ms > now_ms and seen_ms - now_ms <= AHEAD_MAX_MS then
    return seen_ms
  end
  return now_ms
end

-- Finds the log's end and the time.
local function read_log()
  local newest = at('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  local ms, sequence = 0, 0
  if newest then
    local ms_text, sequence_text = string.match(newest[1], '^(%d+)-(%d+)$')
    ms, sequence = tonumber(ms_text), tonumber(sequence_text)
    if ms >= MS_MAX or sequence > SEQUENCE_MAX then
      corrupt(log, 'its newest entry is no position')
    end
  end
  last_ms, last_sequence = ms, sequence
  read_clock()
end

-- The log's last position; zero if the log is empty.
local function last_position()
  if last_ms == 0 then
    return string.rep('\0', 8)
  end
  return packed(last_ms, last_sequence)
end

-- Appends `record` behind the last position, at the present time if that is later. Returns the position.
-- Needs read_log.
local function append(record)
  local ms, sequence = append_ms(), 0
  if ms <= last_ms then
    ms, sequence = last_ms, last_sequence + 1
    if sequence > SEQUENCE_MAX then
      ms, sequence = ms + 1, 0
    end
  end
  at('XADD', log, string.format('%d-%d', ms, sequence), 'r', record)
  last_ms, last_sequence = ms, sequence
  return packed(ms, sequence)
end

-- As `append`, but without read_log: Redis numbers the entry within the present millisecond, which is
-- right unless the clock is behind the log or the millisecond is full.
local function append_unread(record)
  if last_ms then
    return append(record)
  end
  read_clock()
  touched = log
  local ms = append_ms()
  local id = redis.pcall('XADD', log, string.format('%d-*', ms), 'r', record)
  if type(id) == 'string' then
    local sequence = tonumber(string.sub(id, string.find(id, '-', 1, true) + 1))
    if sequence <= SEQUENCE_MAX then
      last_ms, last_sequence = ms, sequence
      return packed(ms, sequence)
    end
    redis.call('XDEL', log, id) -- no position; nobody has seen it
  elseif not string.find(id.err, 'equal or smaller', 1, true) then
    error(id)
  end
  read_log()
  return append(record)
end

-- Redis checks its memory at a script's first write only, and only if that write may take memory. For a
-- removal, which must get through when memory is short, a write that changes nothing (the log has no
-- expiry) goes first.
local function allow_without_memory()
  at('PERSIST', log)
end

-- Deletes a body. An empty one stays in its place for as long as it would have been kept, so that readers can
-- tell what was deleted from what is kept no longer.
local function delete_body(update)
  at('SET', update, '', 'KEEPTTL')
end

-- Notes that the past of a group is bounded, so that it is looked at now and then. Needs an HEXISTS before.
local function note_bounded(kept, id)
  at('HSETNX', kept, id, string.rep('\0', 8))
end

-- What an idempotency key holds: position, digest, and whatever the script put behind them. Nothing if it
-- is unused.
local function used(once, digest)
  local stored = at('GET', once)
  if not stored then
    return nil
  end
  if #stored < 24 then
    corrupt(once, 'holds no outcome')
  end
  if string.sub(stored, 9, 24) ~= digest then
    return {'KEY_REUSED'}
  end
  return {'OK', string.sub(stored, 1, 8), 1, string.sub(stored, 25)}
end

-- How long a body is kept from now on: as long as the namespace keeps bodies, or until `expires`, a time in
-- milliseconds since 2024 or ''. Needs read_clock, so call it behind the append.
local function kept_ms(retention_ms, expires)
  if expires == '' then
    return retention_ms
  end
  return math.max(1, math.min(tonumber(retention_ms), tonumber(expires) - now_ms))
end

-- The role in a packed stay (services/model/membership.h); 0 if there is none.
local function role_of(stay, members)
  if not stay then
    return 0
  end
  local role = string.byte(stay, 1)
  if #stay ~= 17 or role < 1 or role > 4 then
    corrupt(members, 'holds no stay')
  end
  return role
end

-- The lowest role that may do something, in a group's hash.
local function lowest_role(text, group)
  local role = tonumber(text or '')
  if not role or role < 2 or role > 4 then
    corrupt(group, 'holds no role')
  end
  return role
end

-- A count in a group's hash.
local function count_of(text, group)
  local count = tonumber(text or '0')
  if not count then
    corrupt(group, 'holds no count')
  end
  return count
end

-- Length-delimited protobuf field; `tag` is the tag's one byte.
local function delimited(tag, bytes)
  local length, prefix = #bytes, string.char(tag)
  while length >= 128 do
    prefix = prefix .. string.char(length % 128 + 128)
    length = math.floor(length / 128)
  end
  return prefix .. string.char(length) .. bytes
end
