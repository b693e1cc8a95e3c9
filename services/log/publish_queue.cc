#include "services/log/publish_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/redis/channel.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kOverloadRetryAfter{50};

base::MonotonicTime Now() { return std::chrono::steady_clock::now(); }

size_t BytesOf(const std::vector<PublishCommand>& commands) {
  size_t bytes = 0;
  for (const PublishCommand& command : commands) {
    bytes += command.body.size();
  }
  return bytes;
}

}  // namespace

PublishQueue::PublishQueue(Dependencies dependencies, size_t lanes,
                           std::chrono::milliseconds wait_max)
    : d_(std::move(dependencies)), wait_max_(wait_max), lanes_(lanes) {}

std::chrono::nanoseconds PublishQueue::OldestAge() const {
  std::lock_guard lock(mutex_);
  return ready_.empty() ? std::chrono::nanoseconds(0)
                        : Now() - lanes_[ready_.front()].front()->submitted;
}

bool PublishQueue::Submit(Call& call) {
  const size_t count = call.commands.size();
  const size_t bytes = BytesOf(call.commands);
  call.results.resize(count);
  {
    std::lock_guard lock(mutex_);
    if (waiting_ + count > kWaitingMax || waiting_bytes_ + bytes > kWaitingBytesMax) {
      const absl::Status full = base::RetryLater(
          absl::StatusCode::kResourceExhausted,
          fmt::format("too much waits for Redis: {} updates, {} bytes", waiting_, waiting_bytes_),
          kOverloadRetryAfter);
      call.results.assign(count, full);
      return false;
    }
    call.submitted = Now();
    waiting_ += count;
    waiting_bytes_ += bytes;
    std::deque<Call*>& lane = lanes_[call.lane];
    if (lane.empty()) {
      ready_.push_back(call.lane);
    }
    lane.push_back(&call);
  }
  // The call may be over, and gone, when this returns.
  Send();
  return true;
}

void PublishQueue::Send() {
  std::vector<Call*> late;
  {
    std::unique_lock lock(mutex_);
    if (std::exchange(sending_, true)) {
      return;
    }
    while (HasRoom() && !ready_.empty()) {
      Script script = TakeScript(late);
      if (script.commands.empty()) {
        continue;
      }
      under_way_ += script.commands.size();
      lock.unlock();
      std::vector<redis::Command> commands;
      commands.push_back(d_.script_of(script.commands));
      d_.pipeline.Submit(std::move(commands),
                         [this, script = std::move(script)](redis::Pipeline::Replies replies) {
                           Answer(script, replies);
                         });
      lock.lock();
    }
    sending_ = false;
  }
  for (Call* call : late) {
    call->handle.resume();
  }
}

bool PublishQueue::HasRoom() const {
  return under_way_ < kUnderWayMin ||
         static_cast<double>(under_way_) < d_.open_share() * double{kUnderWayMax};
}

PublishQueue::Script PublishQueue::TakeScript(std::vector<Call*>& late) {
  const size_t index = ready_.front();
  ready_.pop_front();
  std::deque<Call*>& lane = lanes_[index];
  const base::MonotonicTime earliest = Now() - wait_max_;
  Script script;
  size_t bytes = 0;
  bool is_full = false;
  while (!lane.empty() && !is_full) {
    Call& call = *lane.front();
    if (call.submitted < earliest) {
      if (GiveUp(call)) {
        late.push_back(&call);
      }
    } else {
      TakeFrom(call, script, bytes);
      is_full = call.taken < call.commands.size();
    }
    if (!is_full) {
      lane.pop_front();
    }
  }
  if (!lane.empty()) {
    ready_.push_back(index);
  }
  waiting_ -= script.commands.size();
  waiting_bytes_ -= bytes;
  return script;
}

void PublishQueue::TakeFrom(Call& call, Script& script, size_t& bytes) {
  const size_t first = call.taken;
  for (; call.taken < call.commands.size(); ++call.taken) {
    const PublishCommand& command = call.commands[call.taken];
    const bool fits =
        script.commands.size() < kPerScriptMax &&
        (script.commands.empty() || bytes + command.body.size() <= kBytesPerScriptMax);
    if (!fits) {
      break;
    }
    bytes += command.body.size();
    script.commands.push_back(&command);
  }
  if (call.taken > first) {
    script.slices.push_back({&call, first, call.taken - first});
  }
}

bool PublishQueue::GiveUp(Call& call) {
  const absl::Status status = base::WithReason(
      base::Error(absl::StatusCode::kUnavailable,
                  fmt::format("not sent to Redis within {} ms", wait_max_.count())),
      redis::kReasonNotSent);
  for (; call.taken < call.commands.size(); ++call.taken) {
    call.results[call.taken] = status;
    ++call.answered;
    --waiting_;
    waiting_bytes_ -= call.commands[call.taken].body.size();
  }
  return call.answered == call.commands.size();
}

void PublishQueue::Answer(const Script& script, const redis::Pipeline::Replies& replies) {
  size_t place = 0;
  for (const Slice& slice : script.slices) {
    for (size_t i = 0; i < slice.count; ++i) {
      slice.call->results[slice.first + i] = d_.outcome_of(replies, place++);
    }
  }
  std::vector<Call*> done;
  {
    std::lock_guard lock(mutex_);
    under_way_ -= place;
    for (const Slice& slice : script.slices) {
      slice.call->answered += slice.count;
      if (slice.call->answered == slice.call->commands.size()) {
        done.push_back(slice.call);
      }
    }
  }
  // Redis has something to do before the callers have.
  Send();
  for (Call* call : done) {
    call->handle.resume();
  }
}

}  // namespace klatch
