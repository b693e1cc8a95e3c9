#include "tests/interleave/memory.h"

#include <algorithm>
#include <cassert>

#include "tests/stress/seed.h"

namespace klatch::interleave {

void Location::Begin(size_t its_number) {
  number = its_number;
  has_ended = false;
  writer = 0;
  written = 0;
  accessed.fill(0);
  stores.clear();
  sights.clear();
  seq_cst_store = 0;
}

void Locations::Clear() {
  ++round_;
  used_ = 0;
}

size_t Locations::SlotOf(const void* at) const {
  size_t slot = stress::Mixed(reinterpret_cast<uintptr_t>(at)) % kSlots;
  while (slots_[slot].round == round_ && slots_[slot].at != at) {
    slot = (slot + 1) % kSlots;
  }
  return slot;
}

Location* Locations::Find(const void* at) {
  const Slot& slot = slots_[SlotOf(at)];
  return slot.round == round_ ? &pool_[slot.index] : nullptr;
}

Location& Locations::Add(const void* at) {
  assert(used_ < kSlots / 2);
  if (used_ == pool_.size()) {
    pool_.emplace_back();
  }
  slots_[SlotOf(at)] = {at, round_, static_cast<uint32_t>(used_)};
  return pool_[used_++];
}

Location& Memory::LocationAt(const void* at) {
  Location* const found = locations_.Find(at);
  if (found != nullptr) {
    return *found;
  }
  Location& location = locations_.Add(at);
  location.Begin(next_number_++);
  return location;
}

Location& Memory::Begin(size_t thread, const void* at) {
  Location& location = LocationAt(at);
  location.Begin(location.number);
  location.writer = thread;
  clocks_[thread].Tick(thread);
  location.written = clocks_[thread][thread];
  location.accessed[thread] = location.written;
  return location;
}

void Memory::BeginAtomic(size_t thread, const void* at, uint64_t value) {
  Begin(thread, at).stores.push_back({value, Clock()});
}

void Memory::BeginPlain(size_t thread, const void* at) { Begin(thread, at); }

void Memory::End(size_t thread, const void* at) {
  Location& location = LocationAt(at);
  CheckAccessed(thread, location, "an object ends while it is used");
  if (location.has_ended) {
    Find("an object ends twice");
  }
  location.has_ended = true;
}

Location& Memory::AtomicAt(size_t thread, const void* at, uint64_t initial) {
  Location& location = LocationAt(at);
  if (location.stores.empty()) {
    location.stores.push_back({initial, Clock()});
  }
  if (location.has_ended) {
    Find("an atomic is used behind its end");
  }
  if (location.written != 0 && clocks_[thread][location.writer] < location.written) {
    Find("an atomic is used whose making does not happen before");
  }
  clocks_[thread].Tick(thread);
  location.accessed[thread] = clocks_[thread][thread];
  return location;
}

Location* Memory::PlainAt(size_t thread, const void* at) {
  Location* const found = locations_.Find(at);
  if (found == nullptr) {
    Find("a plain field is used before it began");
    return nullptr;
  }
  if (found->has_ended) {
    Find("a plain field is used behind its end");
  }
  clocks_[thread].Tick(thread);
  return found;
}

void Memory::CheckWritten(size_t thread, const Location& location, const char* what) {
  if (clocks_[thread][location.writer] < location.written) {
    Find(std::string(what) + " (thread " + std::to_string(thread) + " against " +
         std::to_string(location.writer) + ", object " + std::to_string(location.number) + ")");
  }
}

void Memory::CheckAccessed(size_t thread, const Location& location, const char* what) {
  for (size_t other = 0; other < kThreads; ++other) {
    if (clocks_[thread][other] < location.accessed[other]) {
      Find(std::string(what) + " (thread " + std::to_string(thread) + " against " +
           std::to_string(other) + ", object " + std::to_string(location.number) + ")");
    }
  }
}

void Memory::ReadPlain(size_t thread, const void* at) {
  if (Location* const location = PlainAt(thread, at)) {
    CheckWritten(thread, *location, "a plain field is read in a race with a write");
    location->accessed[thread] = clocks_[thread][thread];
  }
}

void Memory::WritePlain(size_t thread, const void* at) {
  if (Location* const location = PlainAt(thread, at)) {
    CheckAccessed(thread, *location, "a plain field is written in a race");
    location->accessed[thread] = clocks_[thread][thread];
    location->writer = thread;
    location->written = clocks_[thread][thread];
  }
}

size_t Memory::OldestReadable(size_t thread, const Location& location,
                              std::memory_order order) const {
  size_t oldest = order == std::memory_order_seq_cst ? location.seq_cst_store : 0;
  for (const Location::Sight& sight : location.sights) {
    if (sight.step <= clocks_[thread][sight.thread]) {
      oldest = std::max(oldest, sight.store);
    }
  }
  return oldest;
}

void Memory::See(size_t thread, Location& location, size_t store, std::memory_order order) {
  const auto is_new = [&] {
    const auto own =
        std::find_if(location.sights.rbegin(), location.sights.rend(),
                     [&](const Location::Sight& sight) { return sight.thread == thread; });
    return own == location.sights.rend() || own->store < store;
  };
  if (is_new()) {
    location.sights.push_back({thread, clocks_[thread][thread], store});
  }
  if (order == std::memory_order_seq_cst) {
    location.seq_cst_store = std::max(location.seq_cst_store, store);
  }
}

uint64_t Memory::Read(size_t thread, Location& location, size_t store, std::memory_order order) {
  See(thread, location, store, order);
  if (Acquires(order)) {
    clocks_[thread].Join(location.stores[store].released);
  }
  return location.stores[store].value;
}

void Memory::Append(size_t thread, Location& location, uint64_t value, std::memory_order order,
                    const Clock& sequence) {
  Clock released = sequence;
  if (Releases(order)) {
    released.Join(clocks_[thread]);
  }
  location.stores.push_back({value, released});
  See(thread, location, location.stores.size() - 1, order);
}

uint64_t Memory::Load(size_t thread, const void* at, uint64_t initial, std::memory_order order) {
  Location& location = AtomicAt(thread, at, initial);
  const size_t last = location.stores.size() - 1;
  const size_t oldest = OldestReadable(thread, location, order);
  const size_t age = schedule_.Age(location.number, last - oldest + 1);
  return Read(thread, location, last - age, order);
}

uint64_t Memory::LoadKnowing(const Clock& known, size_t thread, const void* at, uint64_t initial) {
  const Clock own = clocks_[thread];
  clocks_[thread].Join(known);
  const uint64_t value = Load(thread, at, initial, std::memory_order_relaxed);
  const uint32_t step = clocks_[thread][thread];
  clocks_[thread] = own;
  while (clocks_[thread][thread] < step) {
    clocks_[thread].Tick(thread);
  }
  return value;
}

void Memory::Store(size_t thread, const void* at, uint64_t initial, uint64_t value,
                   std::memory_order order) {
  Append(thread, AtomicAt(thread, at, initial), value, order, Clock());
}

bool Memory::CompareExchange(size_t thread, const void* at, uint64_t initial, uint64_t& expected,
                             uint64_t desired, std::memory_order success,
                             std::memory_order failure) {
  Location& location = AtomicAt(thread, at, initial);
  const size_t last = location.stores.size() - 1;
  const size_t oldest = OldestReadable(thread, location, failure);
  size_t store = last - schedule_.Age(location.number, last - oldest + 1);
  if (location.stores[store].value == expected) {
    store = last;  // It may fail only on another value, and succeed only on the last.
  }
  if (location.stores[store].value != expected) {
    expected = Read(thread, location, store, failure);
    return false;
  }
  Read(thread, location, last, success);
  Append(thread, location, desired, success, location.stores[last].released);
  return true;
}

bool Memory::IsUntouched(const void* at) const {
  const Location* const found = locations_.Find(at);
  return found == nullptr || found->stores.size() < 2;
}

}  // namespace klatch::interleave
