#pragma once
// A worker and its flusher on a real redis-server, fed with events by hand.
//
// Thread safety: one thread at a time.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "services/materialize/flusher.h"
#include "services/materialize/loader.h"
#include "services/materialize/stored_ring.h"
#include "services/model/limits.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

class FlusherFixture : public RedisTest {
 protected:
  ~FlusherFixture() override { StopAll(); }

  void StartAll(size_t ring_bytes, std::vector<Position> applied = {}) {
    applied.resize(layout_.shard_count);
    MakeAll(ring_bytes);
    worker_->Start(applied);
  }

  // All but the worker's start.
  void MakeAll(size_t ring_bytes) {
    auto redis = Connect();
    group_ = *groups_.FindOrAdd(GroupId("g"));
    ASSERT_TRUE(leases_.TakeAll(*redis, clock_.Monotonic() + kPatience).ok());
    persons_ = std::make_unique<PersonStore>(layout_, 1'000, ring_bytes);
    worker_ = std::make_unique<Worker>(
        0, 1, Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, clock_}, *persons_);
    guard_ = std::make_unique<redis::RunGuard>(redis::Probe(*redis)->run_id);
    Loader loader(layout_, *redis, groups_,
                  [this](PartitionIndex /*partition*/, UpdateId floor, RestoredPerson person) {
                    return worker_->Restore(person.id, std::move(person.memberships), floor,
                                            person.hole_since);
                  });
    ASSERT_TRUE(loader.LoadAll().ok());
    flusher_ = std::make_unique<Flusher>(
        Flusher::Dependencies{layout_, *worker_, groups_, progress_, leases_, *guard_, epochs_,
                              clock_},
        flusher_redis_ ? std::move(flusher_redis_) : Connect(), milliseconds(10));
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
  void Change(const std::string& person, MemberChange::Kind kind, Role role) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kMembersChanged;
    slot->changes.resize(1);
    slot->change_count = 1;
    slot->changes[0] = {person, layout_.PartitionOf(PersonId(person)), kind, role};
    ring_.Publish();
  }
  void Join(const std::string& person) {
    Change(person, MemberChange::Kind::kJoined, Role::kMember);
  }
  void Leave(const std::string& person) { Change(person, MemberChange::Kind::kLeft, Role::kNone); }
  // Publishes `count` updates and writes them to the group's feed, as the publish script would.
  std::vector<uint64_t> PublishMany(const std::string& author, size_t count) {
    std::vector<uint64_t> ids = Deliver(author, count);
    feed_.insert(feed_.end(), ids.begin(), ids.end());
    std::vector<uint64_t> newest = feed_;
    KeepNewest(newest, limits::kStoredSlotsMax);
    EXPECT_TRUE(Connect()->Call({"SET", keys_.Feed(GroupId("g")), PackRing(newest, 880)}).ok());
    ring_.Publish();
    return ids;
  }
  // What of it workers see; ring_.Publish shows it to them.
  std::vector<uint64_t> Deliver(const std::string& author, size_t count) {
    std::vector<uint64_t> ids;
    for (size_t i = 0; i < count; ++i) {
      Event* slot = Claim();
      slot->kind = Event::Kind::kPublished;
      slot->author = author;
      slot->author_partition = layout_.PartitionOf(PersonId(author));
      ids.push_back(slot->position.value());
    }
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

  // How many fields the stored view of a person has.
  int64_t StoredMemberships(const std::string& person) {
    auto reply = Connect()->Call({"HLEN", keys_.PersonGroups(PersonId(person))});
    EXPECT_TRUE(reply.ok());
    return reply.ok() ? reply->integer() : -1;
  }
  // Of shard 0, as the person's partition has it.
  Position Checkpoint(const std::string& person) {
    auto reply = Connect()->Call({"GET", keys_.Checkpoint(layout_.PartitionOf(PersonId(person)))});
    EXPECT_TRUE(reply.ok());
    return reply.ok() && !reply->text().empty()
               ? Position(base::LoadLittleEndian<uint64_t>(reply->text(), 0))
               : Position();
  }
  bool DrainSoon() { return flusher_->Drain(clock_.Monotonic() + kPatience); }

  const Layout layout_;
  const Keys keys_{layout_};
  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  lockfree::EpochReclaimer epochs_;
  lockfree::BroadcastRing<Event> ring_{16'384, 1};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  GroupDirectory groups_{layout_, 100};
  GroupSizes sizes_{groups_, PullThresholds()};
  OthersLeases others_leases_{layout_.partition_count};
  LeaseKeeper leases_{layout_, "node", std::chrono::seconds(60), clock_, others_leases_};
  GroupIndex group_;
  std::unique_ptr<PersonStore> persons_;
  std::unique_ptr<redis::RunGuard> guard_;
  std::unique_ptr<Worker> worker_;
  // The flusher's, if it is to be another than the tests'. To be set before StartAll.
  std::unique_ptr<redis::Connection> flusher_redis_;
  std::unique_ptr<Flusher> flusher_;
  std::vector<uint64_t> feed_;
  uint64_t ms_ = 0;
};

}  // namespace klatch::testing
