// A worker and its flusher on a real redis-server, fed with events by hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "services/materialize/flusher.h"
#include "services/materialize/loader.h"
#include "services/materialize/stored_ring.h"
#include "services/model/limits.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

class FlusherRedisTest : public testing::RedisTest {
 protected:
  ~FlusherRedisTest() override { StopAll(); }

  void StartAll(size_t ring_bytes, std::vector<Position> applied = {}) {
    applied.resize(layout_.shard_count);
    auto redis = Connect();
    group_ = *groups_.FindOrAdd(GroupId("g"));
    ASSERT_TRUE(leases_.TakeAll(*redis, clock_.Monotonic() + kPatience).ok());
    persons_ = std::make_unique<PersonStore>(layout_, 1'000, ring_bytes);
    worker_ = std::make_unique<Worker>(
        0, 1, Worker::Dependencies{layout_, ring_, progress_, epochs_}, *persons_);
    guard_ = std::make_unique<redis::RunGuard>(redis::Probe(*redis)->run_id);
    Loader loader(layout_, *redis, groups_, [this](const RestoredPerson& person) {
      return worker_->Restore(person.id, person.memberships, person.floor, person.hole_since);
    });
    ASSERT_TRUE(loader.LoadAll().ok());
    flusher_ = std::make_unique<Flusher>(
        Flusher::Dependencies{layout_, *worker_, groups_, leases_, *guard_, epochs_, clock_},
        Connect(), milliseconds(10));
    worker_->Start(applied);
  }

  void StopAll() {
    if (flusher_) {
      flusher_->Stop();
    }
    if (worker_) {
      worker_->Stop();
    }
  }

  Event* Claim() {
    Event* slot = ring_.TryClaim();
    while (slot == nullptr) {
      ring_.Publish();
      ring_.WaitForRoom(milliseconds(10));
      slot = ring_.TryClaim();
    }
    slot->position = Position(++ms_, ShardIndex(0), 0);
    slot->change_count = 0;
    slot->group = group_;
    return slot;
  }
  void Join(const std::string& person) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kMembersChanged;
    slot->changes.resize(1);
    slot->change_count = 1;
    slot->changes[0] = {person, layout_.PartitionOf(PersonId(person)), MemberChange::Kind::kJoined,
                        Role::kMember};
    ring_.Publish();
  }
  // Publishes `count` updates and writes them to the group's feed, as the publish script would.
  std::vector<uint64_t> PublishMany(const std::string& author, size_t count) {
    std::vector<uint64_t> ids;
    for (size_t i = 0; i < count; ++i) {
      Event* slot = Claim();
      slot->kind = Event::Kind::kPublished;
      slot->author = author;
      slot->author_partition = layout_.PartitionOf(PersonId(author));
      ids.push_back(slot->position.value());
      feed_.push_back(slot->position.value());
    }
    std::vector<uint64_t> newest = feed_;
    KeepNewest(newest, limits::kStoredSlotsMax);
    EXPECT_TRUE(Connect()->Call({"SET", keys_.Feed(GroupId("g")), PackRing(newest, 880)}).ok());
    ring_.Publish();
    return ids;
  }
  void AwaitApplied() {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (progress_.Applied(ShardIndex(0)).ms() < ms_) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      std::this_thread::yield();
    }
  }

  // Sorted, duplicates and all.
  std::vector<uint64_t> Stored(const std::string& key) {
    auto reply = Connect()->Call({"GET", key});
    EXPECT_TRUE(reply.ok());
    std::vector<uint64_t> ids = UnpackIds(reply->text());
    std::ranges::sort(ids);
    return ids;
  }
  std::vector<uint64_t> StoredHome(const std::string& person) {
    return Stored(keys_.Timeline(PersonId(person)));
  }

  const Layout layout_;
  const Keys keys_{layout_};
  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  lockfree::EpochReclaimer epochs_;
  lockfree::BroadcastRing<Event> ring_{16'384, 1};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  GroupDirectory groups_{layout_, 100};
  LeaseKeeper leases_{layout_, "node", std::chrono::seconds(60), clock_};
  GroupIndex group_;
  std::unique_ptr<PersonStore> persons_;
  std::unique_ptr<redis::RunGuard> guard_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Flusher> flusher_;
  std::vector<uint64_t> feed_;
  uint64_t ms_ = 0;
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

}  // namespace
}  // namespace klatch
