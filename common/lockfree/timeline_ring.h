#pragma once
// The newest entries of one timeline, in one cache line plus a block of a RingArena.
//
// Thread safety: one writer thread (the owner of the arena), one flusher thread, any number of
// readers. Each method says whose it is. Nobody waits for anybody: there is no lock and no loop of
// compare-and-swap.
// Lifetime: neither moves nor dies before its readers do; the arena outlives it.
// Bound: 16 entries at first, growing fourfold to 256 as they fill, to 1,024 only while the oldest
// entry is not flushed. Past that an entry that is flushed is overwritten; if it is not, the new
// one is dropped. The same holds at a smaller size when the arena is full. Rings don't shrink.
// Not promised: any order of ids. Entries stand in the order of their appending, and their ids come
// from several logs. So what the ring lacks is told by `floor`: the greatest id that it once held
// and has no more, that it dropped, or that its writer said is not in it (RaiseFloor).
//
//   descriptor ──▶ block of 2^k entries, entry i in slot i mod 2^k
//        ┌────┬────┬────┬────┬────┬────┬────┬────┐
//        │ 16 │ 17 │ 10 │ 11 │ 12 │ 13 │ 14 │ 15 │      start = 10   flushed = 13   head = 18
//        └────┴────┴────┴────┴────┴────┴────┴────┘      readable: [start, head)
//
// Proof sheet. W: the writer, R: a reader, F: the flusher.
//
//  W appends entry k over entry i = k - capacity:        R copies:
//    w1  floor   := max(floor, id of i)   release          r1  d1 := descriptor   acquire
//    w2  start   := i + 1                 release          r2  h  := head         acquire
//    w3  payload := words of k            release          r3  s  := start        acquire
//    w4  head    := k + 1                 release          r4  words of [s, h)    acquire
//  W grows:                                                r5  s2 := start        acquire
//    g1  words of [start, head) copied    release          r6  d2 := descriptor   relaxed
//    g2  descriptor := new block          release          r7  floor              acquire
//    g3  the old block to the free list   release        R keeps [s2, h) if d1 == d2, else it
//  F flushes:                                            tries again.
//    f1  words of [flushed, head)         acquire
//    f2  flushed := head                  release
//
//  1. No entry is older than its index says. r2 acquires w4, so the words of every entry below h
//     were stored before r4 loads them (w4's release publishes w3; without it, r4 could read what
//     was there before). After a growth, g2's release and r1 publish g1.
//  2. No entry is newer. If r4 loads a word that belongs to an entry k that overwrote i, it
//     acquires w3, hence r5 sees start > i and R discards i. Without release in w3 or acquire in r4,
//     r5 could be satisfied from before w2, and a torn entry would pass.
//  3. Nor does it come from elsewhere. If h counts entries that were appended after a growth, r2
//     acquired w4, which follows g2. If r4 loads a word that another ring or the free list put into
//     the old block, it acquires that word's release, which follows g2 in the same thread: the
//     writer of all rings of an arena is one. Either way r6 sees another descriptor. That it is
//     another even if the ring gets the same block back, the version in it says: it would take
//     65,536 growths during one read, and a ring grows 4 times. r6 itself may be relaxed: what it
//     must see happened before it, and if it sees d1, r1 has acquired that.
//  4. Nothing is missing in silence. What r4 didn't copy of [0, h) lies below s or s2; r5 acquires
//     w2, so r7 sees w1: its id is at most floor. That is why floor is read last, and why w1
//     precedes w2.
//  5. What is not flushed is never overwritten: W overwrites i only if i < flushed, loaded with
//     acquire. f2's release follows f1, so F's loads of i precede W's stores to the slot. F's
//     copies therefore need no check against start.
//  6. start, head, floor and flushed never decrease, and head - capacity <= start <= head.
//  7. When CopyNewest says false, every entry whose append happened before the call has been given
//     up by W, and was therefore flushed (5): what F wrote of it elsewhere is there for who asks
//     after the call (f2, W's load of flushed, w2 and r3 or r5 are a chain of releases and
//     acquires). Each of the 8 attempts has failed in one of three ways:
//     a. A growth since r1: r6 differs, or h - s exceeds d1's capacity. The next r1 sees it, so
//        each growth fails one attempt, and there are 4 in a ring's life.
//     b. s > h: all below h are given up, and r2 saw the head of every earlier append.
//     c. More than half of the wanted entries [h - w, h) were overwritten: s2 >= h - w/2 + 1/2.
//        At least 4 attempts are left for b and c; without b, two of them are c. When W gave up
//        s2 - 1 the ring was full, and its capacity C was d1's (r1 saw all growths before, r6 none
//        after), so C >= w, and r5 acquires a head of s2 - 1 + C. A later attempt of this kind has
//        h' >= s2 - 1 + C and wants [f, h') with f >= s' >= s2. It ends with
//        s2' >= (f + h' + 1)/2 >= s2 + C/2 > h: all below h are given up.
//
// Progress: W and MarkFlushed are wait-free. CopyUnflushed tries again only when the ring has
// grown, so at most 4 times in a ring's life. CopyNewest tries at most kCopyAttemptsMax times, then
// says false.
// Source: the sequence lock with atomic words of H.-J. Boehm, "Can seqlocks get along with
// programming language memory models?", MSPC 2012, with an index in the place of the sequence.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/lockfree/cache_line.h"
#include "common/lockfree/primitives.h"
#include "common/lockfree/ring_arena.h"

namespace klatch::lockfree {

struct TimelineEntry {
  uint64_t id = 0;
  uint32_t group = 0;
  uint32_t flags = 0;

  friend bool operator==(const TimelineEntry&, const TimelineEntry&) = default;
};
static_assert(sizeof(TimelineEntry) == kTimelineEntryBytes);

enum class AppendResult { kOk, kDropped };

class alignas(kCacheLineBytes) TimelineRing {
 public:
  static constexpr int kCopyAttemptsMax = 8;

  TimelineRing() = default;
  TimelineRing(const TimelineRing&) = delete;
  TimelineRing& operator=(const TimelineRing&) = delete;

  // Appends, growing or overwriting as said above. kDropped: the entry is not stored, and floor is
  // at least its id. Writer. REQUIRES: always the same arena.
  AppendResult Append(RingArena& arena, const TimelineEntry& entry) {
    const uint64_t head = head_.load(std::memory_order_relaxed);  // its own store
    const uint64_t start = start_.load(std::memory_order_relaxed);
    uint64_t descriptor = descriptor_.load(std::memory_order_relaxed);
    if (head - start == CapacityOf(ClassOf(descriptor))) {
      // Acquire, paired with MarkFlushed: the flusher has read the slot before it is overwritten.
      const bool oldest_is_flushed = flushed_.load(std::memory_order_acquire) > start;
      if (oldest_is_flushed && ClassOf(descriptor) >= RingClass::k256) {
        GiveUpOldest(arena, descriptor, start);
      } else if (MakeRoom(arena, head, oldest_is_flushed)) {
        descriptor = descriptor_.load(std::memory_order_relaxed);
      } else {
        RaiseFloor(entry.id);
        return AppendResult::kDropped;
      }
    }
    StoreEntry(SlotOf(arena, descriptor, head), entry);
    // Release publishes the words to readers that load head with acquire (invariant 1).
    head_.store(head + 1, std::memory_order_release);
    return AppendResult::kOk;
  }

  // Whether an entry with this id is in the ring. Writer; looks at the newest first.
  bool Contains(const RingArena& arena, uint64_t id) const;

  // Says that ids up to this one may exist that are not in the ring. Writer.
  void RaiseFloor(uint64_t id) {
    if (id > floor_.load(std::memory_order_relaxed)) {
      // Release, so that who acts on the floor sees what the writer did before it was raised. Its
      // order against start is made by start's own release (invariant 4).
      floor_.store(id, std::memory_order_release);
    }
  }

  // Replaces `out` by the newest entries, at most n_max, in the order of their appending, and sets
  // `floor`: each entry that was appended before the call and whose id is greater is in `out`, if
  // n_max cut nothing off. Any thread. False if the writer overwrote or moved the entries at each
  // attempt: `out` is empty then, floor is set, and all that was appended before the call is
  // flushed (invariant 7).
  bool CopyNewest(const RingArena& arena, std::vector<TimelineEntry>& out, size_t n_max,
                  uint64_t* floor) const;

  // Entries in the ring, entries not flushed, and entries ever appended. Any thread; the writer or
  // the flusher may have changed them meanwhile.
  size_t size() const;
  size_t Unflushed() const;
  // Acquire: the entries below it can be copied.
  uint64_t head() const { return head_.load(std::memory_order_acquire); }
  uint64_t floor() const { return floor_.load(std::memory_order_acquire); }

  // Replaces `out` by all entries that are not flushed, in the order of their appending, and
  // returns the head to give to MarkFlushed when they are written. Flusher.
  uint64_t CopyUnflushed(const RingArena& arena, std::vector<TimelineEntry>& out) const;

  // Permits the writer to overwrite the entries below this head. Flusher. REQUIRES: CopyUnflushed
  // returned it.
  void MarkFlushed(uint64_t up_to_head) {
    // Release, paired with the acquire in Append: the flusher's loads come before the writer's
    // stores to the same slots (invariant 5).
    flushed_.store(up_to_head, std::memory_order_release);
  }

  // The flush epoch in whose dirty list the timeline is; for the writer's own use.
  uint32_t dirty_epoch() const { return dirty_epoch_; }
  void set_dirty_epoch(uint32_t epoch) { dirty_epoch_ = epoch; }

  // Begins to fetch the slot of the next append, beside which the newest entries stand. Who calls it some timelines
  // ahead, and fetches the ring itself further ahead, hides the two misses that a visit costs. Any thread.
  void PrefetchNextSlot(const RingArena& arena) const {
    const uint64_t descriptor = descriptor_.load(std::memory_order_relaxed);
    if (ClassOf(descriptor) != RingClass::kNone) {
      const uint64_t head = head_.load(std::memory_order_relaxed);
      __builtin_prefetch(SlotOf(arena, descriptor, head), 1);
    }
  }

 private:
  // version : 16 | class : 8 | offset in the arena : 40. 0: no block yet.
  static constexpr int kOffsetBits = 40;
  static constexpr int kVersionShift = 48;

  static RingClass ClassOf(uint64_t descriptor) {
    return static_cast<RingClass>((descriptor >> kOffsetBits) & 0xff);
  }
  static uint64_t OffsetOf(uint64_t descriptor) {
    return descriptor & ((uint64_t{1} << kOffsetBits) - 1);
  }
  // The first of the two words of entry `index`. REQUIRES: the class is not kNone.
  static Atomic<uint64_t>* SlotOf(const RingArena& arena, uint64_t descriptor, uint64_t index) {
    return arena.WordsAt(OffsetOf(descriptor)) +
           2 * (index & (CapacityOf(ClassOf(descriptor)) - 1));
  }
  static void StoreEntry(Atomic<uint64_t>* slot, const TimelineEntry& entry) {
    // Release, so that a reader that sees either word also sees that the slot's former entry is
    // gone, and that its former ring has moved (invariants 2 and 3).
    slot[0].store(entry.id, std::memory_order_release);
    slot[1].store(entry.group | uint64_t{entry.flags} << 32, std::memory_order_release);
  }
  static TimelineEntry LoadEntry(const Atomic<uint64_t>* slot) {
    // Acquire: the partner of StoreEntry.
    const uint64_t id = slot[0].load(std::memory_order_acquire);
    const uint64_t rest = slot[1].load(std::memory_order_acquire);
    return {id, static_cast<uint32_t>(rest), static_cast<uint32_t>(rest >> 32)};
  }

  // Invariants 4 and 5. REQUIRES: the oldest entry is flushed.
  void GiveUpOldest(const RingArena& arena, uint64_t descriptor, uint64_t start) {
    RaiseFloor(LoadEntry(SlotOf(arena, descriptor, start)).id);
    // Release publishes the floor to readers that find the entry gone (invariant 4).
    start_.store(start + 1, std::memory_order_release);
  }
  // Makes a free slot for entry `head` by growing or by giving up the oldest entry. False if
  // neither may be.
  bool MakeRoom(RingArena& arena, uint64_t head, bool oldest_is_flushed);
  bool Grow(RingArena& arena, uint64_t start, uint64_t head);
  // Copies [from, to) to `out`, as they are now in the block that the descriptor names.
  static void CopyEntries(const RingArena& arena, uint64_t descriptor, uint64_t from, uint64_t to,
                          std::vector<TimelineEntry>& out);

  // Written by the writer; read by any thread with the protocol above.
  Atomic<uint64_t> descriptor_{0};
  Atomic<uint64_t> head_{0};
  Atomic<uint64_t> start_{0};
  Atomic<uint64_t> floor_{0};

  // Written by the flusher; read by the writer.
  Atomic<uint64_t> flushed_{0};

  // The writer's own.
  uint32_t dirty_epoch_ = 0;
};
static_assert(sizeof(TimelineRing) == kCacheLineBytes);

}  // namespace klatch::lockfree
