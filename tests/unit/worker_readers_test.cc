// What a worker does for those who read: copies for who reads at all, news for who is watched.

#include <gtest/gtest.h>

#include <set>
#include <tuple>
#include <vector>

#include "common/lockfree/doorbell.h"
#include "tests/unit/worker_fixture.h"

namespace klatch {
namespace {

using testing::kPatience;

class WorkerReadersTest : public testing::WorkerFixture {};

TEST_F(WorkerReadersTest, WhoDoesNotReadGetsNoCopiesUntilTheyAreBack) {
  quiet_after_ = std::chrono::hours(1);
  StartWorker();
  Join("ann");
  AwaitApplied(Join("bob"));
  steps_.Advance(std::chrono::minutes(59));
  Read("ann");
  // It looks again an eighth of an hour after it has looked.
  steps_.Advance(std::chrono::minutes(20));
  AwaitQuiet(1);
  const Person& bob = *persons_->Find("bob");
  EXPECT_NE(bob.quiet_since.load(), 0u);
  EXPECT_EQ(persons_->Find("ann")->quiet_since.load(), 0u);
  const Position missed = Publish("ann");
  AwaitApplied(missed);
  EXPECT_EQ(HomeOf("ann"), std::set<uint64_t>{missed.value()});
  EXPECT_TRUE(HomeOf("bob").empty());

  persons_->Wake(bob.index);
  AwaitQuiet(0);
  const Position later = Publish("ann");
  AwaitApplied(later);
  EXPECT_EQ(HomeOf("bob"), std::set<uint64_t>{later.value()});
  EXPECT_GE(bob.home->floor(), missed.value()) << "memory lacks it";
  EXPECT_NE(bob.quiet_since.load(), 0u) << "what was missed is not stored yet";
  EXPECT_EQ(bob.hole_since.load(), 0u) << "but pages are whole";

  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->quiet.size(), 2u);
  EXPECT_NE(batch->quiet[0].since, 0u);
  EXPECT_EQ(batch->quiet[1].since, 0u);
  ASSERT_EQ(batch->holes.size(), 1u);
  EXPECT_EQ(batch->holes[0].person, bob.index);
  ASSERT_TRUE(worker_->Tell({.rebuilt = {{bob.index, batch->holes[0].generation}}}, kPatience));
  EXPECT_EQ(bob.quiet_since.load(), 0u);
}

TEST_F(WorkerReadersTest, WhoFallsQuietBeforeTheyAreRebuiltStaysMarked) {
  quiet_after_ = std::chrono::hours(1);
  StartWorker();
  AwaitApplied(Join("ann"));
  steps_.Advance(quiet_after_);
  AwaitQuiet(1);
  const Person& ann = *persons_->Find("ann");
  persons_->Wake(ann.index);
  AwaitQuiet(0);
  steps_.Advance(quiet_after_);
  AwaitQuiet(1);
  const auto batch = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->quiet.size(), 3u);
  EXPECT_EQ(batch->quiet[2].since, batch->quiet[0].since) << "the older counts";
  ASSERT_TRUE(worker_->Tell({.rebuilt = {{ann.index, batch->holes[0].generation}}}, kPatience));
  EXPECT_NE(ann.quiet_since.load(), 0u);
}

TEST_F(WorkerReadersTest, WhoIsWatchedDoesNotFallQuiet) {
  lockfree::Doorbell bell;
  quiet_after_ = std::chrono::hours(1);
  MakeWorker();
  worker_->watch_tap().Connect(bell);
  worker_->Start(std::vector<Position>(layout_.shard_count));
  Join("ann");
  AwaitApplied(Join("bob"));
  steps_.Advance(quiet_after_);
  AwaitQuiet(2);
  worker_->watch_tap().Watch("ann");
  AwaitQuiet(1);
  EXPECT_NE(persons_->Find("bob")->quiet_since.load(), 0u);
  steps_.Advance(quiet_after_);
  persons_->Wake(persons_->Find("bob")->index);
  AwaitQuiet(0);
  const Position posted = Publish("ann");
  AwaitApplied(posted);
  EXPECT_EQ(HomeOf("ann"), std::set<uint64_t>{posted.value()});
}

TEST_F(WorkerReadersTest, WhoIsLoadedAsQuietGetsNoCopies) {
  MakeWorker();
  const Position joined(100, ShardIndex(0), 0);
  const Membership member{GroupIndex(0), Stay{Role::kMember, joined, joined}, joined};
  for (const char* person : {"ann", "bob"}) {
    ASSERT_TRUE(worker_->Restore(person, {member}, UpdateId(), 0).ok());
  }
  worker_->RestoreQuiet("bob", 7);
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 200;
  const Position posted = Publish("ann");
  AwaitApplied(posted);
  EXPECT_EQ(HomeOf("ann"), std::set<uint64_t>{posted.value()});
  EXPECT_TRUE(HomeOf("bob").empty());
  EXPECT_EQ(persons_->Find("bob")->quiet_since.load(), 7u);
  EXPECT_EQ(worker_->quiet(), 1u);
}

TEST_F(WorkerReadersTest, TellsWhatReachesWatchedPersonsAndWhoeverLeaves) {
  lockfree::Doorbell bell;
  MakeWorker();
  WatchTap& tap = worker_->watch_tap();
  tap.Connect(bell);
  tap.Watch("bob");
  worker_->Start(std::vector<Position>(layout_.shard_count));
  std::vector<WatchItem> items;
  const auto poll = [&] { tap.Poll([&](const WatchItem& item) { items.push_back(item); }); };
  const auto deadline = clock_.Monotonic() + kPatience;
  while (items.empty()) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    poll();
  }
  ASSERT_EQ(items[0].kind, WatchItem::Kind::kStarted);
  const uint32_t bob = *tap.TakeAnswer().persons.at(0).index;
  items.clear();

  Join("ann");
  const Position joined = Join("bob");
  const Position first = Publish("ann");
  Event* edit = Claim();
  edit->kind = Event::Kind::kEdited;
  edit->update = first;
  ring_.Publish();
  const Position left = Leave("ann");
  Event* deletion = Claim();
  deletion->kind = Event::Kind::kGroupDeleted;
  const Position deleted = deletion->position;
  ring_.Publish();
  Publish("bob");
  Change("bob", MemberChange::Kind::kRoleChanged, Role::kMember);
  AwaitApplied(Position(ms_, ShardIndex(0), 0));
  // What is applied was told before.
  poll();

  using Kind = WatchItem::Kind;
  const uint32_t ann = persons_->Find("ann")->index;
  const std::vector<std::tuple<Kind, uint32_t, Position>> expected = {
      {Kind::kJoined, bob, joined},
      {Kind::kPublished, bob, first},
      {Kind::kEdited, WatchItem::kNobody, Position(first.ms() + 1, ShardIndex(0), 0)},
      {Kind::kEdited, bob, Position(first.ms() + 1, ShardIndex(0), 0)},
      {Kind::kLeft, ann, left},
      {Kind::kLeft, bob, deleted},
      {Kind::kGroupDeleted, WatchItem::kNobody, deleted}};
  std::vector<std::tuple<Kind, uint32_t, Position>> told;
  for (const WatchItem& item : items) {
    told.emplace_back(item.kind, item.person, item.position);
  }
  EXPECT_EQ(told, expected);
  EXPECT_FALSE(tap.TakeOverflow());
}

TEST_F(WorkerReadersTest, ImportIsDeliveredAndNobodyWhoWatchesIsTold) {
  lockfree::Doorbell bell;
  MakeWorker();
  WatchTap& tap = worker_->watch_tap();
  tap.Connect(bell);
  tap.Watch("bob");
  worker_->Start(std::vector<Position>(layout_.shard_count));
  std::vector<WatchItem::Kind> told;
  const auto poll = [&] { tap.Poll([&](const WatchItem& item) { told.push_back(item.kind); }); };
  const auto deadline = clock_.Monotonic() + kPatience;
  while (told.empty()) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    poll();
  }
  Join("bob");
  Event* import = Claim();
  import->kind = Event::Kind::kPublished;
  import->is_imported = true;
  import->author = "bob";
  import->author_partition = layout_.PartitionOf(PersonId("bob"));
  const Position imported = import->position;
  ring_.Publish();
  const Position posted = Publish("bob");
  AwaitApplied(posted);
  poll();
  using Kind = WatchItem::Kind;
  EXPECT_EQ(told, (std::vector{Kind::kStarted, Kind::kJoined, Kind::kPublished}));
  EXPECT_EQ(HomeOf("bob"), (std::set{imported.value(), posted.value()}));
  EXPECT_EQ(persons_->Find("bob")->posts->size(), 2u);
}

TEST_F(WorkerReadersTest, ReplayedLeaveIsToldForWatchesThatResume) {
  lockfree::Doorbell bell;
  MakeWorker();
  worker_->watch_tap().Connect(bell);
  const Membership left{GroupIndex(0), Stay{}, Position(51, ShardIndex(0), 0)};
  ASSERT_TRUE(worker_->Restore("ann", {left}, UpdateId(), 0).ok());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 49;
  Join("ann");
  AwaitApplied(Leave("ann"));
  std::vector<WatchItem::Kind> told;
  worker_->watch_tap().Poll([&](const WatchItem& item) { told.push_back(item.kind); });
  EXPECT_EQ(told, std::vector{WatchItem::Kind::kLeft});
}

}  // namespace
}  // namespace klatch
