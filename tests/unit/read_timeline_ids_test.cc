// Merging: the union of memory and store, newest first, each once, cut at the cap.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <random>
#include <set>
#include <string>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "services/read/timeline_ids.h"

namespace klatch {
namespace {

std::vector<UpdateId> Ids(std::initializer_list<uint64_t> values) {
  std::vector<UpdateId> ids;
  for (uint64_t value : values) {
    ids.emplace_back(value);
  }
  return ids;
}

TEST(TimelineIdsTest, SortsAndDropsDuplicatesOfBothSides) {
  const TimelineIds merged = MergeIds(Ids({5, 9, 5, 1}), Ids({9, 7, 2, 7}), 100);
  EXPECT_EQ(merged.ids, Ids({9, 7, 5, 2, 1}));
  EXPECT_FALSE(merged.is_cut);
}

TEST(TimelineIdsTest, KeepsTheNewestUpToTheCapAndSaysIfThereWereMore) {
  EXPECT_EQ(MergeIds(Ids({1, 2, 3}), Ids({4, 5}), 3).ids, Ids({5, 4, 3}));
  EXPECT_TRUE(MergeIds(Ids({1, 2, 3}), Ids({4, 5}), 3).is_cut);
  EXPECT_TRUE(MergeIds(Ids({1, 2, 3, 4}), {}, 3).is_cut);
  EXPECT_FALSE(MergeIds(Ids({1, 2, 3}), Ids({3, 2}), 3).is_cut);
}

TEST(TimelineIdsTest, DecodesStoredRingsWithoutEmptySlotsAndTornEnds) {
  std::string packed;
  for (uint64_t value : {8, 0, 3, 0, 0, 5}) {
    base::AppendLittleEndian<uint64_t>(packed, value);
  }
  EXPECT_EQ(DecodeStoredRing(packed), Ids({8, 3, 5}));
  EXPECT_EQ(DecodeStoredRing(packed + "1234567"), Ids({8, 3, 5}));
  EXPECT_TRUE(DecodeStoredRing("").empty());
  EXPECT_TRUE(DecodeStoredRing("123").empty());
}

TEST(TimelineIdsTest, FindsWhatLiesBelow) {
  const std::vector<UpdateId> ids = Ids({9, 7, 5});
  EXPECT_EQ(IdsBelow(ids, UpdateId(UINT64_MAX)).size(), 3u);
  EXPECT_EQ(IdsBelow(ids, UpdateId(9)).size(), 2u);
  EXPECT_EQ(IdsBelow(ids, UpdateId(8)).size(), 2u);
  EXPECT_TRUE(IdsBelow(ids, UpdateId(5)).empty());
  EXPECT_TRUE(IdsBelow(ids, UpdateId(0)).empty());
}

TEST(TimelineIdsTest, EqualsASetForRandomInput) {
  const uint64_t seed = base::RandomUint64();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::vector<UpdateId> sides[2];
    std::set<UpdateId, std::greater<>> expected;
    for (std::vector<UpdateId>& side : sides) {
      const size_t count = random() % 60;
      for (size_t i = 0; i < count; ++i) {
        side.emplace_back(1 + random() % 80);
        expected.insert(side.back());
      }
    }
    const size_t cap = 1 + random() % 100;
    std::vector<UpdateId> newest(expected.begin(), expected.end());
    const bool cut = newest.size() > cap;
    newest.resize(std::min(newest.size(), cap));
    const TimelineIds merged = MergeIds(sides[0], sides[1], cap);
    ASSERT_EQ(merged.ids, newest);
    ASSERT_EQ(merged.is_cut, cut);
  }
}

}  // namespace
}  // namespace klatch
