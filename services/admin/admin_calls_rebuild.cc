// Rebuilds that operators ask for: holes are marked, and the flushers mend them as any other.

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "services/accept/validate.h"
#include "services/admin/admin_calls.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

// So much before the caller's deadline it is told what has come of the call.
constexpr std::chrono::milliseconds kAnswerMargin{200};

}  // namespace

std::vector<AdminCalls::Rebuilding> AdminCalls::Order(const std::vector<const Person*>& persons,
                                                      std::vector<Mend> mends) {
  std::vector<Rebuilding> rebuildings;
  std::map<PartitionIndex, std::vector<Mend>> by_partition;
  for (size_t i = 0; i < persons.size(); ++i) {
    if (mends[i].rebuild) {
      rebuildings.push_back(
          {persons[i], persons[i]->hole_generation.load(std::memory_order_relaxed)});
    }
    if (!mends[i].rebuild && mends[i].stays.empty()) {
      continue;
    }
    mends[i].person = persons[i]->index;
    by_partition[persons[i]->partition].push_back(std::move(mends[i]));
  }
  for (auto& [partition, ordered] : by_partition) {
    d_.node.Order(partition, std::move(ordered));
  }
  return rebuildings;
}

// Another drop between may raise the generation, too; its rebuild begins later than the order and
// does for both.
bool AdminCalls::IsMended(const Rebuilding& rebuilding) {
  const Person& person = *rebuilding.person;
  return person.hole_generation.load(std::memory_order_relaxed) > rebuilding.generation &&
         person.hole_since.load(std::memory_order_relaxed) == 0;
}

base::Task<absl::Status> AdminCalls::AwaitMended(std::vector<Rebuilding> rebuildings,
                                                 base::MonotonicTime deadline) {
  // The hole goes to the flusher with one batch, and what came of it back with another.
  auto tickets = std::make_shared<std::vector<uint64_t>>(d_.node.AskFlush());
  const auto done = [this, tickets, rebuildings = std::move(rebuildings)] {
    if (std::ranges::all_of(rebuildings, IsMended)) {
      return true;
    }
    if (d_.node.Flushed(*tickets)) {
      *tickets = d_.node.AskFlush();
    }
    return false;
  };
  auto waiting = polls_.Until(done, deadline - kAnswerMargin);
  const absl::Status status = co_await std::move(waiting);
  co_return status;
}

AdminCalls::Answer<v1::RebuildTimelinesResponse> AdminCalls::RebuildTimelines(
    v1::RebuildTimelinesRequest request, base::MonotonicTime deadline) {
  absl::Status status = CheckNamespace(request.namespace_(), d_.layout);
  if (status.ok()) {
    status = CheckPersons(request.persons(), limits::kRebuildPersonsMax);
  }
  std::vector<const Person*> known;
  for (const std::string& id : request.persons()) {
    if (!status.ok()) {
      break;
    }
    const PersonId person(id);
    status = CheckOwner(d_.layout.PartitionOf(person));
    if (const Person* found = d_.people.Find(person)) {
      known.push_back(found);
    }
  }
  if (!status.ok()) {
    co_return status;
  }
  const std::vector<Rebuilding> rebuildings = Order(
      known, std::vector<Mend>(known.size(), Mend{.person = 0, .stays = {}, .rebuild = true}));
  auto mending = AwaitMended(rebuildings, deadline);
  status = co_await std::move(mending);
  if (!status.ok() && status.code() != absl::StatusCode::kDeadlineExceeded) {
    co_return status;
  }
  v1::RebuildTimelinesResponse response;
  size_t next = 0;
  for (const std::string& id : request.persons()) {
    v1::RebuildResult& result = *response.add_results();
    result.set_person(id);
    const bool is_known = next < known.size() && known[next]->id.value() == id;
    result.set_outcome(!is_known                     ? v1::REBUILD_OUTCOME_UNKNOWN_PERSON
                       : IsMended(rebuildings[next]) ? v1::REBUILD_OUTCOME_REBUILT
                                                     : v1::REBUILD_OUTCOME_PENDING);
    next += is_known ? 1 : 0;
  }
  co_return response;
}

}  // namespace klatch
