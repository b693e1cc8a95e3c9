#include "services/read/hydrator.h"

#include <utility>

namespace klatch {

base::Task<absl::StatusOr<Hydrator::Found>> Hydrator::Find(std::vector<UpdateId> ids,
                                                           std::vector<UpdateId>* kept_no_longer) {
  Found found(ids.size());
  std::vector<UpdateId> missing;
  std::vector<size_t> places;         // of the missing ones in `found`
  std::vector<uint64_t> generations;  // taken before the fetch is sent
  for (size_t i = 0; i < ids.size(); ++i) {
    found[i] = store_.Find(ids[i]);
    if (found[i] == nullptr) {
      missing.push_back(ids[i]);
      places.push_back(i);
      generations.push_back(store_.Generation(ids[i].shard()));
    }
  }
  if (missing.empty()) {
    co_return found;
  }
  base::Task<absl::StatusOr<Found>> reading = stored_.ReadBodies(missing, kept_no_longer);
  absl::StatusOr<Found> fetched = co_await std::move(reading);
  co_await executor_.Schedule();
  if (!fetched.ok()) {
    co_return fetched.status();
  }
  for (size_t i = 0; i < missing.size(); ++i) {
    std::shared_ptr<const Body>& body = (*fetched)[i];
    if (body != nullptr) {
      Keep(missing[i], body, generations[i]);
      found[places[i]] = std::move(body);
    }
  }
  co_return found;
}

base::Task<absl::StatusOr<std::shared_ptr<const Body>>> Hydrator::FindOne(UpdateId id) {
  std::shared_ptr<const Body> kept = store_.Find(id);
  if (kept != nullptr) {
    co_return kept;
  }
  const uint64_t generation = store_.Generation(id.shard());  // taken before the fetch is sent
  auto reading = stored_.ReadBody(id);
  absl::StatusOr<std::shared_ptr<const Body>> fetched = co_await std::move(reading);
  co_await executor_.Schedule();
  if (fetched.ok() && *fetched != nullptr) {
    Keep(id, *fetched, generation);
  }
  co_return fetched;
}

// Not what is provisional: nothing would tell that it has been decided since.
void Hydrator::Keep(UpdateId id, const std::shared_ptr<const Body>& body, uint64_t generation) {
  if (!body->is_provisional()) {
    store_.Put(id, body, generation);
  }
}

}  // namespace klatch
