// What a worker takes over from the groups where their log does not tell.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "services/model/past.h"
#include "tests/unit/worker_fixture.h"

namespace klatch {
namespace {

using testing::kPatience;

Position At(uint64_t ms) { return {ms, ShardIndex(0), 0}; }

class WorkerGapTest : public testing::WorkerFixture {
 protected:
  static constexpr GroupIndex kGroup{0};
  // Trimmed between 1,000,000 and 2,000,000 ms.
  const LogGap trimmed_{ShardIndex(0), At(1'000'000), At(2'000'000), /*is_forked=*/false};
  // Written up to 1,000,000 ms, but the log ends at 900,000.
  const LogGap forked_{ShardIndex(0), At(1'000'000), At(900'000), /*is_forked=*/true};

  void Restore(const std::string& person, Position joined, Position changed) {
    ASSERT_TRUE(worker_
                    ->Restore(person, {{kGroup, {Role::kMember, joined, joined}, changed}},
                              trimmed_.from, 0)
                    .ok());
  }
  void Take(const LogGap& gap, const std::vector<GroupMember>& members) {
    ASSERT_TRUE(worker_->RestoreGroup(gap, kGroup, members).ok());
  }
  static GroupMember Member(const std::string& person, Position joined, Role role = Role::kMember) {
    return {person, {role, joined, joined}};
  }

  Role RoleOf(const std::string& person) { return StayOf(person).role; }
  Stay StayOf(const std::string& person) {
    const lockfree::EpochReclaimer::Guard guard(epochs_);
    const Person* found = persons_->Find(person);
    const MembershipList* list = found == nullptr ? nullptr : found->memberships.Load(guard);
    const Membership* membership = list == nullptr ? nullptr : list->Find(kGroup);
    return membership == nullptr ? Stay() : membership->stay;
  }
  uint64_t HoleOf(const std::string& person) { return persons_->Find(person)->hole_since.load(); }

  FlushBatch FirstBatch(Position after) {
    worker_->Start(std::vector<Position>(layout_.shard_count, after));
    std::optional<FlushBatch> batch = worker_->TakeBatch({}, kPatience);
    EXPECT_TRUE(batch.has_value());
    return batch ? *std::move(batch) : FlushBatch();
  }
};

TEST_F(WorkerGapTest, WhoStayedLacksWhatWasTrimmed) {
  MakeWorker();
  Restore("ann", At(500'000), At(500'000));
  Take(trimmed_, {Member("ann", At(500'000))});
  EXPECT_EQ(RoleOf("ann"), Role::kMember);
  EXPECT_EQ(HoleOf("ann"), OldestIdTakenFrom(trimmed_.from).value());
  EXPECT_EQ(persons_->Find("ann")->home->floor(), trimmed_.to.value());
  const FlushBatch batch = FirstBatch(trimmed_.to);
  EXPECT_TRUE(batch.views.empty()) << "the stored view is right";
  EXPECT_EQ(batch.holes.size(), 1u);
}

TEST_F(WorkerGapTest, WhoJoinedMeanwhileIsAMemberAndGetsWhatComes) {
  MakeWorker();
  Take(trimmed_, {Member("ann", At(1'500'000))});
  EXPECT_EQ(RoleOf("ann"), Role::kMember);
  ms_ = 3'000'000;
  const FlushBatch batch = FirstBatch(trimmed_.to);
  EXPECT_EQ(batch.new_persons.size(), 1u);
  ASSERT_EQ(batch.views.size(), 1u);
  EXPECT_EQ(batch.views[0].position, trimmed_.to);
  EXPECT_EQ(batch.holes.size(), 1u);
  const Position posted = Publish("bob");
  AwaitApplied(posted);
  EXPECT_TRUE(HomeOf("ann").contains(posted.value()));
}

TEST_F(WorkerGapTest, WhoLeftMeanwhileIsNoMemberAndGetsNothing) {
  MakeWorker();
  Restore("ann", At(500'000), At(500'000));
  Take(trimmed_, {});
  EXPECT_EQ(RoleOf("ann"), Role::kNone);
  EXPECT_EQ(HoleOf("ann"), 0u);
  ms_ = 3'000'000;
  const FlushBatch batch = FirstBatch(trimmed_.to);
  ASSERT_EQ(batch.views.size(), 1u);
  EXPECT_EQ(batch.views[0].stay.role, Role::kNone);
  const Position posted = Publish("bob");
  AwaitApplied(posted);
  EXPECT_TRUE(HomeOf("ann").empty());
}

// Their membership is of a record that the log has: what was before and behind it, the replay tells.
TEST_F(WorkerGapTest, WhatTheLogTellsIsLeftToTheReplay) {
  MakeWorker();
  Restore("ann", At(2'500'000), At(2'500'000));
  Take(trimmed_, {});
  EXPECT_EQ(RoleOf("ann"), Role::kMember);
  EXPECT_TRUE(FirstBatch(trimmed_.to).views.empty());
}

// Until a gap is noticed, views are written from behind it: what a role was changed in may have been lost in it.
TEST_F(WorkerGapTest, ViewsThatWereMadeBehindTheGapAreNotBelieved) {
  MakeWorker();
  ASSERT_TRUE(worker_->Restore("ann", {{kGroup, {}, At(2'500'000)}}, trimmed_.from, 0).ok());
  Restore("ben", At(500'000), At(2'500'000));
  Take(trimmed_, {Member("ann", At(1'500'000), Role::kModerator),
                  Member("ben", At(1'600'000), Role::kModerator)});
  EXPECT_EQ(RoleOf("ann"), Role::kModerator) << "the join was in the gap";
  EXPECT_EQ(StayOf("ben").joined, At(1'600'000)) << "so was that of who came back";
  ms_ = 2'499'999;
  const FlushBatch batch = FirstBatch(trimmed_.to);
  const uint32_t ann = persons_->Find("ann")->index;
  const auto last =
      std::ranges::find(batch.views.rbegin(), batch.views.rend(), ann, &ViewChange::person);
  ASSERT_NE(last, batch.views.rend());
  EXPECT_EQ(last->stay.role, Role::kModerator) << "behind her tombstone, which waits to be removed";
  AwaitApplied(Change("ann", MemberChange::Kind::kRoleChanged, Role::kMember));
  EXPECT_EQ(RoleOf("ann"), Role::kMember) << "the log goes on from there";
}

TEST_F(WorkerGapTest, MembershipsOfRecordsThatAreGoneAreTakenBack) {
  MakeWorker();
  Restore("ann", At(950'000), At(950'000));
  Restore("ben", At(400'000), At(400'000));
  Take(forked_, {Member("ben", At(400'000))});
  EXPECT_EQ(RoleOf("ann"), Role::kNone);
  EXPECT_EQ(RoleOf("ben"), Role::kMember);
  EXPECT_EQ(HoleOf("ben"), 0u) << "nothing was trimmed";
}

// Else what the log tells below the position of the record that is gone would be passed over.
TEST_F(WorkerGapTest, AnEqualStayOfARecordThatIsGoneEndsByTheLog) {
  MakeWorker();
  Restore("ann", At(400'000), At(950'000));
  Take(forked_, {Member("ann", At(400'000))});
  EXPECT_EQ(RoleOf("ann"), Role::kMember);
  EXPECT_EQ(HoleOf("ann"), 0u);
  ms_ = 920'000;
  FirstBatch(forked_.to);
  AwaitApplied(Leave("ann"));
  EXPECT_EQ(RoleOf("ann"), Role::kNone);
}

TEST_F(WorkerGapTest, ARoleThatWasChangedMeanwhileCounts) {
  MakeWorker();
  Restore("ann", At(500'000), At(500'000));
  Take(trimmed_, {Member("ann", At(500'000), Role::kModerator)});
  EXPECT_EQ(RoleOf("ann"), Role::kModerator);
}

TEST_F(WorkerGapTest, APostIsBroughtBackToItsAuthorsProfile) {
  MakeWorker();
  const UpdateId id = At(1'500'000);
  ASSERT_TRUE(worker_->RestorePost("ann", id).ok());
  EXPECT_EQ(persons_->Find("ann")->posts->floor(), id.value());
  const FlushBatch batch = FirstBatch(trimmed_.to);
  ASSERT_EQ(batch.spilled.size(), 1u);
  EXPECT_EQ(batch.spilled[0].id, id.value());
  EXPECT_EQ(batch.timelines.size(), 1u);
}

// Memberships are as they are at the log's end, and the replay begins before: who has joined meanwhile gets
// nothing from before.
TEST_F(WorkerGapTest, AReplayGivesNothingFromBeforeAJoin) {
  MakeWorker();
  Take(trimmed_, {Member("ann", At(2'500'000))});
  worker_->NoteRestored(At(3'000'000));
  ms_ = 2'200'000;
  FirstBatch(trimmed_.to);
  const Position before = Publish("bob");
  ms_ = 2'600'000;
  const Position after = Publish("bob");
  AwaitApplied(after);
  EXPECT_FALSE(HomeOf("ann").contains(before.value()));
  EXPECT_TRUE(HomeOf("ann").contains(after.value()));
}

}  // namespace
}  // namespace klatch
