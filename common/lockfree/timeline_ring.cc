#include "common/lockfree/timeline_ring.h"

#include <algorithm>
#include <cassert>

namespace klatch::lockfree {

bool TimelineRing::MakeRoom(RingArena& arena, uint64_t head, bool oldest_is_flushed) {
  const uint64_t descriptor = descriptor_.load(std::memory_order_relaxed);
  const uint64_t start = start_.load(std::memory_order_relaxed);
  const RingClass ring_class = ClassOf(descriptor);
  const bool may_want_more =
      ring_class < RingClass::k256 || (ring_class == RingClass::k256 && !oldest_is_flushed);
  // The last quarter of the arena is for rings that have no block yet and for entries that would be
  // lost: a ring that can lap makes do with what it has.
  const bool scarce = arena.bytes_used() > arena.bytes_max() / 4 * 3;
  const bool wants_more = may_want_more && !(scarce && oldest_is_flushed);
  if (wants_more && Grow(arena, start, head)) {
    return true;
  }
  if (!oldest_is_flushed) {
    return false;
  }
  GiveUpOldest(arena, descriptor, start);
  return true;
}

bool TimelineRing::Contains(const RingArena& arena, uint64_t id) const {
  // The writer's own stores: relaxed loads see them.
  const uint64_t descriptor = descriptor_.load(std::memory_order_relaxed);
  const uint64_t start = start_.load(std::memory_order_relaxed);
  for (uint64_t i = head_.load(std::memory_order_relaxed); i > start; --i) {
    if (SlotOf(arena, descriptor, i - 1)[0].load(std::memory_order_relaxed) == id) {
      return true;
    }
  }
  return false;
}

bool TimelineRing::Grow(RingArena& arena, uint64_t start, uint64_t head) {
  const uint64_t old_descriptor = descriptor_.load(std::memory_order_relaxed);
  const RingClass old_class = ClassOf(old_descriptor);
  const auto new_class = static_cast<RingClass>(static_cast<uint8_t>(old_class) + 1);
  const std::optional<uint64_t> offset = arena.Allocate(new_class);
  if (!offset) {
    return false;
  }
  assert(*offset < uint64_t{1} << kOffsetBits);
  const uint64_t version = ((old_descriptor >> kVersionShift) + 1) & 0xffff;
  const uint64_t new_descriptor =
      version << kVersionShift | uint64_t{static_cast<uint8_t>(new_class)} << kOffsetBits | *offset;
  for (uint64_t i = start; i < head; ++i) {
    StoreEntry(SlotOf(arena, new_descriptor, i), LoadEntry(SlotOf(arena, old_descriptor, i)));
  }
  // Release publishes the copies to readers that load the descriptor with acquire (invariant 1).
  descriptor_.store(new_descriptor, std::memory_order_release);
  if (old_class != RingClass::kNone) {
    arena.Free(OffsetOf(old_descriptor), old_class);
  }
  return true;
}

void TimelineRing::CopyEntries(const RingArena& arena, uint64_t descriptor, uint64_t from,
                               uint64_t to, std::vector<TimelineEntry>& out) {
  out.resize(to - from);
  for (uint64_t i = from; i < to; ++i) {
    out[i - from] = LoadEntry(SlotOf(arena, descriptor, i));
  }
}

bool TimelineRing::CopyNewest(const RingArena& arena, std::vector<TimelineEntry>& out, size_t n_max,
                              uint64_t* floor) const {
  for (int attempt = 0; attempt < kCopyAttemptsMax; ++attempt) {
    const uint64_t descriptor = descriptor_.load(std::memory_order_acquire);  // r1
    const uint64_t head = head_.load(std::memory_order_acquire);              // r2
    const uint64_t start = start_.load(std::memory_order_acquire);            // r3
    const uint64_t capacity = CapacityOf(ClassOf(descriptor));
    if (start > head || head - start > capacity) {
      continue;  // start is from after head or head from after a growth: there is no such state
    }
    const uint64_t wanted = std::min<uint64_t>(n_max, head - start);
    const uint64_t from = head - wanted;
    CopyEntries(arena, descriptor, from, head, out);                      // r4
    const uint64_t start_after = start_.load(std::memory_order_acquire);  // r5
    if (descriptor_.load(std::memory_order_relaxed) != descriptor) {      // r6
      continue;
    }
    const uint64_t overwritten = start_after > from ? start_after - from : 0;
    // The rest is whole, and floor covers what was overwritten. But when most of it is gone, a new
    // copy serves the caller better.
    if (overwritten > wanted / 2) {
      continue;
    }
    out.erase(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(overwritten));
    *floor = floor_.load(std::memory_order_acquire);  // r7
    return true;
  }
  out.clear();
  *floor = floor_.load(std::memory_order_acquire);
  return false;
}

uint64_t TimelineRing::CopyUnflushed(const RingArena& arena,
                                     std::vector<TimelineEntry>& out) const {
  const uint64_t flushed = flushed_.load(std::memory_order_relaxed);  // its own store
  while (true) {
    const uint64_t descriptor = descriptor_.load(std::memory_order_acquire);
    const uint64_t head = head_.load(std::memory_order_acquire);
    // More than fits means that head is from after a growth.
    if (head - flushed <= CapacityOf(ClassOf(descriptor))) {
      CopyEntries(arena, descriptor, flushed, head, out);
      // Relaxed, as r6 (invariant 3).
      if (descriptor_.load(std::memory_order_relaxed) == descriptor) {
        return head;
      }
    }
  }
}

size_t TimelineRing::size() const {
  // Start first, and with acquire: loaded after head, it could be greater. Head relaxed: a figure.
  const uint64_t start = start_.load(std::memory_order_acquire);
  return head_.load(std::memory_order_relaxed) - start;
}

size_t TimelineRing::Unflushed() const {
  // As in size().
  const uint64_t flushed = flushed_.load(std::memory_order_acquire);
  return head_.load(std::memory_order_relaxed) - flushed;
}

}  // namespace klatch::lockfree
