// What a worker does for a scrub: memberships as the group has them, unless it knows better.

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "services/deliver/worker.h"
#include "services/persons/person_store.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};
const Stay kNoStay;

// A worker that owns everything, fed by hand, in one group of shard 0.
class WorkerMendTest : public testing::Test {
 protected:
  WorkerMendTest() {
    EXPECT_EQ(groups_.FindOrAdd(GroupId("g")), kGroup);
    worker_.Start(std::vector<Position>(layout_.shard_count));
  }
  ~WorkerMendTest() override {
    worker_.Stop();
    progress_.Stop();
    executor_.Stop();
  }

  Event* Claim(Event::Kind kind) {
    Event* slot = ring_.TryClaim();
    EXPECT_NE(slot, nullptr);
    slot->position = Position(++ms_, ShardIndex(0), 0);
    slot->kind = kind;
    slot->change_count = 0;
    slot->visible_from.reset();
    slot->has_past = false;
    slot->group = kGroup;
    return slot;
  }
  Position Change(const std::string& person, MemberChange::Kind kind, Role role) {
    Event* slot = Claim(Event::Kind::kMembersChanged);
    slot->changes.resize(1);
    slot->change_count = 1;
    slot->changes[0] = {person, layout_.PartitionOf(PersonId(person)), kind, role};
    return Send(slot);
  }
  Position Join(const std::string& person) {
    return Change(person, MemberChange::Kind::kJoined, Role::kMember);
  }
  Position Leave(const std::string& person) {
    return Change(person, MemberChange::Kind::kLeft, Role::kNone);
  }
  Position Publish(const std::string& author) {
    Event* slot = Claim(Event::Kind::kPublished);
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
    return Send(slot);
  }
  Position Send(Event* slot) {
    const Position position = slot->position;
    ring_.Publish();
    const auto deadline = clock_.Monotonic() + kPatience;
    while (progress_.Applied(ShardIndex(0)) < position && clock_.Monotonic() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(progress_.Applied(ShardIndex(0)), position);
    return position;
  }

  Mend Taking(const std::string& person, const Stay& stay, Position seen) const {
    return {persons_.Find(person)->index, {{kGroup, ShardIndex(0), stay, seen}}, false};
  }
  // The batch behind the order, which the order is in.
  FlushBatch Order(const Mend& mend) {
    worker_.Order({mend});
    return Batch();
  }
  FlushBatch Batch(FlusherNews news = {}) {
    std::optional<FlushBatch> batch = worker_.TakeBatch(std::move(news), milliseconds(5'000));
    EXPECT_TRUE(batch.has_value());
    return batch ? *std::move(batch) : FlushBatch();
  }
  // The stay in memory; nothing if there is not even a tombstone.
  std::optional<Stay> StayOf(const std::string& person) {
    const lockfree::EpochReclaimer::Guard guard(epochs_);
    const MembershipList* list = persons_.Find(person)->memberships.Load(guard);
    const Membership* membership = list == nullptr ? nullptr : list->Find(kGroup);
    return membership == nullptr ? std::nullopt : std::optional(membership->stay);
  }
  bool Has(const std::string& person, Position id) {
    return persons_.Find(person)->home->Contains(persons_.arena(), id.value());
  }

  static constexpr GroupIndex kGroup{0};
  const Layout layout_;
  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  lockfree::EpochReclaimer epochs_;
  lockfree::BroadcastRing<Event> ring_{64, 1};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  PersonStore persons_{layout_, 1'000, 64 << 20};
  GroupDirectory groups_{layout_, 100};
  GroupSizes sizes_{groups_, {}};
  Worker worker_{0, 1, Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, clock_},
                 persons_};
  uint64_t ms_ = 1;
};

TEST_F(WorkerMendTest, AMemberWhoIsMissingIsTakenInAndTheTimelineRebuilt) {
  const Position joined = Join("ann");
  Leave("ann");
  const Position end = Publish("bob");
  const FlushBatch batch = Order(Taking("ann", Stay{Role::kMember, joined, joined}, end));
  EXPECT_EQ(StayOf("ann"), (Stay{Role::kMember, joined, joined}));
  ASSERT_EQ(batch.holes.size(), 1u);
  EXPECT_EQ(batch.holes[0].since, 1u);
  EXPECT_EQ(worker_.holes(), 1u);
  EXPECT_TRUE(Has("ann", Publish("bob"))) << "updates reach whoever is taken in";
}

TEST_F(WorkerMendTest, AMemberWhoIsNoneGetsNothingMore) {
  Join("ann");
  const Position end = Publish("bob");
  Batch();
  const FlushBatch batch = Order(Taking("ann", kNoStay, end));
  EXPECT_EQ(StayOf("ann"), kNoStay);
  ASSERT_EQ(batch.views.size(), 1u);
  EXPECT_EQ(batch.views[0].stay, kNoStay);
  EXPECT_FALSE(Has("ann", Publish("bob")));
}

// The stay was read before the member left: taking it over would be a leak.
TEST_F(WorkerMendTest, WhoHasLeftSinceDoesNotComeBack) {
  const Position joined = Join("ann");
  const Stay stay{Role::kMember, joined, joined};
  Leave("ann");
  Order(Taking("ann", stay, joined));
  EXPECT_EQ(StayOf("ann"), kNoStay);
  EXPECT_FALSE(Has("ann", Publish("bob")));
}

TEST_F(WorkerMendTest, WhoHasLeftSinceDoesNotComeBackWhenTheTombstoneIsForgotten) {
  const Position joined = Join("ann");
  const Stay stay{Role::kMember, joined, joined};
  const Position left = Leave("ann");
  Batch();
  const uint32_t person = persons_.Find("ann")->index;
  Batch(FlusherNews{.removed = {{person, kGroup, kNoStay, left}}});
  ASSERT_EQ(StayOf("ann"), std::nullopt) << "the tombstone is there still";
  Order(Taking("ann", stay, joined));
  EXPECT_EQ(StayOf("ann"), std::nullopt);
  // An end from behind the leave is told by who has read the members since.
  Order(Taking("ann", stay, left));
  EXPECT_EQ(StayOf("ann"), stay);
}

TEST_F(WorkerMendTest, AViewThatIsOnlyStoredWronglyIsWrittenAgain) {
  const Position joined = Join("ann");
  Batch();
  const FlushBatch batch =
      Order(Taking("ann", Stay{Role::kMember, joined, joined}, Publish("bob")));
  ASSERT_EQ(batch.views.size(), 1u);
  EXPECT_EQ(batch.views[0].stay, (Stay{Role::kMember, joined, joined}));
  EXPECT_EQ(batch.views[0].position, joined);
  EXPECT_TRUE(batch.holes.empty()) << "the timeline is as it was";
}

TEST_F(WorkerMendTest, WhatTheGroupHadDecidedBeyondTheEndComesOnceMoreAndDoesNoHarm) {
  const Position joined = Join("ann");
  // The group has promoted ann at a position that is still to come here.
  const Position promoted(ms_ + 1, ShardIndex(0), 0);
  Order(Taking("ann", Stay{Role::kModerator, joined, joined}, joined));
  EXPECT_EQ(StayOf("ann")->role, Role::kModerator);
  EXPECT_EQ(Change("ann", MemberChange::Kind::kRoleChanged, Role::kModerator), promoted);
  EXPECT_EQ(StayOf("ann"), (Stay{Role::kModerator, joined, joined}));
  // And ann has left and come back.
  const Position again(ms_ + 2, ShardIndex(0), 0);
  Order(Taking("ann", Stay{Role::kMember, again, again}, promoted));
  Leave("ann");
  EXPECT_EQ(StayOf("ann"), (Stay{Role::kMember, again, again}));
  EXPECT_EQ(Join("ann"), again);
  EXPECT_EQ(StayOf("ann"), (Stay{Role::kMember, again, again}));
  Leave("ann");
  EXPECT_EQ(StayOf("ann"), kNoStay);
}

TEST_F(WorkerMendTest, ARebuildThatIsAskedForIsAHoleUntilItIsConfirmed) {
  Join("ann");
  const uint32_t person = persons_.Find("ann")->index;
  const FlushBatch batch = Order({person, {}, true});
  ASSERT_EQ(batch.holes.size(), 1u);
  EXPECT_EQ(persons_.Find("ann")->hole_since.load(), 1u);
  Batch(FlusherNews{.rebuilt = {{person, batch.holes[0].generation}}});
  EXPECT_EQ(persons_.Find("ann")->hole_since.load(), 0u);
  EXPECT_EQ(worker_.holes(), 0u);
}

}  // namespace
}  // namespace klatch
