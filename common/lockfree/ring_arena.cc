#include "common/lockfree/ring_arena.h"

#include <sys/mman.h>

#include <cassert>

namespace klatch::lockfree {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

// Fresh mappings are zero, and an atomic word has the representation of its integer, so that mapped
// memory can be read as words without writing it first.
static_assert(sizeof(Atomic<uint64_t>) == sizeof(uint64_t));
static_assert(Atomic<uint64_t>::is_always_lock_free);

constexpr size_t BytesOf(RingClass ring_class) {
  return CapacityOf(ring_class) * kTimelineEntryBytes;
}

}  // namespace

RingArena::RingArena(size_t bytes_max) {
  free_heads_.fill(kNoBlock);
  const size_t rounded = (bytes_max + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  // One huge page more, so that the range can begin on a huge page's border.
  const size_t mapping_bytes = rounded + kHugePageBytes;
  void* mapping = mmap(nullptr, mapping_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return;
  }
  mapping_ = mapping;
  mapping_bytes_ = mapping_bytes;
  const auto address = reinterpret_cast<uintptr_t>(mapping);
  const size_t skip = (kHugePageBytes - address % kHugePageBytes) % kHugePageBytes;
  base_ = static_cast<std::byte*>(mapping) + skip;
  bytes_max_ = rounded;
  if (rounded != 0 && madvise(base_, rounded, MADV_HUGEPAGE) == 0) {
    huge_pages_ = HugePages::kAdvised;
  }
}

RingArena::~RingArena() {
  if (mapping_ != nullptr) {
    munmap(mapping_, mapping_bytes_);
  }
}

std::optional<uint64_t> RingArena::Allocate(RingClass ring_class) {
  assert(ring_class != RingClass::kNone);
  const size_t bytes = BytesOf(ring_class);
  uint64_t& free_head = free_heads_[static_cast<size_t>(ring_class)];
  uint64_t offset = free_head;
  if (offset != kNoBlock) {
    // Relaxed: the owner wrote the link itself.
    free_head = WordsAt(offset)->load(std::memory_order_relaxed);
  } else if (bytes <= bytes_max_ - fresh_offset_) {
    offset = fresh_offset_;
    fresh_offset_ += bytes;
  } else {
    return std::nullopt;
  }
  bytes_used_.store(bytes_used() + bytes, std::memory_order_relaxed);
  return offset;
}

void RingArena::Free(uint64_t offset, RingClass ring_class) {
  uint64_t& free_head = free_heads_[static_cast<size_t>(ring_class)];
  // Release: whoever reads this link as if it were an entry must see that the ring has moved. The
  // ring published its new block before it freed this one; a relaxed store could be seen ahead of
  // that.
  WordsAt(offset)->store(free_head, std::memory_order_release);
  free_head = offset;
  bytes_used_.store(bytes_used() - BytesOf(ring_class), std::memory_order_relaxed);
}

}  // namespace klatch::lockfree
