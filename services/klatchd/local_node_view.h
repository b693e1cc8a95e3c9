#pragma once
// The node of this process as operators' calls see it.
//
// Thread safety: any thread, after the last Add. Lifetime: what it is made of outlives it.

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "services/admin/node_view.h"
#include "services/deliver/worker.h"
#include "services/materialize/flusher.h"
#include "services/persons/person_store.h"

namespace klatch {

class LocalNodeView final : public NodeView {
 public:
  explicit LocalNodeView(std::function<NodeFacts()> facts) : facts_(std::move(facts)) {}

  // Worker 0, 1, … with its persons and its flusher.
  void Add(Worker& worker, const PersonStore& persons, Flusher& flusher) {
    slices_.push_back({&worker, &persons, &flusher});
  }

  NodeFacts Facts() const override {
    NodeFacts facts = facts_();
    facts.holes = Holes();
    return facts;
  }
  uint64_t Holes() const {
    uint64_t holes = 0;
    for (const Slice& slice : slices_) {
      holes += slice.worker->holes();
    }
    return holes;
  }

  std::vector<const Person*> PersonsOf(PartitionIndex partition, uint32_t first,
                                       size_t count) const override {
    const PersonStore& store = *Of(partition).persons;
    std::vector<const Person*> persons;
    for (uint32_t i = first; i < store.size() && persons.size() < count; ++i) {
      if (store.At(i).partition == partition) {
        persons.push_back(&store.At(i));
      }
    }
    return persons;
  }

  void Order(PartitionIndex partition, std::vector<Mend> mends) override {
    Of(partition).worker->Order(std::move(mends));
  }

  std::vector<uint64_t> AskFlush() override {
    std::vector<uint64_t> tickets;
    for (const Slice& slice : slices_) {
      tickets.push_back(slice.flusher->AskDrain());
    }
    return tickets;
  }
  bool Flushed(std::span<const uint64_t> tickets) const override {
    for (size_t i = 0; i < tickets.size(); ++i) {
      if (!slices_[i].flusher->Drained(tickets[i])) {
        return false;
      }
    }
    return true;
  }

 private:
  struct Slice {
    Worker* worker;
    const PersonStore* persons;
    Flusher* flusher;
  };
  // Which worker owns a partition: see Worker::Owns.
  const Slice& Of(PartitionIndex partition) const {
    return slices_[partition.value() % slices_.size()];
  }

  const std::function<NodeFacts()> facts_;
  std::vector<Slice> slices_;
};

}  // namespace klatch
