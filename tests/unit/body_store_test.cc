#include "services/log/body_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace klatch {
namespace {

std::shared_ptr<const Body> MakeBody(std::string_view text, uint32_t revision = 0) {
  std::optional<Body> body = Body::Decode(
      EncodeBody({AudienceRule::kMembersNow, revision, PersonId("ann"), GroupId("hiking")}, text));
  return std::make_shared<const Body>(std::move(*body));
}

UpdateId Id(uint64_t ms, uint32_t shard = 3) { return {ms, ShardIndex(shard), 0}; }

TEST(BodyStoreTest, FindAnswersWhatWasPutAndNullOtherwise) {
  BodyStore store(1 << 20);
  const auto body = MakeBody("hi");
  store.Put(Id(1), body, store.Generation(ShardIndex(3)));
  EXPECT_EQ(store.Find(Id(1)), body);
  EXPECT_EQ(store.Find(Id(2)), nullptr);
  EXPECT_GT(store.bytes(), body->stored().size());
}

TEST(BodyStoreTest, PutAgainReplacesAndCountsOnce) {
  BodyStore store(1 << 20);
  store.Put(Id(1), MakeBody("hi"), 0);
  const size_t bytes = store.bytes();
  const auto second = MakeBody("yo");
  store.Put(Id(1), second, 0);
  EXPECT_EQ(store.Find(Id(1)), second);
  EXPECT_EQ(store.bytes(), bytes);
}

TEST(BodyStoreTest, DropForgetsAndRefusesWhatWasFetchedBefore) {
  BodyStore store(1 << 20);
  const uint64_t before = store.Generation(ShardIndex(3));
  store.Put(Id(1), MakeBody("old"), before);
  store.Drop(Id(1));
  EXPECT_EQ(store.Find(Id(1)), nullptr);
  EXPECT_EQ(store.bytes(), 0u);
  store.Put(Id(1), MakeBody("old"), before);
  EXPECT_EQ(store.Find(Id(1)), nullptr);
  store.Put(Id(1), MakeBody("new", 1), store.Generation(ShardIndex(3)));
  ASSERT_NE(store.Find(Id(1)), nullptr);
  EXPECT_EQ(store.Find(Id(1))->header().revision, 1u);
}

TEST(BodyStoreTest, DropOfOneShardLeavesFetchesOfOthers) {
  BodyStore store(1 << 20);
  const uint64_t other = store.Generation(ShardIndex(4));
  store.Drop(Id(1, 3));
  store.Put(Id(2, 4), MakeBody("hi"), other);
  EXPECT_NE(store.Find(Id(2, 4)), nullptr);
}

TEST(BodyStoreTest, OldestPutGoFirstPastTheBound) {
  constexpr size_t kBytesMax = 64 << 10;
  BodyStore store(kBytesMax);
  for (uint64_t ms = 1; ms <= 5000; ++ms) {
    store.Put(Id(ms), MakeBody("hi"), 0);
    ASSERT_LE(store.bytes(), kBytesMax);
  }
  EXPECT_EQ(store.Find(Id(1)), nullptr);
  EXPECT_NE(store.Find(Id(5000)), nullptr);
  EXPECT_GT(store.bytes(), kBytesMax / 2);
}

TEST(BodyStoreTest, DroppedAndPutAgainIsYoungAgain) {
  BodyStore store(16 * 1024);  // about three bodies a stripe
  store.Put(Id(1), MakeBody("hi"), 0);
  for (int i = 0; i < 1000; ++i) {  // stale queue entries neither pile up nor evict
    store.Drop(Id(1));
    store.Put(Id(1), MakeBody("hi"), store.Generation(ShardIndex(3)));
    ASSERT_NE(store.Find(Id(1)), nullptr);
  }
}

TEST(BodyStoreTest, BodyLargerThanItsPartIsNotKept) {
  BodyStore store(16 * 1024);
  store.Put(Id(1), MakeBody(std::string(2000, 'x')), 0);
  EXPECT_EQ(store.Find(Id(1)), nullptr);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(BodyStoreTest, ReaderKeepsABodyThatWasDropped) {
  BodyStore store(1 << 20);
  store.Put(Id(1), MakeBody("hi"), 0);
  const auto held = store.Find(Id(1));
  store.Drop(Id(1));
  EXPECT_EQ(held->update_bytes(), "hi");
}

// One edits (writes the truth, then drops), others fetch (generation, truth, put): what the store
// answers after a drop is never older than that drop's truth.
TEST(BodyStoreTest, NoFetchOlderThanADropIsKeptWhenTheyRace) {
  BodyStore store(1 << 20);
  std::atomic<uint32_t> truth{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> fetching;
  for (int i = 0; i < 2; ++i) {
    fetching.emplace_back([&] {
      // Relaxed: only ends the loop.
      while (!done.load(std::memory_order_relaxed)) {
        const uint64_t generation = store.Generation(ShardIndex(3));
        // Acquire and release stand for Redis, which orders a fetch after an edit.
        const uint32_t revision = truth.load(std::memory_order_acquire);
        store.Put(Id(1), MakeBody("hi", revision), generation);
      }
    });
  }
  for (uint32_t revision = 1; revision <= 20000; ++revision) {
    truth.store(revision, std::memory_order_release);
    store.Drop(Id(1));
    const auto found = store.Find(Id(1));
    if (found != nullptr) {
      ASSERT_GE(found->header().revision, revision);
    }
  }
  done.store(true, std::memory_order_relaxed);
  for (std::thread& thread : fetching) {
    thread.join();
  }
}

}  // namespace
}  // namespace klatch
