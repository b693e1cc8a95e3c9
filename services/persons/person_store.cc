#include "services/persons/person_store.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <string>
#include <utility>

namespace klatch {
namespace {

lockfree::TimelineRing* ReserveRings(size_t count) {
  void* memory = mmap(nullptr, count * sizeof(lockfree::TimelineRing), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    // Address space, not memory, has run out: persons_max is far beyond what the machine can name.
    std::abort();
  }
  // Rings are visited at random; without huge pages most visits would miss the TLB too. Refusal is
  // fine.
  madvise(memory, count * sizeof(lockfree::TimelineRing), MADV_HUGEPAGE);
  return static_cast<lockfree::TimelineRing*>(memory);
}

}  // namespace

PersonStore::PersonStore(const Layout& layout, uint32_t persons_max, size_t ring_bytes_max)
    : layout_(layout),
      persons_max_(persons_max),
      arena_(ring_bytes_max),
      table_(persons_max),
      rings_(ReserveRings(size_t{2} * persons_max)) {}

PersonStore::~PersonStore() {
  munmap(static_cast<void*>(rings_), size_t{2} * persons_max_ * sizeof(lockfree::TimelineRing));
}

Person* PersonStore::FindOrAdd(std::string_view id) {
  if (Person* person = table_.Find(id)) {
    return person;
  }
  if (table_.size() >= persons_max_) {
    return nullptr;
  }
  auto person = std::make_unique<Person>();
  person->id = PersonId(id);
  person->partition = layout_.PartitionOf(person->id);
  person->index = static_cast<uint32_t>(table_.size());
  person->home = new (&rings_[person->index]) lockfree::TimelineRing();
  person->posts = new (&rings_[persons_max_ + person->index]) lockfree::TimelineRing();
  return table_.Insert(std::move(person));
}

void PersonStore::Wake(uint32_t index) const {
  std::lock_guard lock(mutex_);
  woken_.push_back(index);
  has_woken_.store(true, std::memory_order_relaxed);
}

std::vector<uint32_t> PersonStore::TakeWoken() {
  // A hint only; the mutex publishes the words.
  if (!has_woken_.load(std::memory_order_relaxed)) {
    return {};
  }
  std::lock_guard lock(mutex_);
  has_woken_.store(false, std::memory_order_relaxed);
  return std::exchange(woken_, {});
}

Person* PersonStore::Find(std::string_view id) const { return table_.Find(id); }

}  // namespace klatch
