#pragma once
// The persons of all workers of this process, found by partition.
//
// Thread safety: any thread, after the last Add.

#include <vector>

#include "services/model/layout.h"
#include "services/persons/people.h"
#include "services/persons/person_store.h"

namespace klatch {

class LocalPeople final : public People {
 public:
  LocalPeople(const Layout& layout, lockfree::EpochReclaimer& epochs)
      : layout_(layout), epochs_(epochs) {}

  // The store of worker 0, 1, …, before anybody asks.
  void Add(const PersonStore& store) { stores_.push_back(&store); }

  const Person* Find(const PersonId& person) const override {
    return StoreOf(layout_.PartitionOf(person)).Find(person.value());
  }
  size_t size() const {
    size_t persons = 0;
    for (const PersonStore* store : stores_) {
      persons += store->size();
    }
    return persons;
  }
  lockfree::EpochReclaimer& epochs() override { return epochs_; }
  void Wake(const Person& person) override { StoreOf(person.partition).Wake(person.index); }
  const lockfree::RingArena& ArenaOf(const Person& person) const override {
    return StoreOf(person.partition).arena();
  }

 private:
  // Which worker owns a partition: see Worker::Owns.
  const PersonStore& StoreOf(PartitionIndex partition) const {
    return *stores_[partition.value() % stores_.size()];
  }

  const Layout layout_;
  lockfree::EpochReclaimer& epochs_;
  std::vector<const PersonStore*> stores_;
};

}  // namespace klatch
