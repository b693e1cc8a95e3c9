#include "services/deliver/progress.h"

#include <gtest/gtest.h>

#include <coroutine>
#include <future>

#include "services/accept/progress_barrier.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

class ProgressTest : public testing::Test {
 protected:
  ~ProgressTest() override {
    progress_.Stop();
    executor_.Stop();
  }

  std::future<absl::Status> Wait(std::vector<Token> tokens, milliseconds for_at_most) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    base::Spawn(Await(std::move(tokens), clock_.Monotonic() + for_at_most, promise));
    return promise->get_future();
  }
  base::Task<void> Await(std::vector<Token> tokens, base::MonotonicTime deadline,
                         std::shared_ptr<std::promise<absl::Status>> promise) {
    auto waiting = progress_.WaitApplied(std::move(tokens), deadline);
    promise->set_value(co_await std::move(waiting));
  }

  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  Progress progress_{4, 2, executor_, clock_};
};

TEST_F(ProgressTest, WaitEndsWhenTheSlowestWorkerIsThere) {
  const Position position(10, ShardIndex(1), 0);
  auto waiting = Wait({{ShardIndex(1), position}}, kPatience);
  progress_.Advance(0, ShardIndex(1), position);
  progress_.Notify();
  EXPECT_EQ(waiting.wait_for(milliseconds(20)), std::future_status::timeout);
  progress_.Advance(1, ShardIndex(1), position);
  progress_.Notify();
  ASSERT_EQ(waiting.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(waiting.get().ok());
}

TEST_F(ProgressTest, WaitEndsAtItsDeadlineThoughNoWorkerNotifies) {
  // A wait that has ended shows that the thread runs. It holds the lock but while it sleeps, and
  // the second wait needs the lock to begin: it begins while the thread sleeps over an empty list.
  auto first = Wait({{ShardIndex(0), Position(1, ShardIndex(0), 0)}}, milliseconds(1));
  ASSERT_EQ(first.wait_for(kPatience), std::future_status::ready);
  auto waiting = Wait({{ShardIndex(0), Position(1, ShardIndex(0), 0)}}, milliseconds(10));
  ASSERT_EQ(waiting.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ProgressTest, UnknownShardNamesTheToken) {
  auto waiting = Wait({{ShardIndex(0), Position()}, {ShardIndex(4), Position()}}, milliseconds(10));
  ASSERT_EQ(waiting.wait_for(kPatience), std::future_status::ready);
  const absl::Status status = waiting.get();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base::FieldViolationOf(status)->field, "tokens[1].shard");
}

TEST_F(ProgressTest, StopEndsWaits) {
  auto waiting = Wait({{ShardIndex(0), Position(1, ShardIndex(0), 0)}}, kPatience);
  progress_.Stop();
  ASSERT_EQ(waiting.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(waiting.get().code(), absl::StatusCode::kUnavailable);
}

// Advances race with waits that begin: none may sleep through its wake-up.
TEST_F(ProgressTest, NoWakeUpIsLostBetweenAdvanceAndWait) {
  constexpr uint64_t kRounds = 2'000;
  std::thread worker([this] {
    for (uint64_t ms = 1; ms <= kRounds; ++ms) {
      const Position position(ms, ShardIndex(0), 0);
      progress_.Advance(0, ShardIndex(0), position);
      progress_.Advance(1, ShardIndex(0), position);
      progress_.Notify();
    }
  });
  for (uint64_t ms = 1; ms <= kRounds; ms += 17) {
    auto waiting = Wait({{ShardIndex(0), Position(ms, ShardIndex(0), 0)}}, kPatience);
    ASSERT_EQ(waiting.wait_for(kPatience), std::future_status::ready);
    ASSERT_TRUE(waiting.get().ok());
  }
  worker.join();
}

class Leases final : public Ownership {
 public:
  bool Holds(PartitionIndex, base::MonotonicTime) const override { return held; }
  bool held = true;
};

TEST_F(ProgressTest, BarrierOfANodeThatLostItsLeasesSaysWhoElseToAsk) {
  Leases leases;
  Layout layout;
  ProgressBarrier barrier(progress_, leases, layout, clock_);
  const auto wait = [&] {
    std::promise<absl::Status> promise;
    auto run = [](Barrier& waited, base::MonotonicTime deadline,
                  std::promise<absl::Status>& result) -> base::Task<void> {
      auto waiting = waited.WaitApplied({}, deadline);
      result.set_value(co_await std::move(waiting));
    };
    base::Spawn(run(barrier, clock_.Monotonic() + kPatience, promise));
    return promise.get_future().get();
  };
  EXPECT_TRUE(wait().ok());
  leases.held = false;
  const absl::Status lost = wait();
  EXPECT_TRUE(absl::IsUnavailable(lost));
  EXPECT_EQ(base::ReasonOf(lost), "NOT_OWNER");
  EXPECT_TRUE(base::RetryAfterOf(lost).has_value());
}

// Passed when the test says so.
class HeldFence final : public WatchFence {
 public:
  base::Task<void> Pass() override {
    ++asked;
    co_await Held{*this};
  }

  int asked = 0;
  std::coroutine_handle<> waiting;

 private:
  struct Held {
    HeldFence& fence;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { fence.waiting = handle; }
    void await_resume() const noexcept {}
  };
};

TEST_F(ProgressTest, WhatTakesAwayIsInForceWhenTheFenceOfTheWatchesIsPassed) {
  Leases leases;
  Layout layout;
  ProgressBarrier barrier(progress_, leases, layout, clock_);
  HeldFence fence;
  barrier.Join(fence);
  std::promise<absl::Status> promise;
  auto answer = promise.get_future();
  auto run = [](Barrier& waited, base::MonotonicTime deadline,
                std::promise<absl::Status>& result) -> base::Task<void> {
    auto waiting = WaitInForce(waited, std::vector<Token>(), deadline);
    result.set_value(co_await std::move(waiting));
  };
  // Nothing has to be applied, so this comes to the fence before it returns.
  base::Spawn(run(barrier, clock_.Monotonic() + kPatience, promise));
  ASSERT_EQ(fence.asked, 1);
  EXPECT_EQ(answer.wait_for(milliseconds(0)), std::future_status::timeout);
  fence.waiting.resume();
  ASSERT_EQ(answer.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_TRUE(answer.get().ok());

  leases.held = false;
  promise = {};
  answer = promise.get_future();
  base::Spawn(run(barrier, clock_.Monotonic() + kPatience, promise));
  ASSERT_EQ(answer.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(base::ReasonOf(answer.get()), "NOT_YET_IN_FORCE");
  EXPECT_EQ(fence.asked, 1) << "what is not applied has nothing to ask of watches";
}

}  // namespace
}  // namespace klatch
