#pragma once
// A worker of the node, its persons, and its flusher.

#include <memory>

#include "services/deliver/worker.h"
#include "services/klatchd/node.h"
#include "services/materialize/flusher.h"
#include "services/persons/person_store.h"

namespace klatch {

struct Node::Slice {
  Slice(uint32_t index, uint32_t count, uint32_t persons_max, size_t ring_bytes_max,
        const Layout& layout, Worker::Dependencies dependencies)
      : persons(layout, persons_max, ring_bytes_max), worker(index, count, dependencies, persons) {}

  PersonStore persons;
  Worker worker;
  std::unique_ptr<Flusher> flusher;
};

}  // namespace klatch
