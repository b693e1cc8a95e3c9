#include "services/materialize/flush_scripts.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

namespace klatch {
namespace {

constexpr size_t kOperationsMax = 150;
constexpr size_t kBytesMax = 128 * 1024;

// KEYS[1] lease, KEYS[1 + i] the key of operation i. ARGV[1] the nonce, then each operation's name
// and arguments. Returns 'OK', 'LOST', or the number of the key whose operation failed with its
// error; what came before it is written, which is harmless, since callers repeat the whole.
const redis::Script& Script() {
  static const redis::Script script("flush", R"lua(
if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then
  return 'LOST'
end
local a = 2
for i = 2, #KEYS do
  local key = KEYS[i]
  local op = ARGV[a]
  local result
  if op == 'w' then
    result = redis.pcall('SETRANGE', key, ARGV[a + 1], ARGV[a + 2])
    a = a + 3
  elseif op == 's' then
    result = redis.pcall('SET', key, ARGV[a + 1])
    a = a + 2
  elseif op == 'h' then
    local count = tonumber(ARGV[a + 1])
    result = redis.pcall('HSET', key, unpack(ARGV, a + 2, a + 1 + count))
    a = a + 2 + count
  elseif op == 'x' then
    result = redis.pcall('HDEL', key, ARGV[a + 1])
    a = a + 2
  elseif op == 'a' then
    result = redis.pcall('SADD', key, ARGV[a + 1])
    a = a + 2
  end
  if type(result) == 'table' and result.err then
    return {i, result.err}
  end
end
return 'OK'
)lua");
  return script;
}

}  // namespace

FlushScripts::FlushScripts(const Keys& keys, NonceOf nonce_of)
    : keys_(keys), nonce_of_(std::move(nonce_of)) {}

FlushScripts::Call& FlushScripts::Open(PartitionIndex partition, size_t bytes) {
  bytes_ += bytes;
  auto found = std::find_if(open_.rbegin(), open_.rend(),
                            [&](const Call& call) { return call.partition == partition; });
  if (found != open_.rend()) {
    if (found->keys.size() <= kOperationsMax && found->bytes + bytes <= kBytesMax) {
      found->bytes += bytes;
      return *found;
    }
    ready_.push_back(std::move(*found));
    open_.erase(std::next(found).base());
  }
  Call call;
  call.partition = partition;
  call.keys.push_back(keys_.Lease(partition));
  call.arguments.push_back(nonce_of_(partition));
  call.bytes = bytes;
  open_.push_back(std::move(call));
  return open_.back();
}

void FlushScripts::Set(PartitionIndex partition, std::string key, std::string value) {
  Call& call = Open(partition, key.size() + value.size());
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"s", std::move(value)});
}

void FlushScripts::SetRange(PartitionIndex partition, std::string key, uint32_t offset,
                            std::string value) {
  Call& call = Open(partition, key.size() + value.size());
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"w", std::to_string(offset), std::move(value)});
}

void FlushScripts::HashSet(PartitionIndex partition, std::string key,
                           std::vector<std::string> fields_and_values) {
  size_t bytes = key.size();
  for (const std::string& text : fields_and_values) {
    bytes += text.size();
  }
  Call& call = Open(partition, bytes);
  call.keys.push_back(std::move(key));
  call.arguments.emplace_back("h");
  call.arguments.push_back(std::to_string(fields_and_values.size()));
  std::ranges::move(fields_and_values, std::back_inserter(call.arguments));
}

void FlushScripts::HashDelete(PartitionIndex partition, std::string key, std::string field) {
  Call& call = Open(partition, key.size() + field.size());
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"x", std::move(field)});
}

void FlushScripts::SetAdd(PartitionIndex partition, std::string key, std::string member) {
  Call& call = Open(partition, key.size() + member.size());
  call.keys.push_back(std::move(key));
  call.arguments.insert(call.arguments.end(), {"a", std::move(member)});
}

absl::Status FlushScripts::Run(redis::Connection& redis, std::vector<PartitionIndex>& lost) {
  std::vector<Call> calls = std::exchange(ready_, {});
  std::ranges::move(open_, std::back_inserter(calls));
  open_.clear();
  bytes_ = 0;
  std::vector<redis::Command> commands;
  commands.reserve(calls.size());
  for (Call& call : calls) {
    // The keys stay for messages; the arguments, which are most of it, move.
    commands.push_back(redis::Command::Eval(Script(), call.keys, std::move(call.arguments)));
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis.CallAll(commands));
  absl::Status first_error;
  for (size_t i = 0; i < calls.size(); ++i) {
    first_error.Update(Check(replies[i], calls[i], lost));
  }
  return first_error;
}

absl::Status FlushScripts::Check(const redis::Reply& reply, const Call& call,
                                 std::vector<PartitionIndex>& lost) const {
  if (reply.text() == "OK") {
    return absl::OkStatus();
  }
  if (reply.text() == "LOST") {
    lost.push_back(call.partition);
    return base::Error(absl::StatusCode::kAborted,
                       fmt::format("the lease of partition {} is lost", call.partition.value()));
  }
  if (reply.size() == 2) {
    const size_t key = static_cast<size_t>(reply[0].integer()) - 1;
    return base::Error(
        absl::StatusCode::kFailedPrecondition,
        fmt::format("key {}: {}", key < call.keys.size() ? call.keys[key] : "?", reply[1].text()));
  }
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply.view()), "flush"));
  return base::Error(absl::StatusCode::kInternal, "flush: unexpected reply");
}

}  // namespace klatch
