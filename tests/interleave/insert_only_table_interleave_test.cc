// An insert-only table under forced interleavings: its writer, and readers that find, prefetch and
// index. Fields are plain, so that an order that doesn't publish them is a race.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/hash.h"
#include "common/lockfree/insert_only_table.h"
#include "common/lockfree/primitives.h"
#include "tests/interleave/explore.h"

namespace klatch::lockfree {
namespace {

using interleave::Explore;
using interleave::World;

class Person {
 public:
  explicit Person(uint64_t number) : key_(std::to_string(number)), number_(number) {}

  std::string_view key() const {
    static_cast<void>(static_cast<uint64_t>(number_));  // is published with it
    return key_;
  }
  uint64_t number() const { return number_; }

 private:
  const std::string key_;
  const Plain<uint64_t> number_;
};

using Table = InsertOnlyTable<Person>;

void Insert(Table& table, uint64_t first, uint64_t last) {
  for (uint64_t number = first; number <= last; ++number) {
    table.Insert(std::make_unique<Person>(number));
  }
}

// Finds one, which must be there if `is_known`.
void FindOne(World& world, const Table& table, uint64_t number, bool is_known) {
  const Person* const person = table.Find(std::to_string(number));
  world.Check(person != nullptr || !is_known, "an object is not found");
  world.Check(person == nullptr || person->number() == number, "another object is found");
}

void CheckAll(World& world, const Table& table) {
  const uint32_t size = table.size();
  for (uint32_t i = 0; i < size; ++i) {
    world.Check(table.At(i).number() == i, "an object has another's index");
    FindOne(world, table, i, true);
  }
}

TEST(InsertOnlyTableInterleaveTest, ReadersSeeWholeObjectsAndAllThatWereInserted) {
  Explore({.steps = 25, .is_small = true}, [](World& world) {
    Table table(4);
    world.Together({[&] { Insert(table, 0, 1); },
                    [&] {
                      FindOne(world, table, 0, false);
                      FindOne(world, table, 1, false);
                    },
                    [&] { CheckAll(world, table); }});
    world.Check(table.size() == 2, "an object is not counted");
    CheckAll(world, table);
  });
}

TEST(InsertOnlyTableInterleaveTest, AnObjectThatIsFoundHasAnIndex) {
  Explore({.steps = 25, .is_small = true}, [](World& world) {
    Table table(4);
    world.Together({[&] { Insert(table, 0, 1); },
                    [&] {
                      if (const Person* const person = table.Find("1")) {
                        world.Check(&table.At(1) == person, "an object has another's index");
                        world.Check(table.At(0).number() == 0, "an object has another's index");
                      }
                    }});
  });
}

// 48 of 64 slots are full: the next insertion doubles them.
TEST(InsertOnlyTableInterleaveTest, NothingIsLostWhileTheSlotsDouble) {
  Explore({.steps = 200}, [](World& world) {
    Table table(64);
    Insert(table, 0, 47);
    world.Together({[&] { Insert(table, 48, 49); },
                    [&] {
                      for (const uint64_t number : {0u, 17u, 47u}) {
                        FindOne(world, table, number, true);
                      }
                      FindOne(world, table, 48, table.size() > 48);
                    },
                    [&] {
                      const uint64_t hash = base::StableHash64("48");
                      table.PrefetchSlot(hash);
                      table.PrefetchFirst(hash);
                      FindOne(world, table, 49, false);
                    }});
    CheckAll(world, table);
  });
}

}  // namespace
}  // namespace klatch::lockfree
