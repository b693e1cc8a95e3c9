#pragma once
// Objects that readers without a lock look at until they are reclaimed. Their memory is never given
// back and is poisoned when they are deleted, so that a reader that was robbed of its object
// notices. Their fields are plain, so that the thread sanitizer notices too, and misses any order
// that should have published them or kept them.
//
// Thread safety: the fields are the test's subject; new and delete from any thread.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tests/stress/seed.h"

namespace klatch::stress {

class PoisonedNode {
 public:
  explicit PoisonedNode(uint64_t value) : value_(value), check_(Mixed(value)) {}

  bool IsWhole() const {
    // Nothing that was read before may stand for what is there now.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return check_ == Mixed(value_);
  }
  uint64_t value() const { return value_; }

  // From blocks that outlive all nodes, and are not reused.
  static void* operator new(size_t size) {
    return storage_.get() + allocated_.fetch_add(1, std::memory_order_relaxed) * size;
  }
  // Poisons here, not in a destructor, whose stores the compiler may leave out; and by plain stores,
  // not by memset, which the thread sanitizer doesn't see when it is inlined.
  static void operator delete(void* node) {
    auto* words = static_cast<uint64_t*>(node);
    static_assert(sizeof(PoisonedNode) == 2 * sizeof(uint64_t));
    words[0] = kPoison;
    words[1] = kPoison;
    deleted_.fetch_add(1, std::memory_order_relaxed);
  }

  // Makes room for `count` nodes. REQUIRES: none is in use.
  static void Reset(size_t count) {
    storage_ = std::make_unique<std::byte[]>(count * sizeof(PoisonedNode));
    allocated_ = 0;
    deleted_ = 0;
  }
  static size_t deleted() { return deleted_; }

 private:
  static constexpr uint64_t kPoison = 0xdeadbeefdeadbeefULL;

  static inline std::unique_ptr<std::byte[]> storage_;
  // Counters.
  static inline std::atomic<size_t> allocated_{0};
  static inline std::atomic<size_t> deleted_{0};

  uint64_t value_;
  uint64_t check_;
};

}  // namespace klatch::stress
