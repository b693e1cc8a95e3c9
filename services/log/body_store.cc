#include "services/log/body_store.h"

#include <utility>

namespace klatch {
namespace {

// What a body costs besides its bytes: the map's node, the queue's entry, the shared block.
constexpr size_t kOverheadBytes = 256;
// Below so many stale entries a queue is left alone.
constexpr size_t kStaleMin = 64;

size_t BytesOf(const Body& body) { return body.stored().size() + kOverheadBytes; }

}  // namespace

uint64_t BodyStore::Generation(ShardIndex shard) const {
  // Acquire, with the release in Drop: a fetch that is sent after this sees in Redis what the edit
  // wrote whose Drop this value counts.
  return generations_[shard.value()].load(std::memory_order_acquire);
}

std::shared_ptr<const Body> BodyStore::Find(UpdateId id) const {
  const Stripe& stripe = StripeOf(id);
  std::lock_guard lock(stripe.mutex);
  auto found = stripe.bodies.find(id.value());
  return found == stripe.bodies.end() ? nullptr : found->second.body;
}

void BodyStore::Put(UpdateId id, std::shared_ptr<const Body> body, uint64_t generation) {
  const size_t bytes = BytesOf(*body);
  if (bytes > stripe_bytes_max_) {
    return;
  }
  Stripe& stripe = StripeOf(id);
  Bodies gone;  // freed after the mutex
  std::lock_guard lock(stripe.mutex);
  // Acquire, with the release in Drop. If this reads the old value, the Drop that raises it has yet
  // to take the mutex and erases what is put here.
  if (generations_[id.shard().value()].load(std::memory_order_acquire) != generation) {
    return;
  }
  auto [at, added] = stripe.bodies.try_emplace(id.value());
  if (added) {
    at->second.ticket = stripe.next_ticket++;
    stripe.order.push_back({id.value(), at->second.ticket});
  } else {
    stripe.bytes -= BytesOf(*at->second.body);
    gone.push_back(std::move(at->second.body));
  }
  at->second.body = std::move(body);
  stripe.bytes += bytes;
  while (stripe.bytes > stripe_bytes_max_) {
    EvictOldest(stripe, gone);
  }
}

void BodyStore::EvictOldest(Stripe& stripe, Bodies& gone) {
  const Queued oldest = stripe.order.front();
  stripe.order.pop_front();
  auto found = stripe.bodies.find(oldest.id);
  if (found == stripe.bodies.end() || found->second.ticket != oldest.ticket) {
    return;  // dropped before
  }
  stripe.bytes -= BytesOf(*found->second.body);
  gone.push_back(std::move(found->second.body));
  stripe.bodies.erase(found);
}

void BodyStore::Drop(UpdateId id) {
  // Release, for the acquires above; before the mutex, so that a Put that comes after the erasure
  // sees it.
  generations_[id.shard().value()].fetch_add(1, std::memory_order_release);
  Stripe& stripe = StripeOf(id);
  std::shared_ptr<const Body> gone;  // freed after the mutex
  std::lock_guard lock(stripe.mutex);
  auto found = stripe.bodies.find(id.value());
  if (found == stripe.bodies.end()) {
    return;
  }
  stripe.bytes -= BytesOf(*found->second.body);
  gone = std::move(found->second.body);
  stripe.bodies.erase(found);
  if (stripe.order.size() > 2 * stripe.bodies.size() + kStaleMin) {
    ForgetStale(stripe);
  }
}

void BodyStore::ForgetStale(Stripe& stripe) {
  std::erase_if(stripe.order, [&stripe](const Queued& queued) {
    auto found = stripe.bodies.find(queued.id);
    return found == stripe.bodies.end() || found->second.ticket != queued.ticket;
  });
}

size_t BodyStore::bytes() const {
  size_t sum = 0;
  for (const Stripe& stripe : stripes_) {
    std::lock_guard lock(stripe.mutex);
    sum += stripe.bytes;
  }
  return sum;
}

BodyStore::Stripe& BodyStore::StripeOf(UpdateId id) {
  return const_cast<Stripe&>(std::as_const(*this).StripeOf(id));
}

const BodyStore::Stripe& BodyStore::StripeOf(UpdateId id) const {
  // Ids differ in milliseconds, shard and sequence; a product spreads all of them.
  return stripes_[(id.value() * 0x9E3779B97F4A7C15ULL) >> 60];
}

}  // namespace klatch
