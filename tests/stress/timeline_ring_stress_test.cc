// Timeline rings under one writer, one flusher and several readers. Attempt n at ring r has an id
// from which n and r can be computed back, and group and flags derived from the id: a torn entry,
// one of another ring's and one from the free list give themselves away.
//
// Everything in a ring is atomic, so the thread sanitizer has nothing to judge there. What the ring's
// orders must make visible beyond it stands in plain memory: what the writer did before it appended
// (read for each entry that was copied, and for the floor), and what the flusher did before it let
// go (read by the writer for each entry that it has overwritten).

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/lockfree/timeline_ring.h"
#include "tests/stress/findings.h"
#include "tests/stress/seed.h"

namespace klatch::lockfree {
namespace {

using stress::Findings;
using stress::Mixed;

constexpr int kReaders = 3;
// Each word of a copy is an event to the thread sanitizer: one round there takes as long as ten
// without it.
#if defined(__SANITIZE_THREAD__)
constexpr int kRoundsMax = 1;
#else
constexpr int kRoundsMax = 8;
#endif
constexpr int kRingBits = 8;
// Neighbours change places in groups of eight, so that ids don't rise with the attempts.
constexpr uint64_t kDisorder = 5;

uint64_t IdOf(uint64_t attempt, size_t ring) {
  return ((attempt + 8) ^ kDisorder) << kRingBits | ring;
}
uint64_t AttemptOf(uint64_t id) { return ((id >> kRingBits) ^ kDisorder) - 8; }
// The greatest id among the eight neighbours of an attempt.
uint64_t GreatestIdNear(uint64_t attempt, size_t ring) {
  return IdOf((attempt | 7) ^ kDisorder, ring);
}
TimelineEntry EntryOf(uint64_t attempt, size_t ring) {
  const uint64_t id = IdOf(attempt, ring);
  const uint64_t check = Mixed(id);
  return {id, static_cast<uint32_t>(check), static_cast<uint32_t>(check >> 32)};
}

// One ring and what its threads say of it.
struct Timeline {
  TimelineRing ring;
  std::atomic<uint64_t> attempts{0};  // by the writer, release: all below were appended or dropped
  // Plain. Written before the append, read by whoever has a copy of the entry.
  std::vector<uint64_t> before_append;
  // Plain. Written by the flusher before MarkFlushed, read by the writer when the entry is gone.
  std::vector<uint8_t> is_flushed;
  // The writer's own: attempts by their index in the ring, and how far the overwritten are checked.
  std::vector<uint64_t> appended;
  uint64_t overwritten = 0;
  std::vector<uint64_t> dropped;  // the writer's own, until it is joined
  std::vector<uint64_t> flushed;  // the flusher's own, until it is joined
};

// A flusher with its own thread lags behind, so that rings grow and drop; a writer that flushes as
// it goes laps with nearly every entry.
enum class Flushing { kByItsOwnThread, kByTheWriter };

// Who compares with the count of attempts acquires it, and with it everything below; what a reader
// sees by the ring alone depends on the ring's orders alone.
enum class Reading { kByTheRingAlone, kAgainstAttempts };

struct Plan {
  Flushing flushing;
  size_t rings;
  uint64_t attempts_per_ring;
  uint64_t burst_max;
  size_t arena_bytes;
  // The flusher passes over a timeline with this chance, so that some fill up.
  double flush_skip;
  int rounds;
  // A run with fewer has not shown what it is for.
  uint64_t drops_min;
};

class Run {
 public:
  Run(const Plan& plan, uint64_t seed)
      : plan_(plan), seed_(seed), arena_(plan.arena_bytes), timelines_(plan.rings) {
    for (Timeline& timeline : timelines_) {
      timeline.before_append.resize(plan.attempts_per_ring);
      timeline.is_flushed.resize(plan.attempts_per_ring);
      timeline.appended.reserve(plan.attempts_per_ring);
    }
  }

  void Play() {
    std::vector<std::thread> threads;
    for (int reader = 0; reader < kReaders; ++reader) {
      threads.emplace_back([this, reader] {
        Read(seed_ + 2 + static_cast<uint64_t>(reader),
             reader == 0 ? Reading::kByTheRingAlone : Reading::kAgainstAttempts);
      });
    }
    if (plan_.flushing == Flushing::kByItsOwnThread) {
      threads.emplace_back([this] { Flush(seed_ + 1); });
    }
    Write(seed_);
    writer_is_done_.store(true, std::memory_order_release);
    for (std::thread& thread : threads) {
      thread.join();
    }
    std::vector<TimelineEntry> entries;
    for (size_t r = 0; r < timelines_.size(); ++r) {
      FlushOne(r, entries);
      CheckEachOnce(r);
    }
  }

  Findings findings;
  std::atomic<uint64_t> copies{0};
  std::atomic<uint64_t> copies_refused{0};
  uint64_t drops = 0;
  uint64_t laps = 0;

 private:
  void Write(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<size_t> unfinished(timelines_.size());
    for (size_t r = 0; r < unfinished.size(); ++r) {
      unfinished[r] = r;
    }
    std::vector<TimelineEntry> entries;
    for (uint64_t burst = 1; !unfinished.empty(); ++burst) {
      if (plan_.flushing == Flushing::kByItsOwnThread && burst % BurstsBetweenPasses() == 0) {
        AwaitFlusherPass();
      }
      const size_t pick = random() % unfinished.size();
      const size_t r = unfinished[pick];
      // Relaxed: only tells readers where it is worth looking.
      busy_ring_.store(r, std::memory_order_relaxed);
      if (!AppendBurst(r, 1 + random() % plan_.burst_max)) {
        unfinished[pick] = unfinished.back();
        unfinished.pop_back();
      }
      if (plan_.flushing == Flushing::kByTheWriter) {
        FlushOne(r, entries);
      }
    }
  }

  // A few in a round: on a busy machine, a round can be over before the flusher has had its first
  // turn.
  uint64_t BurstsBetweenPasses() const {
    return plan_.rings * plan_.attempts_per_ring / plan_.burst_max / 2;
  }

  void AwaitFlusherPass() {
    const uint64_t before = flusher_passes_.load(std::memory_order_relaxed);
    while (flusher_passes_.load(std::memory_order_relaxed) == before) {
      std::this_thread::yield();
    }
  }

  // False when the timeline has had all its attempts.
  bool AppendBurst(size_t r, uint64_t count) {
    Timeline& timeline = timelines_[r];
    uint64_t attempt = timeline.attempts.load(std::memory_order_relaxed);
    const uint64_t end = std::min(attempt + count, plan_.attempts_per_ring);
    for (; attempt < end; ++attempt) {
      timeline.before_append[attempt] = Mixed(attempt);
      if (timeline.ring.Append(arena_, EntryOf(attempt, r)) == AppendResult::kDropped) {
        timeline.dropped.push_back(attempt);
      } else {
        timeline.appended.push_back(attempt);
      }
      CheckOverwritten(timeline);
      timeline.attempts.store(attempt + 1, std::memory_order_release);
    }
    return attempt < plan_.attempts_per_ring;
  }

  // Whatever the ring has given up was flushed.
  void CheckOverwritten(Timeline& timeline) {
    const uint64_t start = timeline.ring.head() - timeline.ring.size();
    for (; timeline.overwritten < start; ++timeline.overwritten) {
      if (timeline.is_flushed[timeline.appended[timeline.overwritten]] == 0) {
        findings.Add("an entry was overwritten that was not flushed");
      }
    }
  }

  void Flush(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::bernoulli_distribution skips(plan_.flush_skip);
    std::vector<TimelineEntry> entries;
    while (!writer_is_done_.load(std::memory_order_acquire)) {
      for (size_t r = 0; r < timelines_.size(); ++r) {
        if (!skips(random)) {
          // As often the ring that is being written, which may grow meanwhile.
          FlushOne(random() % 2 == 0 ? busy_ring_.load(std::memory_order_relaxed) : r, entries);
        }
      }
      // Relaxed: paces the writer, and makes nothing visible to it.
      flusher_passes_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void FlushOne(size_t r, std::vector<TimelineEntry>& entries) {
    Timeline& timeline = timelines_[r];
    const uint64_t head = timeline.ring.CopyUnflushed(arena_, entries);
    for (const TimelineEntry& entry : entries) {
      if (CheckWhole(r, entry, "flushed")) {
        timeline.flushed.push_back(AttemptOf(entry.id));
        timeline.is_flushed[AttemptOf(entry.id)] = 1;
      }
    }
    timeline.ring.MarkFlushed(head);
  }

  void Read(uint64_t seed, Reading reading) {
    std::mt19937_64 random(seed);
    std::vector<TimelineEntry> entries;
    while (!writer_is_done_.load(std::memory_order_acquire)) {
      const size_t r = random() % 4 == 0 ? random() % timelines_.size()
                                         : busy_ring_.load(std::memory_order_relaxed);
      if (reading == Reading::kByTheRingAlone || random() % 4 == 0) {
        ReadSome(r, random() % 2 == 0 ? 20 : SIZE_MAX, entries);
      } else {
        ReadAll(r, entries);
      }
    }
  }

  // False if the copy was refused. `floor` is set either way.
  bool Copy(size_t r, size_t n_max, std::vector<TimelineEntry>& entries, uint64_t* floor) {
    const bool is_copied = timelines_[r].ring.CopyNewest(arena_, entries, n_max, floor);
    (is_copied ? copies : copies_refused).fetch_add(1, std::memory_order_relaxed);
    CheckFloor(r, *floor);
    if (is_copied && entries.size() > n_max) {
      findings.Add("more than asked for");
    }
    return is_copied;
  }

  void ReadSome(size_t r, size_t n_max, std::vector<TimelineEntry>& entries) {
    uint64_t floor = 0;
    if (Copy(r, n_max, entries, &floor)) {
      CheckRising(r, entries);
    }
  }

  void ReadAll(size_t r, std::vector<TimelineEntry>& entries) {
    // Acquire: what was attempted before is what the floor must account for.
    const uint64_t attempts = timelines_[r].attempts.load(std::memory_order_acquire);
    uint64_t floor = 0;
    if (!Copy(r, SIZE_MAX, entries, &floor)) {
      return;
    }
    CheckRising(r, entries);
    // From the newest attempt down to where even the greatest id of eight neighbours is not above
    // the floor: what is above must be in the copy.
    auto copied = entries.rbegin();
    for (uint64_t n = attempts; n > 0 && GreatestIdNear(n - 1, r) > floor; --n) {
      const uint64_t attempt = n - 1;
      while (copied != entries.rend() && AttemptOf(copied->id) > attempt) {
        ++copied;
      }
      const bool is_in_copy = copied != entries.rend() && AttemptOf(copied->id) == attempt;
      if (!is_in_copy && IdOf(attempt, r) > floor) {
        findings.Add("attempt " + std::to_string(attempt) + " of ring " + std::to_string(r) +
                     " is above the floor and not in the copy");
        return;
      }
    }
  }

  // The floor is the id of an attempt, and not of one that is still to come.
  void CheckFloor(size_t r, uint64_t floor) {
    if (floor == 0) {
      return;
    }
    // Relaxed: the floor's own order makes what came before it visible.
    const uint64_t attempts = timelines_[r].attempts.load(std::memory_order_relaxed);
    const uint64_t attempt = AttemptOf(floor);
    if (attempt >= plan_.attempts_per_ring || floor > GreatestIdNear(attempts, r) ||
        timelines_[r].before_append[attempt] != Mixed(attempt)) {
      findings.Add("floor " + std::to_string(floor) + " of ring " + std::to_string(r) + " after " +
                   std::to_string(attempts) + " attempts");
    }
  }

  void CheckRising(size_t r, const std::vector<TimelineEntry>& entries) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!CheckWhole(r, entries[i], "read")) {
        return;
      }
      if (i > 0 && AttemptOf(entries[i].id) <= AttemptOf(entries[i - 1].id)) {
        findings.Add("entries out of order at " + std::to_string(i));
        return;
      }
    }
  }

  bool CheckWhole(size_t r, const TimelineEntry& entry, const char* who) {
    const uint64_t attempt = AttemptOf(entry.id);
    if (attempt < plan_.attempts_per_ring && entry == EntryOf(attempt, r)) {
      if (timelines_[r].before_append[attempt] != Mixed(attempt)) {
        findings.Add(std::string(who) + " an entry and not what was done before it was appended");
      }
      return true;
    }
    findings.Add(std::string(who) + " a broken entry in ring " + std::to_string(r) + ": id " +
                 std::to_string(entry.id) + " group " + std::to_string(entry.group) + " flags " +
                 std::to_string(entry.flags));
    return false;
  }

  // Every attempt was either dropped or flushed exactly once, in order.
  void CheckEachOnce(size_t r) {
    const Timeline& timeline = timelines_[r];
    drops += timeline.dropped.size();
    laps += timeline.ring.head() - timeline.ring.size();
    if (!std::is_sorted(timeline.flushed.begin(), timeline.flushed.end())) {
      findings.Add("flushed out of order");
    }
    std::vector<uint64_t> all = timeline.flushed;
    all.insert(all.end(), timeline.dropped.begin(), timeline.dropped.end());
    std::sort(all.begin(), all.end());
    bool is_complete = all.size() == plan_.attempts_per_ring;
    for (size_t i = 0; is_complete && i < all.size(); ++i) {
      is_complete = all[i] == i;
    }
    if (!is_complete) {
      findings.Add("ring " + std::to_string(r) + " flushed or dropped " +
                   std::to_string(all.size()) + " of " + std::to_string(plan_.attempts_per_ring));
    }
  }

  const Plan plan_;
  const uint64_t seed_;
  RingArena arena_;
  std::vector<Timeline> timelines_;
  std::atomic<size_t> busy_ring_{0};
  std::atomic<uint64_t> flusher_passes_{0};
  std::atomic<bool> writer_is_done_{false};
};

void PlayRounds(const Plan& plan) {
  const uint64_t seed = stress::PrintedSeed();
  uint64_t copies = 0;
  uint64_t drops = 0;
  uint64_t laps = 0;
  uint64_t refused = 0;
  for (int round = 0; round < std::min(plan.rounds, kRoundsMax); ++round) {
    auto run = std::make_unique<Run>(plan, seed + static_cast<uint64_t>(round) * 100);
    run->Play();
    ASSERT_EQ(run->findings.count(), 0u) << "round " << round << "\n" << run->findings.text();
    copies += run->copies.load();
    refused += run->copies_refused.load();
    drops += run->drops;
    laps += run->laps;
  }
  std::printf("copies %llu, refused %llu, overwritten %llu, dropped %llu\n",
              static_cast<unsigned long long>(copies), static_cast<unsigned long long>(refused),
              static_cast<unsigned long long>(laps), static_cast<unsigned long long>(drops));
  // Otherwise the run has shown nothing.
  EXPECT_GT(copies, 0u);
  EXPECT_GT(laps, 0u);
  if (plan.flushing == Flushing::kByItsOwnThread) {
    // Nobody is lapped all the time.
    EXPECT_LT(refused, copies / 2);
  }
  EXPECT_GE(drops, plan.drops_min);
}

TEST(TimelineRingStressTest, ReaderNeverSeesTornEntryWhileWriterLaps) {
  PlayRounds({.flushing = Flushing::kByTheWriter,
              .rings = 1,
              .attempts_per_ring = 400'000,
              .burst_max = 200,
              .arena_bytes = size_t{1} << 21,
              .flush_skip = 0,
              .rounds = 4,
              .drops_min = 0});
}

TEST(TimelineRingStressTest, FloorCoversWhatIsMissingWhileRingsGrowAndReuseBlocks) {
  PlayRounds({.flushing = Flushing::kByItsOwnThread,
              .rings = 192,
              .attempts_per_ring = 1'200,
              .burst_max = 48,
              .arena_bytes = size_t{64} << 20,
              .flush_skip = 0.5,
              .rounds = 8,
              .drops_min = 0});
}

TEST(TimelineRingStressTest, EachEntryIsFlushedOnceOrDroppedWhenTheArenaIsFull) {
  PlayRounds({.flushing = Flushing::kByItsOwnThread,
              .rings = 256,
              .attempts_per_ring = 3'000,
              .burst_max = 400,
              .arena_bytes = size_t{1} << 21,
              .flush_skip = 0.9,
              .rounds = 4,
              .drops_min = 1});
}

}  // namespace
}  // namespace klatch::lockfree
