#pragma once
// In the place of common/lockfree/primitives.h, in the builds of tests/interleave only: atomics,
// plain fields and a mutex of the model (tests/interleave/world.h).
//
// An atomic has the size of its value, so that words which nobody constructed, those of a mapping,
// are atomics too. It keeps the value that was stored last.

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <utility>

#include "tests/interleave/world.h"

namespace klatch::lockfree {

template <typename T>
class Atomic {
 public:
  static constexpr bool is_always_lock_free = true;

  Atomic() : Atomic(T()) {}
  Atomic(T value) : value_(value) { World().BeginAtomic(this, Bits(value)); }
  ~Atomic() { World().End(this); }
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order order) const {
    return FromBits(World().Load(this, Bits(value_), order));
  }
  void store(T value, std::memory_order order) {
    World().Store(this, Bits(value_), Bits(value), order);
    value_ = value;
  }
  T exchange(T value, std::memory_order order) {
    return Modify([value](T) { return value; }, order);
  }
  T fetch_add(T more, std::memory_order order) {
    return Modify([more](T value) { return static_cast<T>(value + more); }, order);
  }
  T fetch_sub(T less, std::memory_order order) {
    return Modify([less](T value) { return static_cast<T>(value - less); }, order);
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) {
    uint64_t read = Bits(expected);
    if (World().CompareExchange(this, Bits(value_), read, Bits(desired), success, failure)) {
      value_ = desired;
      return true;
    }
    expected = FromBits(read);
    return false;
  }

 private:
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));

  static interleave::World& World() { return interleave::World::Now(); }
  static uint64_t Bits(T value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    return bits;
  }
  static T FromBits(uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    return value;
  }
  template <typename F>
  T Modify(F value, std::memory_order order) {
    const T read = FromBits(World().ReadModifyWrite(
        this, Bits(value_), [value](uint64_t bits) { return Bits(value(FromBits(bits))); }, order));
    value_ = value(read);
    return read;
  }

  T value_;
};

template <typename T>
class Plain {
 public:
  Plain() : Plain(T()) {}
  Plain(T value) : value_(std::move(value)) { interleave::World::Now().BeginPlain(this); }
  Plain(const Plain& other) : Plain(static_cast<const T&>(other)) {}
  ~Plain() { interleave::World::Now().End(this); }
  Plain& operator=(const Plain& other) { return *this = static_cast<const T&>(other); }
  Plain& operator=(T value) {
    interleave::World::Now().WritePlain(this);
    value_ = std::move(value);
    return *this;
  }
  operator const T&() const {
    interleave::World::Now().ReadPlain(this);
    return value_;
  }

 private:
  T value_;
};

class Mutex {
 public:
  void lock() { interleave::World::Now().Lock(this); }
  void unlock() { interleave::World::Now().Unlock(this); }
};

}  // namespace klatch::lockfree
