// Scrubs: persons by bunches, each compared with the groups of its own lists at once and with all
// other groups slice by slice, a call each; or the members of a shard's groups, so that of everybody
// each membership is looked at once.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/decimal.h"
#include "common/redis/connection.h"
#include "services/accept/validate.h"
#include "services/admin/admin_calls.h"
#include "services/log/log_end.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr size_t kCursorBytes = 20;
constexpr const char* kGroupsPerScan = "500";

void AddOnce(std::vector<Found> more, std::vector<Found>& found) {
  for (Found& one : more) {
    if (std::ranges::none_of(found, [&](const Found& other) { return other.SameAs(one); })) {
      found.push_back(std::move(one));
    }
  }
}

absl::Status Unsettled(const absl::Status& status) {
  return base::Error(
      absl::StatusCode::kUnavailable,
      "what is in the log was not applied and written in time: " + base::MessageOf(status));
}

}  // namespace

PageTokens::Scope AdminCalls::ScrubScope(const v1::ScrubTimelinesRequest& request) const {
  PageTokens::Scope scope = {"scrub", run_, std::to_string(request.partition())};
  scope.push_back(request.has_members_of_shard() ? std::to_string(request.members_of_shard())
                                                 : std::string(request.own_lists() ? "own" : ""));
  scope.insert(scope.end(), request.persons().begin(), request.persons().end());
  return scope;
}

std::string AdminCalls::ScrubToken(const v1::ScrubTimelinesRequest& request,
                                   const ScrubCursor& cursor) const {
  std::string payload;
  base::AppendLittleEndian<uint32_t>(payload, cursor.first);
  base::AppendLittleEndian<uint32_t>(payload, cursor.end);
  base::AppendLittleEndian<uint32_t>(payload, cursor.shard);
  base::AppendLittleEndian<uint64_t>(payload, cursor.scan);
  return page_tokens_.Make(ScrubScope(request), payload);
}

absl::StatusOr<AdminCalls::ScrubCursor> AdminCalls::ReadScrubToken(
    const v1::ScrubTimelinesRequest& request) const {
  KLATCH_RETURN_IF_ERROR(CheckNamespace(request.namespace_(), d_.layout));
  if (!request.persons().empty()) {
    KLATCH_RETURN_IF_ERROR(CheckPersons(request.persons(), limits::kScrubPersonsMax));
  }
  if (request.has_members_of_shard()) {
    if (!request.persons().empty() || request.partition() != 0 || request.own_lists()) {
      return base::FieldError(absl::StatusCode::kInvalidArgument, "members_of_shard",
                              "must not be set beside persons, partition or own_lists");
    }
    if (request.members_of_shard() >= d_.layout.shard_count) {
      return base::FieldError(absl::StatusCode::kInvalidArgument, "members_of_shard",
                              fmt::format("must be below {}", d_.layout.shard_count));
    }
  }
  if (request.partition() >= (request.persons().empty() ? d_.layout.partition_count : 1)) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "partition",
                            request.persons().empty()
                                ? fmt::format("must be below {}", d_.layout.partition_count)
                                : "must not be set beside persons");
  }
  if (request.page_token().empty()) {
    return ScrubCursor();
  }
  KLATCH_ASSIGN_OR_RETURN(const std::string payload,
                          page_tokens_.Read(ScrubScope(request), request.page_token()));
  if (payload.size() != kCursorBytes) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, "page_token", "is of another list");
  }
  return ScrubCursor{
      base::LoadLittleEndian<uint32_t>(payload, 0), base::LoadLittleEndian<uint32_t>(payload, 4),
      base::LoadLittleEndian<uint32_t>(payload, 8), base::LoadLittleEndian<uint64_t>(payload, 12)};
}

absl::StatusOr<std::vector<const Person*>> AdminCalls::ScrubbedPersons(
    const v1::ScrubTimelinesRequest& request, ScrubCursor& cursor) const {
  std::vector<const Person*> persons;
  std::vector<uint32_t> places;
  if (request.persons().empty()) {
    const PartitionIndex partition(request.partition());
    KLATCH_RETURN_IF_ERROR(CheckOwner(partition));
    persons = d_.node.PersonsOf(partition, cursor.first, limits::kScrubPersonsMax);
    for (const Person* person : persons) {
      places.push_back(person->index);
    }
  }
  for (uint32_t i = cursor.first; i < static_cast<uint32_t>(request.persons_size()); ++i) {
    const PersonId id(request.persons(static_cast<int>(i)));
    KLATCH_RETURN_IF_ERROR(CheckOwner(d_.layout.PartitionOf(id)));
    const Person* person = d_.people.Find(id);
    if (person == nullptr) {
      return base::FieldError(absl::StatusCode::kNotFound, fmt::format("persons[{}]", i),
                              "is not known here");
    }
    persons.push_back(person);
    places.push_back(i);
  }
  if (cursor.end == 0 && !persons.empty()) {
    cursor.end = places[Bunch(persons) - 1] + 1;
  }
  while (!places.empty() && places.back() >= cursor.end) {
    places.pop_back();
  }
  persons.resize(places.size());
  return persons;
}

size_t AdminCalls::Bunch(const std::vector<const Person*>& persons) const {
  const lockfree::EpochReclaimer::Guard guard(d_.people.epochs());
  std::set<GroupIndex> groups;
  for (size_t i = 0; i < persons.size(); ++i) {
    if (const MembershipList* list = persons[i]->memberships.Load(guard)) {
      for (const Membership& membership : list->items()) {
        groups.insert(membership.group);
      }
    }
    if (i > 0 && groups.size() > limits::kScrubGroupsMax) {
      return i;
    }
  }
  return persons.size();
}

base::Task<absl::StatusOr<std::vector<GroupId>>> AdminCalls::ScanGroups(ShardIndex shard,
                                                                        uint64_t& cursor) {
  const std::string key = keys_.Groups(shard);
  redis::Command scan{"SSCAN", key, std::to_string(cursor), "COUNT", kGroupsPerScan};
  redis::Pipeline::CallAwaiter call = d_.redis.Call(std::move(scan));
  const absl::StatusOr<redis::Reply> reply = co_await call;
  absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  std::vector<GroupId> groups;
  const redis::ReplyView found = (*reply)[1];
  for (size_t i = 0; i < found.size(); ++i) {
    groups.emplace_back(found[i].text());
  }
  cursor = base::ParseDecimal((*reply)[0].text()).value_or(0);
  co_return groups;
}

base::Task<absl::StatusOr<std::vector<GroupId>>> AdminCalls::NextGroups(ScrubCursor& cursor) {
  std::vector<GroupId> groups;
  while (cursor.shard < d_.layout.shard_count && groups.size() < limits::kScrubGroupsMax) {
    auto scanning = ScanGroups(ShardIndex(cursor.shard), cursor.scan);
    absl::StatusOr<std::vector<GroupId>> some = co_await std::move(scanning);
    if (!some.ok()) {
      co_return some.status();
    }
    std::ranges::move(*some, std::back_inserter(groups));
    cursor.shard += cursor.scan == 0 ? 1 : 0;
  }
  co_return groups;
}

base::Task<absl::StatusOr<std::vector<Position>>> AdminCalls::Settle(base::MonotonicTime deadline) {
  std::vector<Position> applied;
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    applied.push_back(d_.progress.Applied(ShardIndex(i)));
  }
  const auto flushed = [this, tickets = d_.node.AskFlush()] { return d_.node.Flushed(tickets); };
  auto waiting = polls_.Until(flushed, deadline);
  const absl::Status status = co_await std::move(waiting);
  if (!status.ok()) {
    co_return Unsettled(status);
  }
  co_return applied;
}

base::Task<absl::StatusOr<std::vector<Position>>> AdminCalls::SettleLog(
    base::MonotonicTime deadline) {
  std::vector<redis::Command> questions;
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    questions.push_back(LogEnd::Question(keys_.Log(ShardIndex(i))));
  }
  redis::Pipeline::CallAllAwaiter call = d_.redis.CallAll(std::move(questions));
  const redis::Pipeline::Replies ends = co_await call;
  if (!ends.ok()) {
    co_return base::Annotate(ends.status(), "read the logs' ends");
  }
  std::vector<Token> tokens;
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    const ShardIndex shard(i);
    const absl::StatusOr<Position> end = LogEnd::Decode((*ends)[i].view(), shard, keys_.Log(shard));
    if (!end.ok()) {
      co_return end.status();
    }
    tokens.push_back({shard, *end});
  }
  auto applying = d_.progress.WaitApplied(std::move(tokens), deadline);
  const absl::Status applied = co_await std::move(applying);
  if (!applied.ok()) {
    co_return Unsettled(applied);
  }
  auto settling = Settle(deadline);
  absl::StatusOr<std::vector<Position>> written = co_await std::move(settling);
  co_return written;
}

// What is seen twice by the same, all that was in the log the first time applied and written between,
// was not under way.
base::Task<absl::StatusOr<std::vector<Found>>> AdminCalls::FindTwice(
    std::vector<const Person*> persons, bool own_lists, std::vector<GroupId> groups,
    base::MonotonicTime deadline) {
  std::vector<Found> before;
  for (int look = 0; look < 2; ++look) {
    auto settling = look == 0 ? Settle(deadline) : SettleLog(deadline);
    absl::StatusOr<std::vector<Position>> written = co_await std::move(settling);
    if (!written.ok()) {
      co_return written.status();
    }
    std::vector<Found> found;
    if (own_lists) {
      auto looking = reader_.LookAtLists(persons, *std::move(written));
      absl::StatusOr<std::vector<Found>> more = co_await std::move(looking);
      if (!more.ok()) {
        co_return more.status();
      }
      AddOnce(*std::move(more), found);
    }
    auto looking = reader_.LookAtGroups(persons, groups);
    absl::StatusOr<std::vector<Found>> more = co_await std::move(looking);
    if (!more.ok()) {
      co_return more.status();
    }
    AddOnce(*std::move(more), found);
    if (look > 0) {
      std::erase_if(found, [&before](const Found& one) {
        return std::ranges::none_of(before, [&](const Found& b) { return b.SameAs(one); });
      });
    }
    before = std::move(found);
    if (before.empty()) {
      break;
    }
  }
  co_return before;
}

base::Task<absl::Status> AdminCalls::Repair(const std::vector<const Person*>& persons,
                                            std::vector<Found>& found,
                                            base::MonotonicTime deadline) {
  std::vector<Mend> mends(persons.size());
  for (Found& one : found) {
    if (one.stay) {
      mends[one.person].stays.push_back(*one.stay);
    }
    // Whoever is taken in has the past put back, too: it is waited for.
    const bool taken_in = one.stay && one.finding.in_memory() && one.stay->stay.role != Role::kNone;
    mends[one.person].rebuild |= one.rebuild || taken_in;
    one.finding.set_repairing(one.stay.has_value() || one.rebuild);
  }
  std::vector<Rebuilding> rebuildings = Order(persons, std::move(mends));
  auto mending = AwaitMended(std::move(rebuildings), deadline);
  absl::Status status = co_await std::move(mending);
  if (status.ok()) {
    auto settling = Settle(deadline);
    status = (co_await std::move(settling)).status();
  }
  co_return status;
}

AdminCalls::Answer<v1::ScrubTimelinesResponse> AdminCalls::ScrubMembers(
    v1::ScrubTimelinesRequest request, ScrubCursor cursor, base::MonotonicTime deadline) {
  const ShardIndex shard(request.members_of_shard());
  auto scanning = ScanGroups(shard, cursor.scan);
  absl::StatusOr<std::vector<GroupId>> groups = co_await std::move(scanning);
  if (!groups.ok()) {
    co_return groups.status();
  }
  auto looking = reader_.LookAtMembers(*std::move(groups));
  absl::StatusOr<ScrubReader::MembersLook> look = co_await std::move(looking);
  if (!look.ok()) {
    co_return look.status();
  }
  v1::ScrubTimelinesResponse response;
  response.set_persons(static_cast<uint32_t>(look->members));
  for (Found& one : look->unreadable) {
    *response.add_findings() = std::move(one.finding);
  }
  if (!look->unknown.empty()) {
    auto scrubbing = ScrubUnknown(std::move(look->unknown), request.repair(), response, deadline);
    absl::Status status = co_await std::move(scrubbing);
    if (!status.ok()) {
      co_return status;
    }
  }
  if (cursor.scan != 0) {
    cursor.end = 1;
    response.set_next_page_token(ScrubToken(request, cursor));
  }
  co_return response;
}

// Who is unknown may only be new: what is in the log now is applied before they are looked at again.
base::Task<absl::Status> AdminCalls::ScrubUnknown(std::vector<ScrubReader::UnknownMember> unknown,
                                                  bool repair, v1::ScrubTimelinesResponse& response,
                                                  base::MonotonicTime deadline) {
  auto settling = SettleLog(deadline);
  absl::Status settled = (co_await std::move(settling)).status();
  if (!settled.ok()) {
    co_return settled;
  }
  std::vector<GroupId> concerned;
  for (const ScrubReader::UnknownMember& one : unknown) {
    concerned.push_back(one.group);
  }
  std::ranges::sort(concerned);
  concerned.erase(std::unique(concerned.begin(), concerned.end()), concerned.end());
  auto looking = reader_.LookAtMembers(std::move(concerned));
  const absl::StatusOr<ScrubReader::MembersLook> again = co_await std::move(looking);
  if (!again.ok()) {
    co_return again.status();
  }
  std::erase_if(unknown, [&](const ScrubReader::UnknownMember& one) {
    return !std::ranges::binary_search(again->unknown, one) ||
           !CheckOwner(d_.layout.PartitionOf(one.person)).ok();
  });
  for (size_t begin = 0; begin < unknown.size(); begin += limits::kScrubPersonsMax) {
    const size_t end = std::min(begin + limits::kScrubPersonsMax, unknown.size());
    std::vector<const Person*> persons;
    std::vector<GroupId> groups;
    for (size_t i = begin; i < end; ++i) {
      const Person* person = d_.people.Find(unknown[i].person);
      if (person == nullptr) {
        v1::Finding& finding = *response.add_findings();
        finding.set_kind(v1::FINDING_KIND_VIEW_MISSING);
        finding.set_person(unknown[i].person.value());
        finding.set_group(unknown[i].group.value());
        finding.set_in_memory(true);
        continue;
      }
      if (persons.empty() || persons.back() != person) {
        persons.push_back(person);
      }
      groups.push_back(unknown[i].group);
    }
    std::ranges::sort(groups);
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    auto finding = FindTwice(persons, /*own_lists=*/false, std::move(groups), deadline);
    absl::StatusOr<std::vector<Found>> found = co_await std::move(finding);
    if (!found.ok()) {
      co_return found.status();
    }
    if (repair && !found->empty()) {
      auto repairing = Repair(persons, *found, deadline);
      static_cast<void>(co_await std::move(repairing));
    }
    for (Found& one : *found) {
      *response.add_findings() = std::move(one.finding);
    }
  }
  co_return absl::OkStatus();
}

AdminCalls::Answer<v1::ScrubTimelinesResponse> AdminCalls::ScrubTimelines(
    v1::ScrubTimelinesRequest request, base::MonotonicTime deadline) {
  absl::StatusOr<ScrubCursor> cursor = ReadScrubToken(request);
  if (!cursor.ok()) {
    co_return cursor.status();
  }
  if (request.has_members_of_shard()) {
    auto scrubbing = ScrubMembers(std::move(request), *cursor, deadline);
    absl::StatusOr<v1::ScrubTimelinesResponse> response = co_await std::move(scrubbing);
    co_return response;
  }
  const bool is_new = cursor->end == 0;
  if (request.own_lists()) {
    cursor->shard = d_.layout.shard_count;
  }
  const absl::StatusOr<std::vector<const Person*>> persons = ScrubbedPersons(request, *cursor);
  if (!persons.ok()) {
    co_return persons.status();
  }
  v1::ScrubTimelinesResponse response;
  if (persons->empty()) {
    co_return response;
  }
  auto listing = NextGroups(*cursor);
  absl::StatusOr<std::vector<GroupId>> groups = co_await std::move(listing);
  if (!groups.ok()) {
    co_return groups.status();
  }
  auto finding = FindTwice(*persons, is_new, *std::move(groups), deadline);
  absl::StatusOr<std::vector<Found>> found = co_await std::move(finding);
  if (!found.ok()) {
    co_return found.status();
  }
  if (request.repair() && !found->empty()) {
    // What is not mended when the deadline comes is mended later.
    auto repairing = Repair(*persons, *found, deadline);
    static_cast<void>(co_await std::move(repairing));
  }
  for (Found& one : *found) {
    *response.add_findings() = std::move(one.finding);
  }
  response.set_persons(static_cast<uint32_t>(persons->size()));
  if (cursor->shard < d_.layout.shard_count) {
    response.set_next_page_token(ScrubToken(request, *cursor));
    co_return response;
  }
  // The next bunch, if there is one.
  const ScrubCursor next{.first = cursor->end, .end = 0, .shard = 0, .scan = 0};
  ScrubCursor probe = next;
  const absl::StatusOr<std::vector<const Person*>> more = ScrubbedPersons(request, probe);
  if (more.ok() && !more->empty()) {
    response.set_next_page_token(ScrubToken(request, next));
  }
  co_return response;
}

}  // namespace klatch
