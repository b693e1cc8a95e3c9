#include "bench/load/setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "services/model/limits.h"

namespace klatch::load {
namespace {

using klatch::v1::AddMembersRequest;
using klatch::v1::CreateGroupRequest;
using klatch::v1::GetGroupRequest;
using klatch::v1::ListMembersRequest;
using klatch::v1::Member;

absl::Status ToStatus(const grpc::Status& status) {
  return base::Error(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// One connection's share of the groups.
class GroupMaker {
 public:
  GroupMaker(const Graph& graph, const Plan& plan, const SetupOptions& options, RunState& state)
      : graph_(graph), plan_(plan), state_(state), client_(options.client, state) {}

  absl::Status Make(GroupNumber number);

  const History& history() const { return history_; }

 private:
  enum class Found { kNew, kThere };
  absl::StatusOr<Found> Create(GroupNumber number);
  absl::Status AddAll(GroupNumber number, Found found);
  absl::Status AddSome(GroupNumber number, size_t call, std::span<const PersonNumber> persons,
                       Found found);
  absl::Status TakeOver(GroupNumber number);
  absl::Status ReadPolicy(GroupNumber number);
  void Joined(GroupNumber group, PersonNumber person, uint64_t position, Turn turn) {
    history_.turns.push_back({group, person, position, turn});
  }
  Turn TurnOfJoiners(GroupNumber group) const {
    return state_.opens_past[group] != 0 ? Turn::kJoinedOpen : Turn::kJoined;
  }

  const Graph& graph_;
  const Plan& plan_;
  RunState& state_;
  Client client_;
  History history_;
};

absl::StatusOr<GroupMaker::Found> GroupMaker::Create(GroupNumber number) {
  const GroupSpec& spec = graph_.group(number);
  CreateGroupRequest request;
  request.set_actor(graph_.person(spec.owner));
  request.set_request_id(fmt::format("{}-create-{}", plan_.run(), number));
  request.mutable_group()->set_id(spec.id);
  request.mutable_group()->set_display_name(spec.id);
  request.mutable_group()->set_history(plan_.OpensPast(number) ? klatch::v1::HISTORY_ALL
                                                               : klatch::v1::HISTORY_NONE);
  auto outcome = client_.CreateGroup(request);
  if (outcome.done()) {
    if (outcome.response.tokens().empty()) {
      return base::Error(absl::StatusCode::kInternal, "created without a token");
    }
    state_.opens_past[number] = plan_.OpensPast(number) ? 1 : 0;
    Joined(number, spec.owner, outcome.response.tokens(0).position(), TurnOfJoiners(number));
    return Found::kNew;
  }
  if (outcome.status.error_code() == grpc::StatusCode::ALREADY_EXISTS) {
    return Found::kThere;
  }
  return ToStatus(outcome.status);
}

absl::Status GroupMaker::AddSome(GroupNumber number, size_t call,
                                 std::span<const PersonNumber> persons, Found found) {
  AddMembersRequest request;
  request.set_actor(graph_.person(graph_.group(number).owner));
  request.set_request_id(fmt::format("{}-members-{}-{}", plan_.run(), number, call));
  request.set_group(graph_.group(number).id);
  for (PersonNumber person : persons) {
    request.add_members()->set_person(graph_.person(person));
  }
  auto outcome = client_.AddMembers(request);
  if (!outcome.done()) {
    return ToStatus(outcome.status);
  }
  if (found == Found::kThere) {
    return absl::OkStatus();
  }
  const auto& positions = outcome.response.chunk_positions();
  for (size_t i = 0; i < persons.size(); ++i) {
    auto chunk = static_cast<int>(i / limits::kMembersPerScript);
    if (chunk >= positions.size() || positions[chunk] == 0) {
      return base::Error(absl::StatusCode::kInternal,
                         fmt::format("{} was added without a position", graph_.person(persons[i])));
    }
    Joined(number, persons[i], positions[chunk], TurnOfJoiners(number));
  }
  return absl::OkStatus();
}

absl::Status GroupMaker::AddAll(GroupNumber number, Found found) {
  const GroupSpec& spec = graph_.group(number);
  std::vector<PersonNumber> persons;
  persons.reserve(spec.members.size());
  for (PersonNumber member : spec.members) {
    // The owner is there already; in a group that was there, adding them yields the log's position.
    if (member != spec.owner || found == Found::kThere) {
      persons.push_back(member);
    }
  }
  for (size_t begin = 0; begin < persons.size(); begin += limits::kMembersPerCallMax) {
    size_t count = std::min(limits::kMembersPerCallMax, persons.size() - begin);
    KLATCH_RETURN_IF_ERROR(AddSome(number, begin / limits::kMembersPerCallMax,
                                   std::span(persons).subspan(begin, count), found));
  }
  if (found == Found::kThere) {
    KLATCH_RETURN_IF_ERROR(ReadPolicy(number));
    return TakeOver(number);
  }
  return absl::OkStatus();
}

absl::Status GroupMaker::ReadPolicy(GroupNumber number) {
  GetGroupRequest request;
  request.set_actor(graph_.person(graph_.group(number).owner));
  request.set_group(graph_.group(number).id);
  auto outcome = client_.GetGroup(request);
  if (!outcome.done()) {
    return ToStatus(outcome.status);
  }
  state_.opens_past[number] = outcome.response.group().history() == klatch::v1::HISTORY_ALL ? 1 : 0;
  return absl::OkStatus();
}

absl::Status GroupMaker::TakeOver(GroupNumber number) {
  ListMembersRequest request;
  request.set_actor(graph_.person(graph_.group(number).owner));
  request.set_group(graph_.group(number).id);
  request.set_page_size(limits::kMembersPageMax);
  do {
    auto outcome = client_.ListMembers(request);
    if (!outcome.done()) {
      return ToStatus(outcome.status);
    }
    for (const Member& member : outcome.response.members()) {
      // Somebody from outside the graph may be a member too; nobody reads for them here.
      if (auto person = graph_.FindPerson(member.person()); person.has_value()) {
        Joined(number, *person, member.joined(),
               member.visible_from() < member.joined() ? Turn::kJoinedOpen : Turn::kJoined);
      }
    }
    request.set_page_token(outcome.response.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::Status GroupMaker::Make(GroupNumber number) {
  KLATCH_ASSIGN_OR_RETURN(Found found, Create(number));
  return AddAll(number, found);
}

}  // namespace

absl::Status SetUpGroups(const Graph& graph, const Plan& plan, const SetupOptions& options,
                         RunState& state, Model& model, std::atomic<uint64_t>& groups_ready) {
  std::atomic<GroupNumber> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  absl::Status first_error;  // guarded by mutex, as is the model
  auto work = [&] {
    GroupMaker maker(graph, plan, options, state);
    for (;;) {
      // A ticket and a flag: they publish nothing.
      GroupNumber number = next.fetch_add(1, std::memory_order_relaxed);
      if (number >= graph.group_count() || failed.load(std::memory_order_relaxed) ||
          state.MustStop()) {
        break;
      }
      absl::Status status = maker.Make(number);
      if (!status.ok()) {
        failed.store(true, std::memory_order_relaxed);
        std::lock_guard lock(mutex);
        if (first_error.ok()) {
          first_error = base::Annotate(status, fmt::format("group \"{}\"", graph.group(number).id));
        }
        break;
      }
      groups_ready.fetch_add(1, std::memory_order_relaxed);
    }
    std::lock_guard lock(mutex);
    model.Add(maker.history());
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < options.connections; ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (!first_error.ok()) {
    return first_error;
  }
  model.SetFloors(state.watermarks.Positions());
  return state.MustStop() ? base::Error(absl::StatusCode::kCancelled, "interrupted")
                          : absl::OkStatus();
}

}  // namespace klatch::load
