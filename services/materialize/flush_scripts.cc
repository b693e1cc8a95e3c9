#include "services/materialize/flush_scripts.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

#include "common/base/hash.h"

namespace klatch {
namespace {

constexpr size_t kOperationsMax = 150;
constexpr size_t kBytesMax = 128 * 1024;
// Posts stand behind what is sent together.
constexpr size_t kScriptsPerTrip = 4;
constexpr size_t kFenceBytes = 16;
// Where a call's arguments say what it needs; see Script.
constexpr size_t kMemoryArgument = 2;
constexpr char kWithoutMemory = '1';

// KEYS[1] lease, KEYS[1 + i] the key of operation i. ARGV[1] the nonce, ARGV[2] the fence, ARGV[3]
// '1' if it may run without free memory, then each operation's name and arguments. Returns 'OK',
// 'LOST' (the nonce is another), 'FENCED' (the fence is another), or the numbers of the keys that
// hold a wrong type: their operations are left out, all others carried out. Any other error ends
// it; what came before is written, which is harmless, since callers repeat the whole.
//
// Redis looks for free memory at the first write of a script only, and PERSIST needs none.
const redis::Script& Script() {
  static const redis::Script script("flush", R"lua(
local held = redis.call('HMGET', KEYS[1], 'nonce', 'fence')
if held[1] ~= ARGV[1] then
  return 'LOST'
end
if held[2] ~= ARGV[2] then
  return 'FENCED'
end
if ARGV[3] == '1' then
  redis.call('PERSIST', KEYS[1])
end
local function many(command, key, from, count)
  local result
  for first = from, from + count - 1, 200 do
    result = redis.pcall(command, key, unpack(ARGV, first, math.min(first + 199, from + count - 1)))
    if type(result) == 'table' and result.err then
      return result
    end
  end
  return result
end
local wrong = {}
local a = 4
for i = 2, #KEYS do
  local key = KEYS[i]
  local op = ARGV[a]
  local result
  if op == 's' then
    result = redis.pcall('SET', key, ARGV[a + 1])
    a = a + 2
  elseif op == 'g' then
    result = redis.pcall('GET', key)
    if type(result) ~= 'table' then
      local lacking = tonumber(ARGV[a + 1]) - #(result or '')
      if lacking > 0 then
        result = redis.pcall('SET', key, (result or '') .. string.rep('\0', lacking))
      end
    end
    a = a + 2
  elseif op == 'x' then
    result = redis.pcall('HDEL', key, ARGV[a + 1])
    a = a + 2
  else
    local count = tonumber(ARGV[a + 1])
    if op == 'H' or op == 'A' then
      redis.call('UNLINK', key)
    end
    result = many((op == 'h' or op == 'H') and 'HSET' or 'SADD', key, a + 2, count)
    a = a + 2 + count
  end
  if type(result) == 'table' and result.err then
    if string.sub(result.err, 1, 9) ~= 'WRONGTYPE' then
      return {err = result.err .. ' (key ' .. key .. ')'}
    end
    wrong[#wrong + 1] = i
  end
end
return #wrong == 0 and 'OK' or wrong
)lua");
  return script;
}

// ARGV: the nonce, the fence to set.
const redis::Script& FenceScript() {
  static const redis::Script script("flush_fence", R"lua(
if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then
  return 'LOST'
end
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'fence', ARGV[2])
return 'OK'
)lua");
  return script;
}

}  // namespace

absl::Status FlushScripts::Lost(PartitionIndex partition, Findings& findings) {
  findings.lost.push_back(partition);
  return base::Error(absl::StatusCode::kAborted,
                     fmt::format("the lease of partition {} is lost", partition.value()));
}

absl::Status FlushScripts::FencedByAnother(PartitionIndex partition) {
  ForgetFence();
  return base::Error(absl::StatusCode::kAborted,
                     fmt::format("another connection has fenced partition {}", partition.value()));
}

FlushScripts::FlushScripts(const Keys& keys, NonceOf nonce_of)
    : keys_(keys), nonce_of_(std::move(nonce_of)) {}

FlushScripts::Call& FlushScripts::Open(PartitionIndex partition, size_t bytes, Memory memory) {
  bytes_ += bytes;
  auto found = std::find_if(open_.rbegin(), open_.rend(),
                            [&](const Call& call) { return call.partition == partition; });
  if (found != open_.rend() &&
      (found->keys.size() > kOperationsMax || found->bytes + bytes > kBytesMax)) {
    ready_.push_back(std::move(*found));
    open_.erase(std::next(found).base());
    found = open_.rend();
  }
  Call* call = nullptr;
  if (found != open_.rend()) {
    call = &*found;
  } else {
    call = &open_.emplace_back();
    call->partition = partition;
    call->keys.push_back(keys_.Lease(partition));
    call->arguments = {nonce_of_(partition), fence_, std::string()};
  }
  call->bytes += bytes;
  if (memory == Memory::kInAnyCase && call->arguments[kMemoryArgument].empty()) {
    call->arguments[kMemoryArgument].push_back(kWithoutMemory);
  }
  return *call;
}

void FlushScripts::Set(PartitionIndex partition, std::string key, std::string value) {
  Call& call = Open(partition, key.size() + value.size(), Memory::kIfAny);
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"s", std::move(value)});
}

void FlushScripts::Grow(PartitionIndex partition, std::string key, uint32_t bytes) {
  Call& call = Open(partition, key.size() + bytes, Memory::kIfAny);
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"g", std::to_string(bytes)});
}

void FlushScripts::SetCheckpoint(PartitionIndex partition, std::string value) {
  Call& call = Open(partition, value.size(), Memory::kInAnyCase);
  call.keys.push_back(keys_.Checkpoint(partition));
  call.arguments.insert(call.arguments.end(), {"s", std::move(value)});
}

void FlushScripts::HashDelete(PartitionIndex partition, std::string key, std::string field) {
  Call& call = Open(partition, key.size() + field.size(), Memory::kInAnyCase);
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"x", std::move(field)});
}

void FlushScripts::AddMany(const char* operation, PartitionIndex partition, std::string key,
                           std::vector<std::string> texts) {
  size_t bytes = key.size();
  for (const std::string& text : texts) {
    bytes += text.size();
  }
  Call& call = Open(partition, bytes, Memory::kInAnyCase);
  call.keys.push_back(std::move(key));
  call.arguments.emplace_back(operation);
  call.arguments.push_back(std::to_string(texts.size()));
  std::ranges::move(texts, std::back_inserter(call.arguments));
}

void FlushScripts::HashSet(PartitionIndex partition, std::string key,
                           std::vector<std::string> fields_and_values) {
  AddMany("h", partition, std::move(key), std::move(fields_and_values));
}

void FlushScripts::SetAdd(PartitionIndex partition, std::string key, std::string member) {
  AddMany("a", partition, std::move(key), {std::move(member)});
}

void FlushScripts::HashReplace(PartitionIndex partition, std::string key,
                               std::vector<std::string> fields_and_values) {
  AddMany("H", partition, std::move(key), std::move(fields_and_values));
}

void FlushScripts::SetReplace(PartitionIndex partition, std::string key,
                              std::vector<std::string> members) {
  AddMany("A", partition, std::move(key), std::move(members));
}

void FlushScripts::Clear() {
  ready_.clear();
  open_.clear();
  bytes_ = 0;
}

absl::Status FlushScripts::Fence(redis::Connection& redis,
                                 const std::vector<PartitionIndex>& partitions,
                                 Findings& findings) {
  std::string fence = base::RandomBytes(kFenceBytes);
  std::vector<redis::Command> commands;
  commands.reserve(partitions.size());
  for (const PartitionIndex partition : partitions) {
    commands.push_back(redis::Command::Eval(FenceScript(), {keys_.Lease(partition)},
                                            {nonce_of_(partition), fence}));
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
  absl::Status first_error;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (replies[i].text() == "LOST") {
      first_error.Update(Lost(partitions[i], findings));
    } else {
      first_error.Update(
          base::Annotate(redis::ToStatus(replies[i].view()), keys_.Lease(partitions[i])));
    }
  }
  if (first_error.ok()) {
    fence_ = std::move(fence);
  }
  return first_error;
}

absl::Status FlushScripts::Run(redis::Connection& redis, Findings& findings) {
  std::vector<Call> calls = std::exchange(ready_, {});
  std::ranges::move(open_, std::back_inserter(calls));
  Clear();
  absl::Status first_error;
  for (size_t begin = 0; begin < calls.size(); begin += kScriptsPerTrip) {
    const auto trip =
        std::span(calls).subspan(begin, std::min(kScriptsPerTrip, calls.size() - begin));
    std::vector<redis::Command> commands;
    commands.reserve(trip.size());
    for (Call& call : trip) {
      // The keys stay for messages; the arguments, which are most of it, move.
      commands.push_back(redis::Command::Eval(Script(), call.keys, std::move(call.arguments)));
    }
    KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
    for (size_t i = 0; i < trip.size(); ++i) {
      first_error.Update(Check(replies[i], trip[i], findings));
    }
  }
  return first_error;
}

absl::Status FlushScripts::Check(const redis::Reply& reply, const Call& call, Findings& findings) {
  if (reply.text() == "OK") {
    return absl::OkStatus();
  }
  if (reply.text() == "LOST") {
    return Lost(call.partition, findings);
  }
  if (reply.text() == "FENCED") {
    return FencedByAnother(call.partition);
  }
  if (reply.size() > 0) {
    for (size_t i = 0; i < reply.size(); ++i) {
      const size_t key = static_cast<size_t>(reply[i].integer()) - 1;
      if (key < call.keys.size()) {
        findings.wrong_type.push_back({call.partition, call.keys[key]});
      }
    }
    return absl::OkStatus();
  }
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply.view()), call.keys.front()));
  return base::Error(absl::StatusCode::kInternal, "flush: unexpected reply");
}

}  // namespace klatch
