#include "services/materialize/hole_queue.h"

#include <gtest/gtest.h>

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr base::MonotonicTime kStart{std::chrono::hours(1)};

TEST(HoleQueueTest, KeepsOneHolePerPersonWithItsLastGeneration) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.Add({1, 20, 3}, kStart);
  queue.Add({1, 15, 2}, kStart);
  EXPECT_EQ(queue.size(), 1u);
  const auto hole = queue.TakeDue(kStart);
  ASSERT_TRUE(hole.has_value());
  EXPECT_EQ(hole->generation, 3u);
  EXPECT_FALSE(queue.TakeDue(kStart).has_value());
}

TEST(HoleQueueTest, FailedHoleWaitsLongerEachTimeUpToABound) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  base::MonotonicTime now = kStart;
  milliseconds pause = HoleQueue::kPauseMin;
  for (int i = 0; i < 20; ++i) {
    const auto hole = queue.TakeDue(now);
    ASSERT_TRUE(hole.has_value());
    queue.NoteFailed(*hole, now);
    EXPECT_EQ(queue.NextDue(), now + pause);
    EXPECT_FALSE(queue.TakeDue(now + pause - milliseconds(1)).has_value());
    now += pause;
    pause = std::min(2 * pause, HoleQueue::kPauseMax);
  }
  EXPECT_EQ(pause, HoleQueue::kPauseMax);
}

TEST(HoleQueueTest, NewLossDoesNotShortenThePauseOfAFailedHole) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.NoteFailed(*queue.TakeDue(kStart), kStart);
  queue.Add({1, 10, 2}, kStart);
  EXPECT_FALSE(queue.TakeDue(kStart).has_value());
  EXPECT_EQ(queue.TakeDue(kStart + HoleQueue::kPauseMin)->generation, 2u);
}

TEST(HoleQueueTest, RebuiltHoleBeginsWithTheShortestPauseAgain) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.NoteFailed(*queue.TakeDue(kStart), kStart);
  base::MonotonicTime now = kStart + HoleQueue::kPauseMin;
  queue.NoteRebuilt(*queue.TakeDue(now));
  queue.Add({1, 10, 2}, now);
  queue.NoteFailed(*queue.TakeDue(now), now);
  EXPECT_EQ(queue.NextDue(), now + HoleQueue::kPauseMin);
}

TEST(HoleQueueTest, FailedHoleDoesNotKeepOthersWaiting) {
  HoleQueue queue;
  queue.Add({1, 10, 1}, kStart);
  queue.Add({2, 10, 1}, kStart + milliseconds(1));
  const base::MonotonicTime now = kStart + milliseconds(1);
  queue.NoteFailed(*queue.TakeDue(now), now);
  EXPECT_EQ(queue.TakeDue(now)->person, 2u);
}

}  // namespace
}  // namespace klatch
