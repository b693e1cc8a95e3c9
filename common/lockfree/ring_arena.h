#pragma once
// The memory that timeline rings live in: one reserved range of addresses, from which blocks of 16,
// 64, 256 and 1,024 entries of 16 bytes are handed out.
//
// Thread safety: one owner thread allocates and frees; any thread reads words, also of blocks that
// were freed meanwhile; bytes_used() from any thread.
// Lifetime: memory is type-stable. A word is an atomic of 8 bytes from the first to the last moment
// of the arena, never unmapped, never used for anything but a ring's payload and the free list's
// links. So a reader that follows an outdated offset reads a wrong value, which its ring's protocol
// detects, but never touches memory that is not there.
// Bound: bytes_max, rounded up to 2 MiB. The range costs address space only; pages become memory
// when first written. A freed block is handed out again for the same class only: blocks are neither
// split nor merged, so what rings outgrew and nobody reuses stays counted in bytes_used().
// Errors: if the range can't be reserved, bytes_max() is 0 and every allocation answers nothing.
//
// Proof sheet. O: the owner, R: a reader of a ring with an outdated offset.
//
//   O  o1  the ring names another block   release (g2 of timeline_ring.h)
//      o2  link := next free block        release (Free)
//      o3  stores another ring's entries  release (w3 of timeline_ring.h)
//   R  r4  loads words                    acquire (CopyNewest)
//
//  1. If r4 loads what o2 or o3 stored, it acquires o1, so that R sees afterwards that its ring has
//     moved. With a relaxed o2, a link could pass for an entry.
//  2. The list is the owner's alone: it reads links that it wrote itself, hence relaxed. Readers
//     never follow them.
//  3. A block that is handed out keeps what stood in it. That is safe because a ring shows a slot
//     only after it has stored an entry there.
//
// Progress: Allocate and Free are wait-free: a step on a list, no search.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

enum class RingClass : uint8_t { kNone = 0, k16 = 1, k64 = 2, k256 = 3, k1024 = 4 };

inline constexpr size_t kTimelineEntryBytes = 16;
inline constexpr size_t kRingClasses = 5;

// Entries in a block of the class; 0 for kNone.
constexpr uint64_t CapacityOf(RingClass ring_class) {
  return ring_class == RingClass::kNone ? 0
                                        : uint64_t{4} << (2 * static_cast<unsigned>(ring_class));
}
static_assert(CapacityOf(RingClass::k16) == 16 && CapacityOf(RingClass::k1024) == 1024);

enum class HugePages { kRefused, kAdvised };

class RingArena {
 public:
  explicit RingArena(size_t bytes_max);
  ~RingArena();
  RingArena(const RingArena&) = delete;
  RingArena& operator=(const RingArena&) = delete;

  // A block's offset, a multiple of its first-ever alignment of 256 bytes. Nothing when bytes_max
  // is reached. Owner only. REQUIRES: ring_class is not kNone.
  std::optional<uint64_t> Allocate(RingClass ring_class);

  // Gives a block back. Owner only. REQUIRES: the block came from Allocate with the same class, and
  // no ring names it any more; readers may still read it.
  void Free(uint64_t offset, RingClass ring_class);

  // The block's first word. Any thread.
  Atomic<uint64_t>* WordsAt(uint64_t offset) const {
    return reinterpret_cast<Atomic<uint64_t>*>(base_ + offset);
  }

  // Bytes of the blocks that are handed out. Any thread.
  size_t bytes_used() const { return bytes_used_.load(std::memory_order_relaxed); }
  size_t bytes_max() const { return bytes_max_; }
  // What the kernel answered to the request for huge pages. It gives no promise even when it
  // accepts.
  HugePages huge_pages() const { return huge_pages_; }

 private:
  static constexpr uint64_t kNoBlock = ~uint64_t{0};

  // Immutable after construction.
  void* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  std::byte* base_ = nullptr;
  size_t bytes_max_ = 0;
  HugePages huge_pages_ = HugePages::kRefused;

  // Touched by the owner only. Free blocks are linked through their first word.
  uint64_t fresh_offset_ = 0;
  std::array<uint64_t, kRingClasses> free_heads_;

  // A counter: written by the owner, read racily, so relaxed suffices.
  Atomic<size_t> bytes_used_{0};
};

}  // namespace klatch::lockfree
