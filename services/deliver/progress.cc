#include "services/deliver/progress.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

namespace klatch {
namespace {

// How late a wait may learn that its deadline has come.
constexpr std::chrono::milliseconds kDeadlineCheck{5};
constexpr size_t kWaitsMax = 65'536;

int64_t Nanoseconds(base::MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

base::MonotonicTime FromNanoseconds(int64_t ns) {
  return base::MonotonicTime(std::chrono::nanoseconds(ns));
}

absl::Status Stopped() {
  return base::Error(absl::StatusCode::kUnavailable, "the node is stopping or loading again");
}

}  // namespace

struct Progress::Wait {
  std::vector<Token> tokens;
  base::MonotonicTime deadline;
  std::coroutine_handle<> waiter;
  absl::Status result;
};

struct Progress::WaitAwaiter {
  Progress& progress;
  Wait& wait;

  bool await_ready() const noexcept { return false; }

  // False: the wait is over already, go on here.
  bool await_suspend(std::coroutine_handle<> handle) {
    wait.waiter = handle;
    // Announce first, look second; a worker stores its position first and looks at waiting_ second.
    // Both sides are sequentially consistent, so at least one sees the other and no wake-up is
    // lost.
    progress.waiting_.fetch_add(1, std::memory_order_seq_cst);
    std::lock_guard lock(progress.mutex_);
    if (progress.stopping_) {
      wait.result = Stopped();
    } else if (progress.waits_.size() >= kWaitsMax) {
      wait.result =
          base::RetryLater(absl::StatusCode::kResourceExhausted,
                           "too many calls wait for their tokens", std::chrono::milliseconds(100));
    } else if (!progress.IsApplied(wait.tokens)) {
      progress.waits_.push_back(&wait);
      // The thread sleeps without a limit while nobody waits, and must see this one's deadline.
      progress.wake_.notify_one();
      return true;
    }
    progress.waiting_.fetch_sub(1, std::memory_order_seq_cst);
    return false;
  }

  void await_resume() const noexcept {}
};

Progress::Progress(uint32_t shard_count, uint32_t worker_count, base::Executor& executor,
                   const base::Clock& clock)
    : shard_count_(shard_count),
      worker_count_(worker_count),
      executor_(executor),
      clock_(clock),
      applied_(std::make_unique<std::atomic<uint64_t>[]>(size_t{shard_count} * worker_count)),
      whole_(std::make_unique<std::atomic<uint64_t>[]>(shard_count)),
      last_read_ns_(std::make_unique<std::atomic<int64_t>[]>(shard_count)),
      thread_([this] {
        pthread_setname_np(pthread_self(), "progress");
        Run();
      }) {
  for (uint32_t shard = 0; shard < shard_count; ++shard) {
    whole_[shard].store(UINT64_MAX, std::memory_order_relaxed);
  }
}

Progress::~Progress() {
  Stop();
  thread_.join();
}

void Progress::Advance(uint32_t worker, ShardIndex shard, Position position) {
  // Also the first half of the handshake in WaitAwaiter, hence sequentially consistent.
  applied_[size_t{worker} * shard_count_ + shard.value()].store(position.value(),
                                                                std::memory_order_seq_cst);
}

void Progress::Notify() {
  // Second half of the handshake in WaitAwaiter.
  if (waiting_.load(std::memory_order_seq_cst) == 0) {
    return;
  }
  {
    std::lock_guard lock(mutex_);
    notified_ = true;
  }
  wake_.notify_one();
}

Position Progress::AppliedBy(uint32_t worker, ShardIndex shard) const {
  return Position(
      applied_[size_t{worker} * shard_count_ + shard.value()].load(std::memory_order_seq_cst));
}

Position Progress::Applied(ShardIndex shard) const {
  Position lowest(UINT64_MAX);
  for (uint32_t worker = 0; worker < worker_count_; ++worker) {
    lowest = std::min(lowest, AppliedBy(worker, shard));
  }
  return lowest;
}

void Progress::NoteWhole(ShardIndex shard, Position position) {
  whole_[shard.value()].store(position.value(), std::memory_order_relaxed);
}

Position Progress::WholeUpTo(ShardIndex shard) const {
  return Position(whole_[shard.value()].load(std::memory_order_relaxed));
}

bool Progress::IsApplied(std::span<const Token> tokens) const {
  return std::ranges::all_of(
      tokens, [this](const Token& token) { return Applied(token.shard) >= token.position; });
}

base::Task<absl::Status> Progress::WaitApplied(std::vector<Token> tokens,
                                               base::MonotonicTime deadline) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].shard.value() >= shard_count_) {
      co_return base::FieldError(absl::StatusCode::kInvalidArgument,
                                 fmt::format("tokens[{}].shard", i),
                                 fmt::format("must be below {}", shard_count_));
    }
  }
  if (IsApplied(tokens)) {
    co_return absl::OkStatus();
  }
  Wait wait{.tokens = std::move(tokens), .deadline = deadline, .waiter = {}, .result = {}};
  WaitAwaiter awaiter{*this, wait};
  co_await awaiter;
  co_return wait.result;
}

void Progress::NoteRead(ShardIndex shard) {
  last_read_ns_[shard.value()].store(Nanoseconds(clock_.Monotonic()), std::memory_order_relaxed);
}

base::MonotonicTime Progress::LastRead(ShardIndex shard) const {
  return FromNanoseconds(last_read_ns_[shard.value()].load(std::memory_order_relaxed));
}

void Progress::NoteHeard(base::MonotonicTime now) {
  last_heard_ns_.store(Nanoseconds(now), std::memory_order_relaxed);
}

base::MonotonicTime Progress::LastHeard() const {
  return FromNanoseconds(last_heard_ns_.load(std::memory_order_relaxed));
}

void Progress::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

void Progress::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (waits_.empty()) {
      if (stopping_) {
        return;
      }
      wake_.wait(lock, [this] { return notified_ || stopping_ || !waits_.empty(); });
    } else {
      wake_.wait_for(lock, kDeadlineCheck, [this] { return notified_ || stopping_; });
    }
    notified_ = false;
    const base::MonotonicTime now = clock_.Monotonic();
    std::erase_if(waits_, [&](Wait* wait) {
      if (!IsApplied(wait->tokens)) {
        if (stopping_) {
          wait->result = Stopped();
        } else if (now < wait->deadline) {
          return false;
        } else {
          wait->result = base::Error(absl::StatusCode::kDeadlineExceeded,
                                     "the node has not applied what the call waits for");
        }
      }
      waiting_.fetch_sub(1, std::memory_order_seq_cst);
      executor_.Resume(wait->waiter);
      return true;
    });
  }
}

}  // namespace klatch
