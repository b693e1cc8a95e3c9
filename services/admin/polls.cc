#include "services/admin/polls.h"

#include <pthread.h>

#include <utility>

#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr std::chrono::milliseconds kLook{5};

}  // namespace

struct Polls::Awaiter {
  Polls& polls;
  Wait& wait;

  bool await_ready() const noexcept { return false; }

  // False: the wait is over already, go on here.
  bool await_suspend(std::coroutine_handle<> handle) {
    wait.waiter = handle;
    std::lock_guard lock(polls.mutex_);
    if (polls.waits_.size() >= limits::kAdminWaitsMax) {
      wait.result = base::RetryLater(absl::StatusCode::kResourceExhausted,
                                     "too many calls of operators wait", std::chrono::seconds(1));
      return false;
    }
    if (polls.IsOver(wait)) {
      return false;
    }
    polls.waits_.push_back(&wait);
    polls.wake_.notify_one();
    return true;
  }

  void await_resume() const noexcept {}
};

Polls::Polls(base::Executor& executor, const base::Clock& clock)
    : executor_(executor), clock_(clock), thread_([this] {
        pthread_setname_np(pthread_self(), "polls");
        Run();
      }) {}

Polls::~Polls() {
  Stop();
  thread_.join();
}

void Polls::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
}

base::Task<absl::Status> Polls::Until(std::function<bool()> done, base::MonotonicTime deadline) {
  Wait wait{.done = std::move(done), .deadline = deadline, .waiter = {}, .result = {}};
  Awaiter awaiter{*this, wait};
  co_await awaiter;
  co_return wait.result;
}

bool Polls::IsOver(Wait& wait) const {
  if (stopping_) {
    wait.result = base::Error(absl::StatusCode::kUnavailable, "the node is stopping");
    return true;
  }
  if (wait.done()) {
    return true;
  }
  if (clock_.Monotonic() < wait.deadline) {
    return false;
  }
  wait.result = base::Error(absl::StatusCode::kDeadlineExceeded, "the deadline came first");
  return true;
}

void Polls::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_ || !waits_.empty()) {
    if (waits_.empty()) {
      wake_.wait(lock, [this] { return stopping_ || !waits_.empty(); });
      continue;
    }
    std::erase_if(waits_, [this](Wait* wait) {
      if (!IsOver(*wait)) {
        return false;
      }
      executor_.Resume(wait->waiter);
      return true;
    });
    if (!waits_.empty()) {
      wake_.wait_for(lock, kLook);
    }
  }
}

}  // namespace klatch
