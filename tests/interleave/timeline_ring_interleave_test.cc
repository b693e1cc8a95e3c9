// A timeline ring under forced interleavings: its writer, a flusher, and readers with any loads
// that memory permits. Entry number n has id n, counted from 1, and says so in all its fields.

#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <array>
#include <vector>

#include "common/lockfree/primitives.h"
#include "common/lockfree/ring_arena.h"
#include "common/lockfree/timeline_ring.h"
#include "tests/interleave/explore.h"

namespace klatch::lockfree {
namespace {

using interleave::Explore;
using interleave::World;

// An arena asks for huge pages; to zero one takes longer than an execution.
class NoHugePages : public testing::Environment {
 public:
  void SetUp() override { prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); }
};
[[maybe_unused]] const testing::Environment* const kNoHugePages =
    testing::AddGlobalTestEnvironment(new NoHugePages);

constexpr uint64_t kCapacity = CapacityOf(RingClass::k16);

TimelineEntry EntryOf(uint64_t id) {
  return {id, static_cast<uint32_t>(id * 7), static_cast<uint32_t>(id * 13)};
}

void AppendAll(TimelineRing& ring, RingArena& arena, uint64_t first_id, uint64_t last_id) {
  for (uint64_t id = first_id; id <= last_id; ++id) {
    ring.Append(arena, EntryOf(id));
  }
}

void FlushAll(TimelineRing& ring, const RingArena& arena) {
  std::vector<TimelineEntry> out;
  ring.MarkFlushed(ring.CopyUnflushed(arena, out));
}

// Leaves room for nothing but blocks of 16 entries, so that a ring laps in one.
void FillUp(RingArena& arena) {
  for (const RingClass ring_class : {RingClass::k1024, RingClass::k256, RingClass::k64}) {
    while (arena.Allocate(ring_class)) {
    }
  }
}

// An arena without room to grow, and a ring in it, full of entries 1 to 16.
struct FullRing {
  FullRing() {
    AppendAll(ring, arena, 1, 1);
    FillUp(arena);
    AppendAll(ring, arena, 2, kCapacity);
  }

  RingArena arena{1};
  TimelineRing ring;
};

void CheckWhole(World& world, const std::vector<TimelineEntry>& entries) {
  for (const TimelineEntry& entry : entries) {
    world.Check(entry == EntryOf(entry.id), "an entry is torn");
  }
}

// Of a ring that has dropped none.
void CheckInOrder(World& world, const std::vector<TimelineEntry>& entries) {
  CheckWhole(world, entries);
  for (size_t i = 0; i < entries.size(); ++i) {
    world.Check(entries[i].id == entries[0].id + i, "an entry is from elsewhere");
  }
}

// Copies, and checks that entries up to `appended`, which were appended before, are there or
// covered by the floor. Returns the least id that was copied; one more than `appended` if there is none.
uint64_t CopyAndCheck(World& world, const TimelineRing& ring, const RingArena& arena,
                      uint64_t appended,
                      void (*check)(World&, const std::vector<TimelineEntry>&) = CheckInOrder) {
  std::vector<TimelineEntry> entries;
  uint64_t floor = 0;
  const bool is_copied = ring.CopyNewest(arena, entries, 1'024, &floor);
  world.Check(is_copied || entries.empty(), "a failed copy has entries");
  check(world, entries);
  if (entries.empty()) {
    world.Check(floor >= appended, "entries are missing above the floor");
    return appended + 1;
  }
  world.Check(floor + 1 >= entries.front().id, "an entry is missing above the floor");
  world.Check(entries.back().id >= appended, "the newest entry is missing");
  return entries.front().id;
}

TEST(TimelineRingInterleaveTest, AReaderSeesNoTornEntryAndMissesNoneWhileTheWriterLaps) {
  Explore({.steps = 150}, [](World& world) {
    FullRing full;
    FlushAll(full.ring, full.arena);
    world.Together({[&] { AppendAll(full.ring, full.arena, 17, 22); },
                    [&] { CopyAndCheck(world, full.ring, full.arena, 16); },
                    [&] { CopyAndCheck(world, full.ring, full.arena, full.ring.head()); }});
    CopyAndCheck(world, full.ring, full.arena, 22);
  });
}

TEST(TimelineRingInterleaveTest, AReaderSeesNoTornEntryAndMissesNoneWhileTheRingGrows) {
  Explore({.steps = 200}, [](World& world) {
    RingArena arena(1);
    TimelineRing ring;
    TimelineRing other;
    AppendAll(ring, arena, 1, kCapacity);
    world.Together({[&] {
                      AppendAll(ring, arena, 17, 17);
                      // Into the block that the ring has left.
                      other.Append(arena, EntryOf(1'000));
                      AppendAll(ring, arena, 18, 18);
                    },
                    [&] { CopyAndCheck(world, ring, arena, 16); },
                    [&] {
                      std::vector<TimelineEntry> entries;
                      const uint64_t head = ring.CopyUnflushed(arena, entries);
                      CheckInOrder(world, entries);
                      world.Check(entries.size() == head && entries.front().id == 1,
                                  "the flusher has not got all");
                      ring.MarkFlushed(head);
                    }});
    CopyAndCheck(world, ring, arena, 18);
  });
}

TEST(TimelineRingInterleaveTest, TheFirstEntriesAreWholeForWhoSeesThem) {
  Explore({.steps = 20, .is_small = true}, [](World& world) {
    RingArena arena(1);
    TimelineRing ring;
    world.Together({[&] { AppendAll(ring, arena, 1, 2); },
                    [&] { CopyAndCheck(world, ring, arena, ring.head()); },
                    [&] {
                      std::vector<TimelineEntry> entries;
                      ring.CopyUnflushed(arena, entries);
                      CheckWhole(world, entries);
                    }});
  });
}

TEST(TimelineRingInterleaveTest, WhatIsGivenUpHasBeenFlushedForWhoFindsItGone) {
  Explore({.steps = 200}, [](World& world) {
    FullRing full;
    std::array<Plain<uint64_t>, 32> pages;
    world.Together({[&] { AppendAll(full.ring, full.arena, 17, 20); },
                    [&] {
                      for (int i = 0; i < 2; ++i) {
                        std::vector<TimelineEntry> entries;
                        const uint64_t head = full.ring.CopyUnflushed(full.arena, entries);
                        CheckWhole(world, entries);
                        for (const TimelineEntry& entry : entries) {
                          pages[entry.id] = entry.id;
                        }
                        full.ring.MarkFlushed(head);
                      }
                    },
                    [&] {
                      // The ring drops what comes before anything is flushed.
                      const uint64_t first =
                          CopyAndCheck(world, full.ring, full.arena, 16, CheckWhole);
                      for (uint64_t id = 1; id < first; ++id) {
                        world.Check(pages[id] == id, "what is gone is not flushed");
                      }
                    }});
  });
}

TEST(TimelineRingInterleaveTest, ACopyThatFailsToldAFloorAboveAllThatWasThere) {
  Explore({.steps = 1'500}, [](World& world) {
    FullRing full;
    FlushAll(full.ring, full.arena);
    Plain<uint64_t> note = 0;
    world.Together({[&] {
                      for (uint64_t id = 17; id <= 144; ++id) {
                        full.ring.Append(full.arena, EntryOf(id));
                        full.ring.MarkFlushed(id);
                      }
                      note = 1;
                      full.ring.RaiseFloor(1'000);
                    },
                    [&] {
                      std::vector<TimelineEntry> entries;
                      uint64_t floor = 0;
                      const bool is_copied =
                          full.ring.CopyNewest(full.arena, entries, kCapacity, &floor);
                      CheckInOrder(world, entries);
                      world.Check(is_copied || floor >= 16, "the floor is below what is gone");
                      world.Check(floor < 1'000 || note == 1, "the floor came before its reason");
                    }});
  });
}

// Appends 17 to 34, more than a lap, as if all were flushed at once.
void AppendALap(FullRing& full) {
  for (uint64_t id = 17; id <= 34; ++id) {
    full.ring.Append(full.arena, EntryOf(id));
    full.ring.MarkFlushed(id);
  }
}

// The reader may see no head but the first: then only the start tells it that all below is gone.
TEST(TimelineRingInterleaveTest, ACopyThatSeesOldHeadsKnowsTheFloorOfTheStart) {
  Explore({.steps = 150}, [](World& world) {
    FullRing full;
    FlushAll(full.ring, full.arena);
    world.Together(
        {[&] { AppendALap(full); }, [&] { CopyAndCheck(world, full.ring, full.arena, 16); }});
  });
}

TEST(TimelineRingInterleaveTest, WhoSeesAFloorSeesWhyItWasRaised) {
  Explore({.steps = 20, .is_small = true}, [](World& world) {
    RingArena arena(1);
    TimelineRing ring;
    AppendAll(ring, arena, 1, 2);
    Plain<uint64_t> note = 0;
    world.Together({[&] {
                      note = 1;
                      ring.RaiseFloor(100);
                    },
                    [&] { world.Check(ring.floor() < 100 || note == 1, "no reason"); },
                    [&] {
                      std::vector<TimelineEntry> entries;
                      uint64_t floor = 0;
                      ring.CopyNewest(arena, entries, 16, &floor);
                      world.Check(floor < 100 || note == 1, "no reason");
                    }});
  });
}

TEST(TimelineRingInterleaveTest, WhoSeesAHeadSeesWhatTheWriterDidBefore) {
  Explore({.steps = 10, .is_small = true}, [](World& world) {
    RingArena arena(1);
    TimelineRing ring;
    Plain<uint64_t> note = 0;
    world.Together({[&] {
                      note = 1;
                      AppendAll(ring, arena, 1, 1);
                    },
                    [&] { world.Check(ring.head() < 1 || note == 1, "no entry"); }});
  });
}

TEST(TimelineRingInterleaveTest, ARingNeverHasMoreThanWasAppended) {
  Explore({.steps = 150}, [](World& world) {
    FullRing full;
    FlushAll(full.ring, full.arena);
    world.Together(
        {[&] { AppendALap(full); },
         // The head may be 34 and the start still that of 16, but not the other way round.
         [&] { world.Check(full.ring.size() <= 34, "the size is absurd"); }});
  });
}

TEST(TimelineRingInterleaveTest, NoMoreIsUnflushedThanWasAppended) {
  Explore({.steps = 60, .is_small = true}, [](World& world) {
    FullRing full;
    FlushAll(full.ring, full.arena);
    world.Together({[&] { AppendAll(full.ring, full.arena, 17, 19); },
                    [&] { FlushAll(full.ring, full.arena); },
                    [&] { world.Check(full.ring.Unflushed() <= 3, "the unflushed are absurd"); }});
  });
}

}  // namespace
}  // namespace klatch::lockfree
