// A broadcast ring and its bells under forced interleavings: one producer, two consumers. Items are
// plain, so that an order that doesn't publish them, or doesn't keep them, is a race.

#include <gtest/gtest.h>

#include <array>
#include <chrono>

#include "common/lockfree/broadcast_ring.h"
#include "common/lockfree/primitives.h"
#include "tests/interleave/explore.h"

namespace klatch::lockfree {
namespace {

using interleave::Explore;
using interleave::World;
using namespace std::chrono_literals;

// No timeout passes in the model, but the producer looks at the real clock.
constexpr auto kForever = 24h;

struct Item {
  Plain<uint64_t> number = 0;
};

using Ring = BroadcastRing<Item>;

// Takes at most `max` items, which must be those that follow. Returns how many it was.
size_t Take(World& world, Ring& ring, size_t consumer, uint64_t& expected, size_t max) {
  return ring.Poll(
      consumer,
      [&](const Item& item) {
        world.Check(item.number == expected, "a consumer misses an item or sees another");
        ++expected;
      },
      max);
}

TEST(BroadcastRingInterleaveTest, EveryConsumerSeesEveryItemOnceWholeAndInOrder) {
  Explore({.steps = 60, .is_small = true}, [](World& world) {
    Ring ring(2, 2);
    uint64_t published = 0;
    std::array<uint64_t, 2> expected{};
    const auto consume = [&](size_t consumer) {
      for (int i = 0; i < 4; ++i) {
        Take(world, ring, consumer, expected[consumer], consumer + 1);
      }
    };
    world.Together({[&] {
                      for (int i = 0; i < 5; ++i) {
                        if (Item* const item = ring.TryClaim()) {
                          item->number = published;
                          ++published;
                        }
                        if (i != 0) {
                          ring.Publish();
                        }
                      }
                    },
                    [&] { consume(0); }, [&] { consume(1); }});
    for (size_t consumer = 0; consumer < 2; ++consumer) {
      Take(world, ring, consumer, expected[consumer], 8);
      world.Check(expected[consumer] == published, "a consumer has not seen all");
    }
  });
}

TEST(BroadcastRingInterleaveTest, NobodySleepsForeverInARingOfOneSlot) {
  Explore({.steps = 600}, [](World& world) {
    constexpr uint64_t kItems = 3;
    Ring ring(1, 2);
    const auto consume = [&](size_t consumer) {
      uint64_t expected = 0;
      while (expected < kItems) {
        if (Take(world, ring, consumer, expected, 8) == 0) {
          ring.WaitForItems(consumer, kForever);
        }
      }
    };
    world.Together({[&] {
                      for (uint64_t i = 0; i < kItems; ++i) {
                        Item* item = ring.TryClaim();
                        while (item == nullptr) {
                          ring.WaitForRoom(kForever);
                          item = ring.TryClaim();
                        }
                        item->number = i;
                        ring.Publish();
                      }
                    },
                    [&] { consume(0); }, [&] { consume(1); }});
  });
}

TEST(BroadcastRingInterleaveTest, WhoCountsItemsSeesWhatWasDoneWithThem) {
  Explore({.steps = 20, .is_small = true}, [](World& world) {
    Ring ring(2, 1);
    Plain<uint64_t> made = 0;
    Plain<uint64_t> used = 0;
    world.Together({[&] {
                      ring.TryClaim()->number = 0;
                      made = 1;
                      ring.Publish();
                    },
                    [&] {
                      ring.Poll(
                          0, [&](const Item&) { used = 1; }, 1);
                    },
                    [&] {
                      world.Check(ring.published() == 0 || made == 1, "published came too early");
                      world.Check(ring.consumed(0) == 0 || used == 1, "consumed came too early");
                    }});
  });
}

// A sleeper waits for what two ringers do, which only the bell makes visible.
TEST(DoorbellInterleaveTest, NoRingIsLostBetweenLookingAndSleeping) {
  Explore({.steps = 150}, [](World& world) {
    Doorbell bell;
    std::array<Atomic<uint32_t>, 2> done;
    const auto ring = [&](size_t which) {
      done[which].store(1, std::memory_order_relaxed);
      bell.Ring();
    };
    world.Together({[&] {
                      while (true) {
                        const uint32_t seen = bell.Seen();
                        if (done[0].load(std::memory_order_relaxed) == 1 &&
                            done[1].load(std::memory_order_relaxed) == 1) {
                          break;
                        }
                        bell.WaitFor(seen, kForever);
                      }
                    },
                    [&] { ring(0); }, [&] { ring(1); }});
  });
}

TEST(DoorbellInterleaveTest, WhoHearsARingSeesWhatWasDoneBefore) {
  Explore({.steps = 150}, [](World& world) {
    Doorbell bell;
    Plain<uint64_t> note = 0;
    world.Together({[&] {
                      note = 1;
                      bell.Ring();
                    },
                    [&] {
                      if (bell.WaitFor(0, kForever)) {
                        world.Check(note == 1, "the ring came too early");
                      }
                    }});
  });
}

}  // namespace
}  // namespace klatch::lockfree
