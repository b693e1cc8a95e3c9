#pragma once
// Bodies of updates in memory, by id, up to a bound in bytes; the oldest put go first. What this
// node accepted it has; what it fetched it keeps, unless an edit or delete in the same shard was
// applied since the fetch was sent.
//
// Thread safety: every method from any thread. Stripes with a mutex each, held for a look-up.
// Bodies are immutable and shared: a page that is being sent keeps its bodies alive (hence
// shared_ptr).

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "services/model/body.h"
#include "services/model/position.h"

namespace klatch {

class BodyStore {
 public:
  explicit BodyStore(size_t bytes_max) : stripe_bytes_max_(bytes_max / kStripes) {}

  // The shard's generation now; take it before a fetch or an append is sent.
  uint64_t Generation(ShardIndex shard) const;

  // Null if it is not here.
  std::shared_ptr<const Body> Find(UpdateId id) const;

  // Keeps `body` if the shard's generation is still `generation`.
  void Put(UpdateId id, std::shared_ptr<const Body> body, uint64_t generation);

  // Forgets `id`; what was fetched before is not kept. Called by the tailer for each edit and
  // delete.
  void Drop(UpdateId id);

  size_t bytes() const;

 private:
  static constexpr size_t kStripes = 16;
  struct Held {
    std::shared_ptr<const Body> body;
    uint64_t ticket = 0;  // which entry of `order` is its own
  };
  struct Queued {
    uint64_t id;
    uint64_t ticket;
  };
  struct Stripe {
    mutable std::mutex mutex;
    // Guarded by mutex.
    std::unordered_map<uint64_t, Held> bodies;
    // In the order of the first Put. Entries of what was dropped stay until they come to the front,
    // or until they are half of it.
    std::deque<Queued> order;
    uint64_t next_ticket = 0;
    size_t bytes = 0;
  };
  using Bodies = std::vector<std::shared_ptr<const Body>>;

  // REQUIRES: the stripe's mutex is held. What goes is moved to `gone`, to be freed without it.
  static void EvictOldest(Stripe& stripe, Bodies& gone);
  static void ForgetStale(Stripe& stripe);
  Stripe& StripeOf(UpdateId id);
  const Stripe& StripeOf(UpdateId id) const;

  const size_t stripe_bytes_max_;
  std::array<Stripe, kStripes> stripes_;
  // Raised by Drop before it takes the stripe's mutex, read by Put under it: a Put that still sees
  // the old value is finished before the Drop erases.
  std::array<std::atomic<uint64_t>, kShardCountMax> generations_{};
};

}  // namespace klatch
