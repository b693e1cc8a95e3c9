#include "services/materialize/hole_queue.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr base::MonotonicTime kStart{std::chrono::hours(1)};

std::optional<HoleMark> TakeOne(HoleQueue& queue, base::MonotonicTime now) {
  const std::vector<HoleMark> taken = queue.TakeDue(now, 1);
  return taken.empty() ? std::nullopt : std::optional(taken[0]);
}

TEST(HoleQueueTest, KeepsOneHolePerPersonWithItsLastGeneration) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.Add({1, 20, 3}, kStart);
  queue.Add({1, 15, 2}, kStart);
  EXPECT_EQ(queue.size(), 1u);
  const auto hole = TakeOne(queue, kStart);
  ASSERT_TRUE(hole.has_value());
  EXPECT_EQ(hole->generation, 3u);
  EXPECT_FALSE(TakeOne(queue, kStart).has_value());
}

TEST(HoleQueueTest, FailedHoleWaitsLongerEachTimeUpToABound) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  base::MonotonicTime now = kStart;
  milliseconds pause = HoleQueue::kPauseMin;
  for (int i = 0; i < 20; ++i) {
    const auto hole = TakeOne(queue, now);
    ASSERT_TRUE(hole.has_value());
    queue.NoteFailed(*hole, now);
    EXPECT_EQ(queue.NextDue(), now + pause);
    EXPECT_FALSE(TakeOne(queue, now + pause - milliseconds(1)).has_value());
    now += pause;
    pause = std::min(2 * pause, HoleQueue::kPauseMax);
  }
  EXPECT_EQ(pause, HoleQueue::kPauseMax);
}

TEST(HoleQueueTest, TakesSoManyAtOnceOfThoseThatAreDue) {
  HoleQueue queue;
  for (uint32_t person = 1; person <= 3; ++person) {
    queue.Add({person, 10, 1}, kStart);
  }
  queue.Add({4, 10, 1}, kStart + milliseconds(1));
  EXPECT_EQ(queue.TakeDue(kStart, 2).size(), 2u);
  EXPECT_EQ(queue.TakeDue(kStart, 2).size(), 1u);
  EXPECT_TRUE(queue.TakeDue(kStart, 2).empty());
  EXPECT_EQ(queue.size(), 1u);
}

TEST(HoleQueueTest, NewLossDoesNotShortenThePauseOfAFailedHole) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.NoteFailed(*TakeOne(queue, kStart), kStart);
  queue.Add({1, 10, 2}, kStart);
  EXPECT_FALSE(TakeOne(queue, kStart).has_value());
  EXPECT_EQ(TakeOne(queue, kStart + HoleQueue::kPauseMin)->generation, 2u);
}

TEST(HoleQueueTest, RebuiltHoleBeginsWithTheShortestPauseAgain) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.NoteFailed(*TakeOne(queue, kStart), kStart);
  base::MonotonicTime now = kStart + HoleQueue::kPauseMin;
  queue.NoteRebuilt(*TakeOne(queue, now));
  queue.Add({1, 10, 2}, now);
  queue.NoteFailed(*TakeOne(queue, now), now);
  EXPECT_EQ(queue.NextDue(), now + HoleQueue::kPauseMin);
}

TEST(HoleQueueTest, FailedHoleDoesNotKeepOthersWaiting) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.Add({2, 10, 1}, kStart + milliseconds(1));
  const base::MonotonicTime now = kStart + milliseconds(1);
  queue.NoteFailed(*TakeOne(queue, now), now);
  EXPECT_EQ(TakeOne(queue, now)->person, 2u);
}

}  // namespace
}  // namespace klatch
