// The model of memory against what C++20 says of small programs that are well known: what it
// permits is seen, what it forbids is not. Outcomes are gathered over all schedules.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/lockfree/primitives.h"
#include "tests/interleave/world.h"

namespace klatch::interleave {
namespace {

using lockfree::Atomic;
using lockfree::Mutex;
using lockfree::Plain;
using testing::Contains;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;
constexpr auto kAcqRel = std::memory_order_acq_rel;
constexpr auto kSeqCst = std::memory_order_seq_cst;

// What two loads have read.
using Reads = std::pair<int, int>;

// Plays all schedules, and gathers what `play` returns, or what was found instead.
template <typename F>
auto AllOutcomes(F play, std::set<std::string>* found = nullptr) {
  std::set<decltype(play(std::declval<World&>()))> outcomes;
  ExhaustiveSchedule schedule(100, 100);
  do {
    World world(schedule);
    try {
      outcomes.insert(play(world));
    } catch (const Found&) {
      if (found == nullptr) {
        ADD_FAILURE() << world.finding();
      } else {
        found->insert(world.finding());
      }
    }
  } while (schedule.Advance());
  EXPECT_FALSE(schedule.is_bounded());
  return outcomes;
}

std::set<Reads> MessagePassing(std::memory_order store, std::memory_order load) {
  return AllOutcomes([=](World& world) {
    Atomic<int> data = 0;
    Atomic<int> flag = 0;
    Reads reads;
    world.Together({[&] {
                      data.store(1, kRelaxed);
                      flag.store(1, store);
                    },
                    [&] {
                      reads.first = flag.load(load);
                      reads.second = data.load(kRelaxed);
                    }});
    return reads;
  });
}

TEST(MemoryTest, WhoAcquiresWhatWasReleasedSeesWhatWasBefore) {
  EXPECT_THAT(MessagePassing(kRelease, kAcquire),
              UnorderedElementsAre(Reads(0, 0), Reads(0, 1), Reads(1, 1)));
  EXPECT_THAT(MessagePassing(kRelaxed, kAcquire), Contains(Reads(1, 0)));
  EXPECT_THAT(MessagePassing(kRelease, kRelaxed), Contains(Reads(1, 0)));
}

// Each stores to its own, and reads the other's.
std::set<Reads> StoreBuffering(std::memory_order store, std::memory_order load) {
  return AllOutcomes([=](World& world) {
    Atomic<int> x = 0;
    Atomic<int> y = 0;
    Reads reads;
    world.Together({[&] {
                      x.store(1, store);
                      reads.first = y.load(load);
                    },
                    [&] {
                      y.store(1, store);
                      reads.second = x.load(load);
                    }});
    return reads;
  });
}

TEST(MemoryTest, OnlyAllSeqCstForbidsThatBothReadWhatWasBefore) {
  EXPECT_THAT(StoreBuffering(kSeqCst, kSeqCst),
              UnorderedElementsAre(Reads(0, 1), Reads(1, 0), Reads(1, 1)));
  EXPECT_THAT(StoreBuffering(kRelease, kAcquire), Contains(Reads(0, 0)));
  EXPECT_THAT(StoreBuffering(kSeqCst, kAcquire), Contains(Reads(0, 0)));
  EXPECT_THAT(StoreBuffering(kRelease, kSeqCst), Contains(Reads(0, 0)));
}

TEST(MemoryTest, NoThreadSeesAnAtomicGoBack) {
  const auto outcomes = AllOutcomes([](World& world) {
    Atomic<int> x = 0;
    Reads reads;
    world.Together({[&] {
                      x.store(1, kRelaxed);
                      x.store(2, kRelaxed);
                    },
                    [&] {
                      reads.first = x.load(kRelaxed);
                      reads.second = x.load(kRelaxed);
                    }});
    return reads;
  });
  EXPECT_THAT(outcomes, UnorderedElementsAre(Reads(0, 0), Reads(0, 1), Reads(0, 2), Reads(1, 1),
                                             Reads(1, 2), Reads(2, 2)));
}

// A thread stores; a second sees it and tells a third, which must not read an older value.
TEST(MemoryTest, WhatOneHasReadNobodyUnreadsWhoHearsOfIt) {
  const auto outcomes = AllOutcomes([](World& world) {
    Atomic<int> x = 0;
    Atomic<int> told = 0;
    Reads reads;
    world.Together({[&] { x.store(1, kRelaxed); },
                    [&] { told.store(1 + x.load(kRelaxed), kRelease); },
                    [&] {
                      reads.first = told.load(kAcquire);
                      reads.second = x.load(kRelaxed);
                    }});
    return reads;
  });
  EXPECT_THAT(outcomes, Contains(Reads(2, 1)));
  EXPECT_THAT(outcomes, Contains(Reads(1, 0)));
  EXPECT_THAT(outcomes, Not(Contains(Reads(2, 0))));
}

// Two read two independent stores in different order.
std::set<std::vector<int>> IndependentReads(std::memory_order load) {
  return AllOutcomes([=](World& world) {
    Atomic<int> x = 0;
    Atomic<int> y = 0;
    std::vector<int> reads(3);
    world.Together({[&] {
                      x.store(1, kSeqCst);
                      reads[0] = y.load(load);
                    },
                    [&] { y.store(1, kSeqCst); },
                    [&] {
                      reads[1] = y.load(load);
                      reads[2] = x.load(load);
                    }});
    return reads;
  });
}

TEST(MemoryTest, SeqCstHasOneOrderForAll) {
  // x before y to the first, y before x to the third.
  EXPECT_THAT(IndependentReads(kSeqCst), Not(Contains(std::vector<int>{0, 1, 0})));
  EXPECT_THAT(IndependentReads(kAcquire), Contains(std::vector<int>{0, 1, 0}));
}

TEST(MemoryTest, AReadModifyWriteReadsTheLastAndGoesOnWithARelease) {
  const auto outcomes = AllOutcomes([](World& world) {
    Atomic<int> data = 0;
    Atomic<int> count = 0;
    Reads reads;
    world.Together({[&] {
                      data.store(1, kRelaxed);
                      count.fetch_add(1, kRelease);
                    },
                    [&] { count.fetch_add(1, kRelaxed); },
                    [&] {
                      reads.first = count.load(kAcquire);
                      reads.second = data.load(kRelaxed);
                    }});
    EXPECT_EQ(count.load(kRelaxed), 2);
    return reads;
  });
  // A count of 1 may be the relaxed one alone; 2 has the release in its sequence, in either order.
  EXPECT_THAT(outcomes, Contains(Reads(1, 0)));
  EXPECT_THAT(outcomes, Not(Contains(Reads(2, 0))));
}

TEST(MemoryTest, ACompareExchangeSucceedsForOneOnly) {
  const auto outcomes = AllOutcomes([](World& world) {
    Atomic<int> x = 0;
    Reads reads;
    const auto take = [&x] {
      int expected = 0;
      return x.compare_exchange_strong(expected, 1, kAcqRel, kRelaxed) ? 1 : 0;
    };
    world.Together({[&] { reads.first = take(); }, [&] { reads.second = take(); }});
    return reads;
  });
  EXPECT_THAT(outcomes, UnorderedElementsAre(Reads(0, 1), Reads(1, 0)));
}

TEST(MemoryTest, PlainFieldsRaceUnlessAnOrderStandsBetween) {
  for (const bool is_released : {false, true}) {
    std::set<std::string> found;
    AllOutcomes(
        [&](World& world) {
          Plain<int> data = 0;
          Atomic<int> flag = 0;
          world.Together({[&] {
                            data = 1;
                            flag.store(1, is_released ? kRelease : kRelaxed);
                          },
                          [&] {
                            if (flag.load(kAcquire) == 1) {
                              world.Check(data == 1, "the data is old");
                            }
                          }});
          return 0;
        },
        &found);
    EXPECT_THAT(found, SizeIs(is_released ? 0 : 1));
  }
}

TEST(MemoryTest, AMutexOrdersAndKeepsOut) {
  const auto outcomes = AllOutcomes([](World& world) {
    Plain<int> count = 0;
    Mutex mutex;
    const auto add = [&] {
      const std::lock_guard lock(mutex);
      count = count + 1;
    };
    world.Together({add, add});
    return static_cast<int>(count);
  });
  EXPECT_THAT(outcomes, UnorderedElementsAre(2));
}

TEST(MemoryTest, WhatHasEndedIsNotUsed) {
  std::set<std::string> found;
  AllOutcomes(
      [&](World& world) {
        auto object = std::make_unique<Plain<int>>(1);
        Plain<int>* const seen = object.get();
        Atomic<int> is_deleted = 0;
        world.Together({[&] {
                          object.reset();
                          is_deleted.store(1, kRelease);
                        },
                        [&] {
                          if (is_deleted.load(kAcquire) == 0) {
                            static_cast<void>(static_cast<int>(*seen));
                          }
                        }});
        return 0;
      },
      &found);
  EXPECT_THAT(found, Not(SizeIs(0)));
}

}  // namespace
}  // namespace klatch::interleave
