#include "services/materialize/flush_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <set>

#include "services/materialize/stored_ring.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// What Redis would do with the writes.
void CarryOut(const RingPlan& plan, std::string& stored) {
  for (const RingWrite& write : plan.writes) {
    switch (write.kind) {
      case RingWrite::Kind::kSet:
        stored = write.value;
        break;
      case RingWrite::Kind::kSetRange:
        stored.resize(std::max(stored.size(), write.offset + write.value.size()), '\0');
        stored.replace(write.offset, write.value.size(), write.value);
        break;
      case RingWrite::Kind::kGrow:
        stored.resize(std::max<size_t>(stored.size(), write.offset), '\0');
        break;
    }
  }
}

std::vector<uint64_t> Sorted(std::vector<uint64_t> ids) {
  std::ranges::sort(ids);
  return ids;
}

TEST(FlushPlanTest, StoredRingHoldsTheNewestCapThroughItsWholeLife) {
  constexpr uint64_t kSeed = 20240101;
  std::mt19937_64 random(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  for (int round = 0; round < 10; ++round) {
    StoredRing ring{true, 0, 0};
    std::string stored;
    uint64_t next_id = 1;
    for (int step = 0; step < 200; ++step) {
      const size_t deep = random() % 10 == 0 ? 1'000 : 60;
      std::vector<uint64_t> ids(1 + random() % deep);
      std::iota(ids.begin(), ids.end(), next_id);
      next_id += ids.size();
      std::ranges::shuffle(ids, random);
      const RingPlan plan = PlanAppend(ring, ids);
      CarryOut(plan, stored);
      ring = plan.after;
      ASSERT_EQ(stored.size(), ring.slots * kSlotBytes);
      std::vector<uint64_t> kept = UnpackIds(stored);
      KeepNewest(kept, limits::kTimelineCap);
      const uint64_t written = next_id - 1;
      const uint64_t expected = std::min<uint64_t>(written, limits::kTimelineCap);
      ASSERT_EQ(kept.size(), expected);
      ASSERT_EQ(kept.front(), written);
      ASSERT_EQ(kept.back(), written - expected + 1);
    }
  }
}

TEST(FlushPlanTest, CarryingOutAPlanTwiceChangesNothingMore) {
  StoredRing ring{true, 0, 0};
  std::string stored;
  for (uint64_t id = 1; id < 3'000; id += 7) {
    std::vector<uint64_t> ids(7);
    std::iota(ids.begin(), ids.end(), id);
    const RingPlan plan = PlanAppend(ring, ids);
    CarryOut(plan, stored);
    const std::string once = stored;
    CarryOut(plan, stored);
    ASSERT_EQ(stored, once);
    ring = plan.after;
  }
}

TEST(FlushPlanTest, RewriteDropsDuplicatesAndKeepsTheNewestCap) {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= 1'000; ++id) {
    ids.push_back(id);
    ids.push_back(id);
  }
  const RingPlan plan = PlanRewrite(ids);
  std::string stored;
  CarryOut(plan, stored);
  const std::vector<uint64_t> kept = Sorted(UnpackIds(stored));
  EXPECT_EQ(kept.size(), limits::kTimelineCap);
  EXPECT_EQ(kept.front(), 201u);
  EXPECT_EQ(plan.after, (StoredRing{true, limits::kStoredSlotsMax, limits::kTimelineCap}));
}

TEST(FlushPlanTest, AFullStepGrowsInsteadOfWrapping) {
  std::vector<uint64_t> ids(40);
  std::iota(ids.begin(), ids.end(), 1);
  std::string stored;
  RingPlan plan = PlanAppend({true, 0, 0}, ids);
  CarryOut(plan, stored);
  ASSERT_EQ(plan.after, (StoredRing{true, 40, 40}));
  const uint64_t next = 41;
  plan = PlanAppend(plan.after, {next});
  CarryOut(plan, stored);
  EXPECT_EQ(UnpackIds(stored).size(), 41u);
  EXPECT_EQ(plan.after, (StoredRing{true, 110, 41}));
}

TEST(StoredRingTest, UnpackIgnoresEmptySlotsAndARemainder) {
  std::string stored = PackRing(std::vector<uint64_t>{7, 9}, 4);
  stored += "abc";
  EXPECT_EQ(UnpackIds(stored), (std::vector<uint64_t>{7, 9}));
}

}  // namespace
}  // namespace klatch
