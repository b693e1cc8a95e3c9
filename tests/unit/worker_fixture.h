#pragma once
// A worker that owns everything, fed by hand with the events of one group, `g`.
//
// Thread safety: one thread at a time.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/deliver/worker.h"
#include "services/persons/person_store.h"

namespace klatch::testing {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

// Stands still until it is moved.
class StepClock final : public base::Clock {
 public:
  base::MonotonicTime Monotonic() const override {
    return base::MonotonicTime(milliseconds(now_ms_.load(std::memory_order_relaxed)));
  }
  base::WallTime Wall() const override {
    return base::WallTime(milliseconds(now_ms_.load(std::memory_order_relaxed)));
  }
  void Advance(milliseconds by) { now_ms_.fetch_add(by.count(), std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_ms_{1'000'000};
};

class WorkerFixture : public ::testing::Test {
 protected:
  void MakeWorker(size_t ring_bytes = 64 << 20, uint32_t persons_max = 1'000) {
    persons_ = std::make_unique<PersonStore>(layout_, persons_max, ring_bytes);
    worker_ = std::make_unique<Worker>(
        0, 1,
        Worker::Dependencies{layout_, ring_, progress_, epochs_, sizes_, steps_, quiet_after_},
        *persons_);
  }
  void StartWorker(size_t ring_bytes = 64 << 20) {
    MakeWorker(ring_bytes);
    worker_->Start(std::vector<Position>(layout_.shard_count));
  }

  WorkerFixture() { EXPECT_EQ(groups_.FindOrAdd(GroupId("g")), GroupIndex(0)); }
  ~WorkerFixture() override {
    if (worker_) {
      worker_->Stop();
    }
    progress_.Stop();
    executor_.Stop();
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
    slot->visible_from.reset();
    slot->has_past = false;
    slot->is_imported = false;
    slot->group = GroupIndex(0);
    return slot;
  }

  Position Change(const std::string& person, MemberChange::Kind kind, Role role,
                  std::optional<Position> visible_from = std::nullopt, bool has_past = false) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kMembersChanged;
    slot->visible_from = visible_from;
    slot->has_past = has_past;
    slot->changes.resize(1);
    slot->change_count = 1;
    slot->changes[0] = {person, layout_.PartitionOf(PersonId(person)), kind, role};
    ring_.Publish();
    return slot->position;
  }
  Position Join(const std::string& person) {
    return Change(person, MemberChange::Kind::kJoined, Role::kMember);
  }
  Position Leave(const std::string& person) {
    return Change(person, MemberChange::Kind::kLeft, Role::kNone);
  }

  Position Publish(const std::string& author) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kPublished;
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
    ring_.Publish();
    return slot->position;
  }

  Position Home(const std::string& author) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kHomed;
    slot->author = author;
    slot->author_partition = layout_.PartitionOf(PersonId(author));
    ring_.Publish();
    return slot->position;
  }
  Position Carry(UpdateId update) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kCarried;
    slot->update = update;
    ring_.Publish();
    return slot->position;
  }

  Position Switch(bool is_pulled) {
    Event* slot = Claim();
    slot->kind = Event::Kind::kDeliverySwitched;
    slot->is_pulled = is_pulled;
    ring_.Publish();
    return slot->position;
  }

  void AwaitQuiet(uint64_t count) {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (worker_->quiet() != count) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      std::this_thread::yield();
    }
  }
  void Read(const std::string& person) {
    persons_->Find(person)->seen_ns.store(
        std::chrono::nanoseconds(steps_.Monotonic().time_since_epoch()).count(),
        std::memory_order_relaxed);
  }

  void AwaitApplied(Position position) {
    const auto deadline = clock_.Monotonic() + kPatience;
    while (progress_.Applied(ShardIndex(0)) < position) {
      ASSERT_LT(clock_.Monotonic(), deadline);
      std::this_thread::yield();
    }
  }

  std::set<uint64_t> HomeOf(const std::string& person) {
    std::vector<lockfree::TimelineEntry> entries;
    uint64_t floor = 0;
    EXPECT_TRUE(
        persons_->Find(person)->home->CopyNewest(persons_->arena(), entries, 10'000, &floor));
    std::set<uint64_t> ids;
    for (const auto& entry : entries) {
      ids.insert(entry.id);
    }
    return ids;
  }

  const Layout layout_;
  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  lockfree::EpochReclaimer epochs_;
  lockfree::BroadcastRing<Event> ring_{64, 1};
  Progress progress_{layout_.shard_count, 1, executor_, clock_};
  // Of who reads; nobody falls quiet unless a test says after how long.
  StepClock steps_;
  milliseconds quiet_after_{0};
  GroupDirectory groups_{layout_, 10};
  GroupSizes sizes_{groups_, {.above = 2}};
  std::unique_ptr<PersonStore> persons_;
  std::unique_ptr<Worker> worker_;
  uint64_t ms_ = 1;
};

}  // namespace klatch::testing
