// What a worker hands its flusher, and what it makes of what it is told back.

#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/worker_fixture.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::kPatience;

class WorkerHandoverTest : public testing::WorkerFixture {};

TEST_F(WorkerHandoverTest, APastThatIsOpenIsToBeFetchedFromTheFeed) {
  StartWorker();
  const Position from(700'000, ShardIndex(0), 0);
  // A post to several groups that came to this one at `from` may have an id that is so much older.
  const UpdateId oldest(100'000, ShardIndex(0), 0);
  const Position joined =
      Change("ann", MemberChange::Kind::kJoined, Role::kMember, from, /*has_past=*/true);
  AwaitApplied(joined);
  const Person* ann = persons_->Find("ann");
  EXPECT_EQ(ann->hole_since.load(), oldest.value());
  EXPECT_EQ(ann->home->floor(), joined.value());
  const std::optional<FlushBatch> batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  ASSERT_EQ(batch->holes.size(), 1u);
  EXPECT_EQ(batch->holes[0].since, oldest.value());
}

TEST_F(WorkerHandoverTest, BatchNamesEachDirtyTimelineOnceAndHowFarTheLogIsApplied) {
  StartWorker();
  Join("ann");
  Publish("bob");
  const Position last = Publish("bob");
  AwaitApplied(last);
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->applied[0], last);
  EXPECT_EQ(batch->timelines.size(), 2u) << "ann's home, bob's posts";
  EXPECT_EQ(batch->views.size(), 1u);
  EXPECT_EQ(batch->new_persons.size(), 2u);
  const auto next = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(next.has_value());
  EXPECT_TRUE(next->timelines.empty());
}

TEST_F(WorkerHandoverTest, MarksAHoleWhenNothingIsFlushedAndForgetsItWhenRebuilt) {
  StartWorker();
  Join("ann");
  Position last;
  for (int i = 0; i < 1'100; ++i) {
    last = Publish("bob");
  }
  AwaitApplied(last);
  const Person* ann = persons_->Find("ann");
  EXPECT_GT(worker_->dropped(), 0u);
  EXPECT_TRUE(worker_->tight());
  const uint64_t since = ann->hole_since.load(std::memory_order_relaxed);
  EXPECT_GT(since, 0u);
  auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  ASSERT_FALSE(batch->holes.empty());
  uint64_t generation = 0;
  for (const HoleMark& hole : batch->holes) {
    if (hole.person == ann->index) {
      EXPECT_GE(hole.since, since);
      generation = hole.generation;
    }
  }
  // A rebuild that began before the last loss mends nothing.
  batch = worker_->TakeBatch({.rebuilt = {{ann->index, generation - 1}}}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->mended.empty());
  batch = worker_->TakeBatch({.rebuilt = {{ann->index, generation}}}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->mended, std::vector<uint32_t>{ann->index});
  EXPECT_EQ(ann->hole_since.load(std::memory_order_relaxed), 0u);
}

TEST_F(WorkerHandoverTest, LateAnswerIsMarkedAndLeavesTheFlusherNoBatchBehind) {
  MakeWorker();
  // It looks at what it was asked before it looks at the ring.
  ASSERT_FALSE(worker_->TakeBatch({}, milliseconds(0)).has_value());
  Position last = Publish("bob");
  worker_->Start(std::vector<Position>(layout_.shard_count));
  AwaitApplied(last);
  auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->late);
  EXPECT_EQ(batch->applied[0], Position());
  for (int i = 0; i < 3; ++i) {
    last = Publish("bob");
    AwaitApplied(last);
    batch = worker_->TakeBatch({}, kPatience);
    ASSERT_TRUE(batch.has_value());
    EXPECT_FALSE(batch->late);
    EXPECT_EQ(batch->applied[0], last);
  }
}

TEST_F(WorkerHandoverTest, ProfileIsAHoleUntilItsSpilledPostsAreWritten) {
  StartWorker(/*ring_bytes=*/0);
  const Position first = Publish("bob");
  AwaitApplied(first);
  const Person* bob = persons_->Find("bob");
  const auto since = [&] { return bob->posts_hole_since.load(std::memory_order_relaxed); };
  EXPECT_EQ(since(), first.value());
  ASSERT_TRUE(worker_->TakeBatch({}, kPatience).has_value());
  EXPECT_EQ(since(), first.value()) << "taken, not written";
  const Position second = Publish("bob");
  AwaitApplied(second);
  // Asking for the next batch says that the one before is written; the second post isn't in it.
  ASSERT_TRUE(worker_->TakeBatch({}, kPatience).has_value());
  EXPECT_NE(since(), 0u);
  EXPECT_LE(since(), second.value());
  ASSERT_TRUE(worker_->TakeBatch({}, kPatience).has_value());
  EXPECT_EQ(since(), 0u);
}

TEST_F(WorkerHandoverTest, ForgetsARemovedTombstoneUnlessThePersonCameBackSince) {
  StartWorker();
  Join("ann");
  Join("bob");
  Leave("ann");
  AwaitApplied(Leave("bob"));
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  FlusherNews news;
  for (const ViewChange& view : batch->views) {
    if (view.stay.role == Role::kNone) {
      news.removed.push_back(view);
    }
  }
  ASSERT_EQ(news.removed.size(), 2u);
  AwaitApplied(Join("ann"));
  ASSERT_TRUE(worker_->Tell(news, kPatience));
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  EXPECT_TRUE(persons_->Find("bob")->memberships.Load(guard)->items().empty());
  const Membership* ann = persons_->Find("ann")->memberships.Load(guard)->Find(GroupIndex(0));
  ASSERT_NE(ann, nullptr);
  EXPECT_EQ(ann->stay.role, Role::kMember);
}

TEST_F(WorkerHandoverTest, ReplacedTimelineIsAHoleAtOnceAndInTheNextBatch) {
  StartWorker();
  AwaitApplied(Join("ann"));
  const Person* ann = persons_->Find("ann");
  ASSERT_TRUE(worker_->Tell({.replaced = {ann->index}}, kPatience));
  EXPECT_EQ(ann->hole_since.load(std::memory_order_relaxed), 1u);
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch.has_value());
  ASSERT_EQ(batch->holes.size(), 1u);
  EXPECT_EQ(batch->holes[0].generation, ann->hole_generation.load(std::memory_order_relaxed));
}

}  // namespace
}  // namespace klatch
