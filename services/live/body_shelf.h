#pragma once
// Bodies of updates that memory doesn't have, read from Redis for the live thread, one batch at a
// time, in the order in which they were asked for.
//
// Thread safety: one thread, the live thread.
// Bound: what streams ask for, limits::kWatchBodiesPerFetch at once; the answers of one batch are
// kept until the next.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "services/log/body_store.h"
#include "services/model/limits.h"

namespace klatch {

class BodyShelf {
 public:
  using Found = std::vector<std::shared_ptr<const Body>>;

  explicit BodyShelf(const BodyStore& store) : store_(store) {}

  // What there is of `id`: a body; null if it is gone; nothing if it has to be asked for. A body
  // that was read before the last edit or deletion of its shard was applied does not count.
  std::optional<std::shared_ptr<const Body>> Find(UpdateId id) const {
    if (auto body = store_.Find(id)) {
      return body;
    }
    const auto read = read_.find(id.value());
    if (read == read_.end() || read->second.generation != store_.Generation(id.shard())) {
      return std::nullopt;
    }
    return read->second.body;
  }

  void Want(UpdateId id) {
    if (wanted_.insert(id.value()).second) {
      order_.push_back(id);
    }
  }
  bool has_wanted() const { return !order_.empty(); }

  // The next batch; the next Take must wait until it has arrived, or won't.
  std::vector<UpdateId> Take() {
    std::vector<UpdateId> batch;
    taken_.clear();
    while (!order_.empty() && batch.size() < limits::kWatchBodiesPerFetch) {
      batch.push_back(order_.front());
      // Before it is read, so that what changes meanwhile is noticed.
      taken_.push_back({order_.front(), store_.Generation(order_.front().shard())});
      wanted_.erase(order_.front().value());
      order_.pop_front();
    }
    return batch;
  }
  // One per id of the batch.
  void Arrived(Found bodies) {
    read_.clear();
    for (size_t i = 0; i < taken_.size(); ++i) {
      read_[taken_[i].first.value()] = {std::move(bodies[i]), taken_[i].second};
    }
  }

 private:
  struct Read {
    std::shared_ptr<const Body> body;
    uint64_t generation = 0;
  };

  const BodyStore& store_;
  std::deque<UpdateId> order_;
  absl::flat_hash_set<uint64_t> wanted_;
  std::vector<std::pair<UpdateId, uint64_t>> taken_;  // with the shard's generation
  absl::flat_hash_map<uint64_t, Read> read_;
};

}  // namespace klatch
