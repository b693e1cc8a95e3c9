#pragma once
// A hash table from string keys to objects that are added and never moved, changed in key or
// removed; each also has a dense index, in the order of insertion. V has `std::string_view key()
// const`.
//
// Thread safety: one writer at a time inserts; any thread finds, without a lock, meanwhile.
// Lifetime: the table owns its objects, each stays where it is until the table dies.
// Bound: elements_max objects, then Insert refuses. The slots double when three quarters are used;
// the former arrays stay until the table dies, because a reader may still look into one. Together
// they are smaller than the live one, so the arrays take at most 86 bytes per object (32 / 0.375)
// beyond the first 64 slots.
//
// Proof sheet. W: the writer, R: a reader.
//
//   W  w1  makes the object                        R  Find:
//      w2  index entry := object    relaxed           r1  loads the array       acquire
//      w3  the slot's hash          plain             r2  loads slot by slot    acquire
//      w4  slot := object           release           r3  the slot's hash, the object
//      w5  size := size + 1         release           At:
//   W  doubles, before w3:                            r4  loads size            acquire
//      d1  fills a new array                          r5  loads the chunk       relaxed
//      d2  array := new array       release           r6  loads the index entry relaxed
//
//  1. An object that R finds is whole: r2 acquires w4, which publishes w1 and w3. The hash is
//     written before the pointer and never again.
//  2. A slot goes from empty to full once, and probing stops at an empty slot: R sees every object
//     whose insertion happened before its Find. r1 acquires d2, which publishes d1 with all objects
//     so far. If R still looks into the former array, no insertion that went into the new one
//     happened before its Find.
//  3. At(i) is whole for i < size(): who has seen that has acquired w5 (r4), which follows w1, the
//     chunk and w2; who has the index from them comes after them. Chunk and entry are stored once,
//     so r5 and r6 can read nothing else, and need no order of their own. w2 precedes w4, so what
//     Find shows has an index that At knows.
//
// Progress: Find and At are wait-free (a probe ends at an empty slot, of which there is always
// one). Insert allocates; the one that doubles is O(size), without touching the objects.

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/lockfree/primitives.h"

namespace klatch::lockfree {

template <typename V>
class InsertOnlyTable {
 public:
  explicit InsertOnlyTable(uint32_t elements_max)
      : elements_max_(elements_max), chunks_((size_t{elements_max} + kChunkSize - 1) / kChunkSize) {
    arrays_.push_back(std::make_unique<Array>(kSlotsFirst));
    // Relaxed: who gives the table to other threads publishes all of it.
    array_.store(arrays_.back().get(), std::memory_order_relaxed);
  }
  InsertOnlyTable(const InsertOnlyTable&) = delete;
  InsertOnlyTable& operator=(const InsertOnlyTable&) = delete;

  // Adds an object at index size() and returns it, or null if the table is full. Writer.
  // REQUIRES: no object has its key; `hash`, if given, is StableHash64 of the key.
  V* Insert(std::unique_ptr<V> element) {
    const uint64_t hash = base::StableHash64(element->key());
    return Insert(std::move(element), hash);
  }
  V* Insert(std::unique_ptr<V> element, uint64_t hash) {
    const uint32_t index = size_.load(std::memory_order_relaxed);  // its own store
    if (index == elements_max_) {
      return nullptr;
    }
    assert(Find(element->key(), hash) == nullptr);
    V* const value = element.get();
    AddToIndex(index, std::move(element));
    Array* array = arrays_.back().get();
    if ((uint64_t{index} + 1) * 4 > array->slots.size() * 3) {
      array = Double(*array);
    }
    Place(*array, value, hash);
    // Release publishes element `index` to readers of size() (invariant 3).
    size_.store(index + 1, std::memory_order_release);
    return value;
  }

  // The object with this key, or null. Any thread. REQUIRES: hash is StableHash64 of the key.
  V* Find(std::string_view key) const { return Find(key, base::StableHash64(key)); }
  V* Find(std::string_view key, uint64_t hash) const {
    const Array& array = *array_.load(std::memory_order_acquire);  // invariant 2
    for (size_t i = array.FirstSlot(hash);; i = (i + 1) & array.mask) {
      const Slot& slot = array.slots[i];
      V* const value = slot.value.load(std::memory_order_acquire);  // invariant 1
      if (value == nullptr) {
        return nullptr;
      }
      if (slot.hash == hash && value->key() == key) {
        return value;
      }
    }
  }

  // For who looks many keys up: asks for the cache lines that Find will read, in two steps with other
  // work between, as the second reads what the first asked for. Any thread. `hash` as for Find.
  void PrefetchSlot(uint64_t hash) const {
    const Array& array = *array_.load(std::memory_order_acquire);
    __builtin_prefetch(&array.slots[array.FirstSlot(hash)]);
  }
  void PrefetchFirst(uint64_t hash) const {
    const Array& array = *array_.load(std::memory_order_acquire);
    // Relaxed: the address is not followed.
    __builtin_prefetch(array.slots[array.FirstSlot(hash)].value.load(std::memory_order_relaxed));
  }

  // The object that was inserted i-th, counted from 0. Any thread. REQUIRES: i < size(), seen by
  // the caller or by whom the caller has the index from, by way of a release and an acquire.
  V& At(uint32_t i) const {
    // Relaxed: invariant 3.
    const Chunk* const chunk = chunks_[i / kChunkSize].load(std::memory_order_relaxed);
    return *chunk->values[i % kChunkSize].load(std::memory_order_relaxed);
  }
  // Any thread; those below it can be read with At.
  uint32_t size() const { return size_.load(std::memory_order_acquire); }
  uint32_t elements_max() const { return elements_max_; }

  ~InsertOnlyTable() {
    for (uint32_t i = 0; i < size(); ++i) {
      delete &At(i);
    }
    for (Atomic<Chunk*>& chunk : chunks_) {
      delete chunk.load(std::memory_order_relaxed);
    }
  }

 private:
  static constexpr size_t kSlotsFirst = 64;
  static constexpr size_t kChunkSize = 4096;

  struct Slot {
    Atomic<V*> value{nullptr};
    Plain<uint64_t> hash = 0;
  };
  struct Array {
    explicit Array(size_t count)
        : mask(count - 1), shift(64 - std::countr_zero(count)), slots(count) {}

    // Multiplied once more, because a table may hold only keys whose hashes agree in some bits:
    // those of one shard or partition.
    size_t FirstSlot(uint64_t hash) const { return (hash * 0x9e3779b97f4a7c15ULL) >> shift; }

    const Plain<size_t> mask;
    const Plain<int> shift;
    std::vector<Slot> slots;
  };
  struct Chunk {
    std::vector<Atomic<V*>> values{kChunkSize};
  };

  void AddToIndex(uint32_t index, std::unique_ptr<V> element) {
    Atomic<Chunk*>& chunk = chunks_[index / kChunkSize];
    // Relaxed: the release of the size publishes all of it (invariant 3).
    if (index % kChunkSize == 0) {
      chunk.store(new Chunk, std::memory_order_relaxed);
    }
    chunk.load(std::memory_order_relaxed)
        ->values[index % kChunkSize]
        .store(element.release(), std::memory_order_relaxed);
  }

  static void Place(Array& array, V* value, uint64_t hash) {
    size_t i = array.FirstSlot(hash);
    while (array.slots[i].value.load(std::memory_order_relaxed) != nullptr) {
      i = (i + 1) & array.mask;
    }
    array.slots[i].hash = hash;
    array.slots[i].value.store(value, std::memory_order_release);  // invariant 1
  }

  Array* Double(const Array& old) {
    auto bigger = std::make_unique<Array>(old.slots.size() * 2);
    for (const Slot& slot : old.slots) {
      V* const value = slot.value.load(std::memory_order_relaxed);
      if (value != nullptr) {
        Place(*bigger, value, slot.hash);
      }
    }
    arrays_.push_back(std::move(bigger));
    array_.store(arrays_.back().get(), std::memory_order_release);  // invariant 2
    return arrays_.back().get();
  }

  const uint32_t elements_max_;

  // Touched by the writer only; owns what array_ points to.
  std::vector<std::unique_ptr<Array>> arrays_;

  // Written by the writer, read by any thread.
  Atomic<const Array*> array_{nullptr};
  std::vector<Atomic<Chunk*>> chunks_;
  Atomic<uint32_t> size_{0};
};

}  // namespace klatch::lockfree
