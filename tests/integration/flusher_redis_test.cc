// What a flusher makes of batches: stored timelines, views, holes, checkpoints.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/integration/flusher_fixture.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::kPatience;

class FlusherRedisTest : public testing::FlusherFixture {
 protected:
  // What a node leaves that is killed when views and holes were written and the checkpoint was not: ann has
  // joined at kJoined, with a past of three that is open to her. Its ids.
  std::vector<uint64_t> LeaveRestoredHole() {
    const PersonId ann("ann");
    const PartitionIndex partition = layout_.PartitionOf(ann);
    auto redis = Connect();
    const auto must = [&redis](const redis::Command& command) {
      EXPECT_TRUE(redis->Call(command).ok());
    };
    std::vector<uint64_t> past;
    for (uint64_t ms = 1; ms < kJoined.ms(); ++ms) {
      const UpdateId id(ms, ShardIndex(0), 0);
      past.push_back(id.value());
      must({"SET", keys_.Update(id), "\x01\x02 for members now"});
    }
    must({"SET", keys_.Feed(GroupId("g")), PackRing(past, 8)});
    std::string view = EncodeStay({Role::kMember, kJoined, Position()});
    base::AppendLittleEndian<uint64_t>(view, kJoined.value());
    must({"SADD", keys_.Persons(partition), "ann"});
    must({"HSET", keys_.PersonGroups(ann), "g", view});
    must({"HSET", keys_.Holes(partition), "ann", "1"});
    return past;
  }
  void AwaitMended(const std::string& person) {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (persons_->Find(person)->hole_since.load(std::memory_order_relaxed) != 0) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      ASSERT_TRUE(flusher_->Drain(deadline));
    }
  }

  static constexpr Position kJoined{4, ShardIndex(0), 0};
};

TEST_F(FlusherRedisTest, HoleIsWrittenThenRebuiltFromTheFeedsThenForgotten) {
  StartAll(64 << 20);
  Join("ann");
  // More than the largest ring holds, and nobody flushes yet.
  const std::vector<uint64_t> ids = PublishMany("bob", 1'500);
  AwaitApplied();
  ASSERT_GT(worker_->dropped(), 0u);
  const Person* ann = persons_->Find("ann");
  ASSERT_NE(ann->hole_since.load(std::memory_order_relaxed), 0u);
  flusher_->Start();
  const auto deadline = clock_.Monotonic() + kPatience;
  while (ann->hole_since.load(std::memory_order_relaxed) != 0) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    ASSERT_TRUE(flusher_->Drain(deadline));
  }
  ASSERT_TRUE(flusher_->Drain(deadline));
  std::vector<uint64_t> home = StoredHome("ann");
  KeepNewest(home, limits::kTimelineCap);
  std::vector<uint64_t> due = ids;
  KeepNewest(due, limits::kTimelineCap);
  EXPECT_EQ(home, due);
  auto hole = Connect()->Call({"HGET", keys_.Holes(layout_.PartitionOf(PersonId("ann"))), "ann"});
  ASSERT_TRUE(hole.ok());
  EXPECT_TRUE(hole->is_nil());
}

// A rebuild that ended and a copy that was dropped behind it, told in one batch: a node that is killed
// before the next rebuild ends must find the mark.
TEST_F(FlusherRedisTest, HoleBehindOneThatIsMendedInTheSameBatchStaysMarked) {
  StartAll(/*ring_bytes=*/0);
  Join("ann");
  Deliver("bob", 1);
  ring_.Publish();
  AwaitApplied();
  const Person* ann = persons_->Find("ann");
  const auto taken = worker_->TakeBatch({}, kPatience);
  ASSERT_TRUE(taken.has_value());
  ASSERT_EQ(taken->holes.size(), 1u);
  ASSERT_TRUE(worker_->Tell({.rebuilt = {{ann->index, taken->holes[0].generation}}}, kPatience));
  ASSERT_EQ(ann->hole_since.load(std::memory_order_relaxed), 0u);
  const uint64_t dropped = Deliver("bob", 1).front();
  ring_.Publish();
  AwaitApplied();
  ASSERT_EQ(ann->hole_since.load(std::memory_order_relaxed), dropped);
  // A feed that can't be read, so that no rebuild ends.
  auto redis = Connect();
  ASSERT_TRUE(redis->Call({"LPUSH", keys_.Feed(GroupId("g")), "foreign"}).ok());
  flusher_->Start();
  ASSERT_TRUE(DrainSoon());
  auto hole = redis->Call({"HGET", keys_.Holes(layout_.PartitionOf(PersonId("ann"))), "ann"});
  ASSERT_TRUE(hole.ok());
  EXPECT_EQ(hole->text(), std::to_string(dropped));
}

// Their ids don't tell at which position the group took them: often they are of other shards.
TEST_F(FlusherRedisTest, RebuildKeepsWhatWasPostedToSeveralGroupsAfterJoining) {
  constexpr uint64_t kBegin = 2'000'000;
  ms_ = kBegin;
  StartAll(/*ring_bytes=*/0);
  const std::vector<uint64_t> before = PublishMany("bob", 3);
  const UpdateId recent(kBegin - 1'000, ShardIndex(1), 0);
  const UpdateId old(kBegin - 1'000'000, ShardIndex(1), 0);
  const UpdateId taken_out(kBegin - 1'001, ShardIndex(1), 0);
  feed_.insert(feed_.end(), {recent.value(), taken_out.value(), old.value()});
  auto redis = Connect();
  Join("ann");
  const Position joined(ms_, ShardIndex(0), 0);
  // In the first's place one of one group; the others are of several, and say where the group has
  // them.
  const auto store = [&](uint64_t id, const std::string& header, const Carry& carry) {
    const std::string key = keys_.Carry(GroupId("g"), UpdateId(id));
    ASSERT_TRUE(redis->Call({"SET", keys_.Update(UpdateId(id)), header}).ok());
    ASSERT_TRUE(redis->Call({"SET", key, EncodeCarry(carry)}).ok());
  };
  const Carry after_joining{joined, AudienceRule::kMembersAtPosting, CarryRefusal::kNone};
  store(before[0], "\x01\x01 of one group", after_joining);
  store(before[1], "\x02\x01 of several", after_joining);
  store(before[2], "\x02\x01 of several",
        {Position(ms_ - 1, ShardIndex(0), 0), AudienceRule::kMembersNow, CarryRefusal::kNone});
  store(recent.value(), "\x02\x01 of several", after_joining);
  store(taken_out.value(), "\x02\x01 of several",
        {Position(), AudienceRule::kGroupDefault, CarryRefusal::kRemoved});
  store(old.value(), "\x02\x01 of several", after_joining);
  const std::vector<uint64_t> after = PublishMany("bob", 2);
  AwaitApplied();
  flusher_->Start();
  const Person* ann = persons_->Find("ann");
  const auto deadline = clock_.Monotonic() + kPatience;
  while (ann->hole_since.load(std::memory_order_relaxed) != 0) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    ASSERT_TRUE(flusher_->Drain(deadline));
  }
  ASSERT_TRUE(flusher_->Drain(deadline));
  std::vector<uint64_t> due = {before[1], recent.value(), after[0], after[1]};
  std::ranges::sort(due);
  EXPECT_EQ(StoredHome("ann"), due);
}

// More than one read takes, and among them somebody one of whose feeds can't be read.
TEST_F(FlusherRedisTest, HoleThatCantBeRebuiltKeepsNoOtherWaiting) {
  StartAll(/*ring_bytes=*/0);
  std::vector<std::string> persons;
  for (int i = 0; i < 150; ++i) {
    persons.push_back("person-" + std::to_string(i));
    Join(persons.back());
  }
  const GroupIndex group = std::exchange(group_, *groups_.FindOrAdd(GroupId("broken")));
  Join(persons[7]);
  group_ = group;
  ASSERT_TRUE(Connect()->Call({"LPUSH", keys_.Feed(GroupId("broken")), "foreign"}).ok());
  const std::vector<uint64_t> ids = PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_EQ(worker_->holes(), persons.size());
  flusher_->Start();
  const auto deadline = clock_.Monotonic() + kPatience;
  while (worker_->holes() > 1) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    ASSERT_TRUE(flusher_->Drain(deadline));
  }
  EXPECT_NE(persons_->Find(persons[7])->hole_since.load(std::memory_order_relaxed), 0u);
  for (const std::string& person : persons) {
    EXPECT_EQ(StoredHome(person), person == persons[7] ? std::vector<uint64_t>() : ids) << person;
  }
  ASSERT_TRUE(Connect()->Call({"DEL", keys_.Feed(GroupId("broken"))}).ok());
  while (worker_->holes() > 0) {
    ASSERT_LT(clock_.Monotonic(), deadline);
    ASSERT_TRUE(flusher_->Drain(deadline));
  }
  EXPECT_EQ(StoredHome(persons[7]), ids);
}

// The membership is ahead of the replay, which brings a member nothing from before they joined.
TEST_F(FlusherRedisTest, RestoredHoleIsRebuiltThoughTheReplayHasNotComeSoFar) {
  const std::vector<uint64_t> past = LeaveRestoredHole();
  StartAll(64 << 20);
  flusher_->Start();
  ASSERT_NO_FATAL_FAILURE(AwaitMended("ann"));
  EXPECT_EQ(StoredHome("ann"), past);
  // The replay.
  Deliver("bob", past.size());
  ASSERT_EQ(Position(ms_ + 1, ShardIndex(0), 0), kJoined);
  Join("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredHome("ann"), past);
}

// An answer that is an error tells nothing of whom an update is for.
TEST_F(FlusherRedisTest, HoleStaysWhileRedisRefusesToTellOfWhatIsDue) {
  const std::vector<uint64_t> past = LeaveRestoredHole();
  StartAll(64 << 20);
  auto redis = Connect();
  ASSERT_TRUE(redis->Call({"ACL", "SETUSER", "default", "-getrange"}).ok());
  flusher_->Start();
  // A rebuild is tried behind each batch.
  for (int batch = 0; batch < 3; ++batch) {
    ASSERT_TRUE(DrainSoon());
  }
  EXPECT_NE(persons_->Find("ann")->hole_since.load(std::memory_order_relaxed), 0u);
  ASSERT_TRUE(redis->Call({"ACL", "SETUSER", "default", "+getrange"}).ok());
  ASSERT_NO_FATAL_FAILURE(AwaitMended("ann"));
  EXPECT_EQ(StoredHome("ann"), past);
}

TEST_F(FlusherRedisTest, WhatAnAuthorPostedIsStoredThoughMemoryHadNoRoomForIt) {
  StartAll(64 << 20);
  const std::vector<uint64_t> ids = PublishMany("bob", 1'500);
  AwaitApplied();
  ASSERT_GT(worker_->dropped(), 0u);
  flusher_->Start();
  ASSERT_TRUE(flusher_->Drain(clock_.Monotonic() + kPatience));
  std::vector<uint64_t> posts = Stored(keys_.Posts(PersonId("bob")));
  KeepNewest(posts, limits::kTimelineCap);
  std::vector<uint64_t> due = ids;
  KeepNewest(due, limits::kTimelineCap);
  EXPECT_EQ(posts, due);
}

TEST_F(FlusherRedisTest, ReplayedEntriesTakeNoSecondSlotAfterATakeover) {
  StartAll(64 << 20);
  Join("ann");
  std::vector<uint64_t> ids;
  flusher_->Start();
  for (int i = 0; i < 9; ++i) {
    std::ranges::copy(PublishMany("bob", 100), std::back_inserter(ids));
    AwaitApplied();
    ASSERT_TRUE(flusher_->Drain(clock_.Monotonic() + kPatience));
  }
  StopAll();
  // A new worker and flusher; the last 300 are replayed, as after a kill before the checkpoint
  // moved.
  flusher_.reset();
  worker_.reset();
  persons_.reset();
  progress_.Advance(0, ShardIndex(0), Position());
  const uint64_t end = ms_;
  ms_ = end - 300;
  std::vector<Position> applied(layout_.shard_count);
  applied[0] = Position(ms_, ShardIndex(0), 0);
  StartAll(64 << 20, applied);
  flusher_->Start();
  PublishMany("bob", 300);
  AwaitApplied();
  ASSERT_TRUE(flusher_->Drain(clock_.Monotonic() + kPatience));
  std::vector<uint64_t> home = StoredHome("ann");
  EXPECT_EQ(std::set<uint64_t>(home.begin(), home.end()).size(), home.size()) << "duplicates";
  KeepNewest(home, limits::kTimelineCap);
  KeepNewest(ids, limits::kTimelineCap);
  EXPECT_EQ(home, ids);
}

TEST_F(FlusherRedisTest, TellsHowOldTheOldestEntryWasThatItWrote) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  constexpr milliseconds kAge = 3 * milliseconds(kPatience);
  ms_ = static_cast<uint64_t>(base::UnixMs(clock_.Wall()) - kEpochUnixMs - kAge.count());
  PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_GE(flusher_->entry_age(), kAge - milliseconds(3));
  EXPECT_LT(flusher_->entry_age(), kAge + kPatience);
  ms_ += kAge.count();
  PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_LT(flusher_->entry_age(), kPatience);
}

// From any step to any other: Redis would leave room for as much again in a string that it lengthens.
TEST_F(FlusherRedisTest, GrownTimelineTakesNoMoreMemoryThanItsSlots) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  const std::string key = keys_.Timeline(PersonId("ann"));
  for (const size_t count : {30, 300, 600}) {
    PublishMany("bob", count);
    AwaitApplied();
    ASSERT_TRUE(flusher_->Drain(clock_.Monotonic() + kPatience));
    const auto length = Connect()->Call({"STRLEN", key});
    const auto memory = Connect()->Call({"MEMORY", "USAGE", key});
    ASSERT_TRUE(length.ok() && memory.ok());
    // The allocator's classes are a quarter apart at most.
    EXPECT_LE(memory->integer(), length->integer() * 5 / 4 + 100) << "at " << length->integer();
  }
  EXPECT_EQ(StoredHome("ann").size(), limits::kStoredSlotsMax);
}

TEST_F(FlusherRedisTest, WritesNothingOnceAnotherNodeHasTheLease) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  PublishMany("bob", 3);
  AwaitApplied();
  ASSERT_TRUE(flusher_->Drain(clock_.Monotonic() + kPatience));
  const std::vector<uint64_t> before = StoredHome("ann");
  const PartitionIndex partition = layout_.PartitionOf(PersonId("ann"));
  ASSERT_TRUE(Connect()->Call({"HSET", keys_.Lease(partition), "nonce", "another"}).ok());
  PublishMany("bob", 3);
  AwaitApplied();
  EXPECT_FALSE(flusher_->Drain(clock_.Monotonic() + milliseconds(500)));
  EXPECT_EQ(StoredHome("ann"), before);
  ASSERT_TRUE(leases_.lost().has_value());
  EXPECT_EQ(*leases_.lost(), partition);
}

TEST_F(FlusherRedisTest, TimelineOfAnotherTypeIsReplacedAndRebuilt) {
  ASSERT_TRUE(Connect()->Call({"HSET", keys_.Timeline(PersonId("ann")), "a", "b"}).ok());
  ASSERT_TRUE(
      Connect()->Call({"SADD", keys_.Persons(layout_.PartitionOf(PersonId("ann"))), "ann"}).ok());
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  const std::vector<uint64_t> ids = PublishMany("bob", 5);
  AwaitApplied();
  ASSERT_TRUE(flusher_->Drain(clock_.Monotonic() + kPatience));
  EXPECT_EQ(StoredHome("ann"), ids);
}

TEST_F(FlusherRedisTest, DrainAfterALateAnswerOfTheWorkerWritesTheLastIntervalToo) {
  MakeAll(64 << 20);
  // Asked and not waited for, as by a flusher whose worker was held up.
  ASSERT_FALSE(worker_->TakeBatch({}, milliseconds(0)).has_value());
  worker_->Start(std::vector<Position>(layout_.shard_count));
  Join("ann");
  AwaitApplied();
  const std::vector<uint64_t> ids = PublishMany("bob", 3);
  AwaitApplied();
  flusher_->Start();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredHome("ann"), ids);
}

TEST_F(FlusherRedisTest, CheckpointGoesNoFurtherThanTheLogWasReadWhole) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  AwaitApplied();
  const Position whole(ms_, ShardIndex(0), 0);
  progress_.NoteWhole(ShardIndex(0), whole);
  Leave("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(Checkpoint("ann"), whole);
  EXPECT_EQ(StoredMemberships("ann"), 1)
      << "the tombstone stays while a replay could begin before it";
  progress_.NoteWhole(ShardIndex(0), Position(ms_, ShardIndex(0), 0));
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(Checkpoint("ann").ms(), ms_);
  EXPECT_EQ(StoredMemberships("ann"), 0);
}

TEST_F(FlusherRedisTest, TombstonesLeaveMemoryWhenTheyHaveLeftRedis) {
  StartAll(64 << 20);
  flusher_->Start();
  Join("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredMemberships("ann"), 1);
  Leave("ann");
  AwaitApplied();
  ASSERT_TRUE(DrainSoon());
  EXPECT_EQ(StoredMemberships("ann"), 0);
  // The worker hears of it with the next batch.
  ASSERT_TRUE(DrainSoon());
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  EXPECT_TRUE(persons_->Find("ann")->memberships.Load(guard)->items().empty());
}

}  // namespace
}  // namespace klatch
