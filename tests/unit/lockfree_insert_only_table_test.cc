#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/lockfree/insert_only_table.h"

namespace klatch::lockfree {
namespace {

struct Counted {
  Counted(std::string name_in, int* alive_in) : name(std::move(name_in)), alive(alive_in) {
    ++*alive;
  }
  ~Counted() { --*alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  std::string_view key() const { return name; }

  std::string name;
  int* alive;
};

class InsertOnlyTableTest : public ::testing::Test {
 protected:
  std::unique_ptr<Counted> Make(const std::string& name) {
    return std::make_unique<Counted>(name, &alive_);
  }
  int alive_ = 0;
};

TEST_F(InsertOnlyTableTest, FindsWhatWasInsertedAndNothingElse) {
  InsertOnlyTable<Counted> table(10);
  EXPECT_EQ(table.Find("a"), nullptr);
  Counted* const a = table.Insert(Make("a"));
  Counted* const empty = table.Insert(Make(""));
  EXPECT_EQ(table.Find("a"), a);
  EXPECT_EQ(table.Find(""), empty);
  EXPECT_EQ(table.Find("b"), nullptr);
  EXPECT_EQ(table.Find("a", base::StableHash64("a")), a);
}

TEST_F(InsertOnlyTableTest, KeepsObjectsInPlaceAndInOrderWhileItGrows) {
  constexpr uint32_t kCount = 10'000;  // several doublings, several chunks
  InsertOnlyTable<Counted> table(kCount);
  std::vector<Counted*> inserted;
  for (uint32_t i = 0; i < kCount; ++i) {
    inserted.push_back(table.Insert(Make("key" + std::to_string(i))));
  }
  ASSERT_EQ(table.size(), kCount);
  for (uint32_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(table.Find("key" + std::to_string(i)), inserted[i]);
    EXPECT_EQ(&table.At(i), inserted[i]);
  }
}

TEST_F(InsertOnlyTableTest, RefusesPastItsBound) {
  InsertOnlyTable<Counted> table(2);
  EXPECT_NE(table.Insert(Make("a")), nullptr);
  EXPECT_NE(table.Insert(Make("b")), nullptr);
  EXPECT_EQ(table.Insert(Make("c")), nullptr);
  EXPECT_EQ(alive_, 2) << "the refused object is deleted";
  EXPECT_EQ(table.Find("c"), nullptr);
  EXPECT_EQ(table.size(), 2u);
}

TEST_F(InsertOnlyTableTest, SpreadsKeysWhoseHashesAgreeInTheirLowBits) {
  // As in a table that holds one partition's persons: it would take seconds if they all probed one
  // run.
  InsertOnlyTable<Counted> table(20'000);
  uint64_t tried = 0;
  while (table.size() < 20'000) {
    const std::string key = std::to_string(tried++);
    if (const uint64_t hash = base::StableHash64(key); hash % 64 == 7) {
      ASSERT_NE(table.Insert(Make(key), hash), nullptr);
    }
  }
  EXPECT_EQ(table.Find("none"), nullptr);
}

TEST_F(InsertOnlyTableTest, DeletesItsObjectsWithItself) {
  {
    InsertOnlyTable<Counted> table(100);
    for (int i = 0; i < 100; ++i) {
      table.Insert(Make(std::to_string(i)));
    }
    EXPECT_EQ(alive_, 100);
  }
  EXPECT_EQ(alive_, 0);
}

}  // namespace
}  // namespace klatch::lockfree
