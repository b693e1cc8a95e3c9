// Who gets a copy of what, as members come and go and as a log is replayed.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/worker_fixture.h"

namespace klatch {
namespace {

using testing::kPatience;

class WorkerTest : public testing::WorkerFixture {};

TEST_F(WorkerTest, DeliversToWhoIsAMemberAtThatPositionOnly) {
  StartWorker();
  Join("ann");
  Join("bob");
  const Position first = Publish("ann");
  Leave("bob");
  const Position second = Publish("ann");
  Join("cat");
  const Position third = Publish("cat");
  AwaitApplied(third);
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{first.value(), second.value(), third.value()}));
  EXPECT_EQ(HomeOf("bob"), (std::set<uint64_t>{first.value()}));
  EXPECT_EQ(HomeOf("cat"), (std::set<uint64_t>{third.value()}));
}

TEST_F(WorkerTest, DeliversACarriedUpdateOnceAndToWhoIsAMemberThen) {
  StartWorker();
  Join("ann");
  const Position home = Home("ann");
  Join("bob");
  Carry(home);
  Join("cat");
  AwaitApplied(Carry(home));
  const auto copies = [&](const std::string& person) {
    std::vector<lockfree::TimelineEntry> entries;
    uint64_t floor = 0;
    EXPECT_TRUE(persons_->Find(person)->home->CopyNewest(persons_->arena(), entries, 100, &floor));
    return entries.size();
  };
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{home.value()}));
  EXPECT_EQ(HomeOf("bob"), (std::set<uint64_t>{home.value()})) << "joined before the carry";
  EXPECT_EQ(HomeOf("cat"), (std::set<uint64_t>{home.value()})) << "joined before the second";
  for (const char* person : {"ann", "bob", "cat"}) {
    EXPECT_EQ(copies(person), 1u) << person;
  }
  std::vector<lockfree::TimelineEntry> posts;
  uint64_t floor = 0;
  ASSERT_TRUE(persons_->Find("ann")->posts->CopyNewest(persons_->arena(), posts, 100, &floor));
  ASSERT_EQ(posts.size(), 1u) << "on the profile by its home";
  EXPECT_EQ(posts[0].id, home.value());
}

TEST_F(WorkerTest, CopiesNothingBetweenTheSwitchesOfAPulledGroup) {
  StartWorker();
  Join("ann");
  const Position copied = Publish("ann");
  Switch(true);
  Publish("ann");
  const Position home = Home("bob");
  Carry(home);
  Switch(false);
  const Position again = Publish("ann");
  AwaitApplied(again);
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{copied.value(), again.value()}));
  std::vector<lockfree::TimelineEntry> posts;
  uint64_t floor = 0;
  ASSERT_TRUE(persons_->Find("ann")->posts->CopyNewest(persons_->arena(), posts, 100, &floor));
  EXPECT_EQ(posts.size(), 3u) << "profiles have no feed";
}

TEST_F(WorkerTest, GroupThatIsLoadedAsPulledStaysSoThroughAReplay) {
  MakeWorker();
  worker_->RestoreDelivery(GroupIndex(0), true);
  worker_->Start(std::vector<Position>(layout_.shard_count));
  Join("ann");
  Publish("ann");  // in the log before the switch
  Switch(true);
  AwaitApplied(Publish("ann"));
  EXPECT_TRUE(HomeOf("ann").empty());
}

TEST_F(WorkerTest, TellsOfEachMemberThatComesAndGoes) {
  StartWorker();
  for (const char* person : {"ann", "bob", "cat"}) {
    AwaitApplied(Join(person));
  }
  EXPECT_EQ(sizes_.TakeCrossed(), std::set<GroupIndex>{GroupIndex(0)}) << "more than 2";
  groups_.NoteDelivery(GroupIndex(0), Position(1), true);
  Leave("cat");
  AwaitApplied(Leave("bob"));
  EXPECT_EQ(sizes_.TakeCrossed(), std::set<GroupIndex>{GroupIndex(0)}) << "fewer than 2";
}

TEST_F(WorkerTest, IgnoresChangesThatTheRestoredViewHoldsAlready) {
  MakeWorker();
  // Ann left at 100; the log from 50 on still says that she joined.
  const Membership left{GroupIndex(0), Stay{}, Position(100, ShardIndex(0), 0)};
  ASSERT_TRUE(worker_->Restore("ann", {left}, UpdateId(), 0).ok());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 50;
  Join("ann");
  const Position published = Publish("bob");
  AwaitApplied(published);
  EXPECT_TRUE(HomeOf("ann").empty());
}

TEST_F(WorkerTest, ReplayDeliversNothingFromBeforeARestoredStay) {
  MakeWorker();
  const Position early(10, ShardIndex(0), 0);
  const Position late(20, ShardIndex(0), 0);
  const auto restore = [this](const std::string& person, Position joined) {
    return worker_->Restore(person,
                            {Membership{GroupIndex(0), {Role::kMember, joined, joined}, joined}},
                            UpdateId(), 0);
  };
  ASSERT_TRUE(restore("ann", early).ok());
  ASSERT_TRUE(restore("bob", late).ok());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  ms_ = 14;
  const Position between = Publish("ann");
  const Position carried = Carry(UpdateId(Position(13, ShardIndex(1), 0).value()));
  ms_ = 20;
  const Position after = Publish("ann");
  AwaitApplied(after);
  EXPECT_EQ(HomeOf("ann"), (std::set<uint64_t>{between.value(), after.value(),
                                               Position(13, ShardIndex(1), 0).value()}));
  EXPECT_EQ(HomeOf("bob"), (std::set<uint64_t>{after.value()}));
  EXPECT_LT(carried, late);
}

TEST_F(WorkerTest, OfAnOpenPastThatIsNotReplayedPagesAskForWhatIsStored) {
  MakeWorker();
  const Position checkpoint(5, ShardIndex(0), 0);
  const Position joined(20, ShardIndex(0), 0);
  const auto restore = [&](const std::string& person, Position visible_from) {
    return worker_->Restore(
        person, {Membership{GroupIndex(0), {Role::kMember, joined, visible_from}, joined}},
        checkpoint, 0);
  };
  ASSERT_TRUE(restore("ann", Position()).ok());
  ASSERT_TRUE(restore("bob", joined).ok());
  std::vector<lockfree::TimelineEntry> entries;
  uint64_t floor = 0;
  ASSERT_TRUE(persons_->Find("ann")->home->CopyNewest(persons_->arena(), entries, 100, &floor));
  EXPECT_EQ(floor, joined.value());
  ASSERT_TRUE(persons_->Find("bob")->home->CopyNewest(persons_->arena(), entries, 100, &floor));
  EXPECT_EQ(floor, checkpoint.value()) << "a closed past takes nobody to Redis";
}

TEST_F(WorkerTest, RoleChangeKeepsTheStay) {
  StartWorker();
  const Position joined = Join("ann");
  AwaitApplied(Change("ann", MemberChange::Kind::kRoleChanged, Role::kModerator));
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  const Membership* membership =
      persons_->Find("ann")->memberships.Load(guard)->Find(GroupIndex(0));
  ASSERT_NE(membership, nullptr);
  EXPECT_EQ(membership->stay, (Stay{Role::kModerator, joined, joined}));
}

TEST_F(WorkerTest, OpenHistoryMakesThePastVisible) {
  StartWorker();
  const Position joined = Change("ann", MemberChange::Kind::kJoined, Role::kReader, Position());
  AwaitApplied(joined);
  EXPECT_EQ(persons_->Find("ann")->hole_since.load(), 0u) << "there is no past to fetch";
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  const Membership* membership =
      persons_->Find("ann")->memberships.Load(guard)->Find(GroupIndex(0));
  ASSERT_NE(membership, nullptr);
  EXPECT_EQ(membership->stay, (Stay{Role::kReader, joined, Position()}));
}

TEST_F(WorkerTest, DeletedGroupHasNoMembersAndGetsNoDeliveries) {
  StartWorker();
  Join("ann");
  Event* slot = Claim();
  slot->kind = Event::Kind::kGroupDeleted;
  ring_.Publish();
  const Position published = Publish("ann");
  AwaitApplied(published);
  EXPECT_TRUE(HomeOf("ann").empty());
}

TEST_F(WorkerTest, AppliesNothingBehindTheRecordThatItStoppedAt) {
  MakeWorker(64 << 20, /*persons_max=*/1);
  // All three in one step of the worker.
  for (const char* author : {"ann", "bob", "ann"}) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kPublished;
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
  }
  const Position first(ms_ - 2, ShardIndex(0), 0);
  ring_.Publish();
  worker_->Start(std::vector<Position>(layout_.shard_count));
  const auto deadline = clock_.Monotonic() + kPatience;
  while (!worker_->failed()) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    std::this_thread::yield();
  }
  worker_->Stop();
  EXPECT_EQ(progress_.Applied(ShardIndex(0)), first);
  EXPECT_EQ(persons_->Find("ann")->posts->size(), 1u);
}

}  // namespace
}  // namespace klatch
