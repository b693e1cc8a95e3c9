#include "tests/integration/history_world.h"

#include <utility>

namespace klatch::testing {
namespace {

using grpc::StatusCode;

constexpr size_t kPersons = 10;
constexpr size_t kGroups = 14;
constexpr size_t kGroupsAtFirst = 6;
// Ids that may go to one timeline: less than what it keeps.
constexpr size_t kUpdatesMax = 740;
constexpr int kOperationsPerFullRead = 250;
constexpr int kOperationsPerWatchCheck = 40;
constexpr int kOperationsPerWatchEnd = 150;

}  // namespace

void WorldCounts::Add(const WorldCounts& other) {
  operations += other.operations;
  refused += other.refused;
  repeated += other.repeated;
  calls += other.calls;
  pages += other.pages;
  cursors += other.cursors;
  incomplete += other.incomplete;
  updates += other.updates;
  watched.Add(other.watched);
}

HistoryWorld::HistoryWorld(std::shared_ptr<grpc::Channel> channel, const WorldOptions& options)
    : options_(options),
      caller_(std::move(channel)),
      model_(kPersons, kGroups, options.fault),
      names_(options.number),
      random_(options.seed + 1'000'003 * static_cast<uint64_t>(options.number), options.choices),
      desk_{caller_, model_, names_, findings_, random_, tokens_},
      reads_(desk_) {
  Begin();
}

void HistoryWorld::Begin() {
  for (size_t i = 0; i < kGroupsAtFirst; ++i) {
    CreateGroupIn(GroupNumber(i), AnyPerson());
    const PersonNumber owner = MembersOf(GroupNumber(i), v1::ROLE_OWNER).front();
    if (!model_.At(GroupNumber(i)).policy.closed()) {
      AddTo(owner, GroupNumber(i), SomePersons(6), v1::ROLE_MEMBER);
    }
  }
  for (size_t i = 0; i < options_.watches; ++i) {
    watches_.push_back(std::make_unique<HistoryWatch>(desk_, AnyPerson()));
  }
}

bool HistoryWorld::Step() {
  if (findings_.any() || operations_ >= options_.operations) {
    return false;
  }
  ++operations_;
  is_in_force_ = false;
  (this->*PickOperation())();
  counts_.repeated += caller_.was_repeated() ? 1 : 0;
  for (const auto& watch : watches_) {
    watch->AfterOperation();
  }
  reads_.One(is_in_force_ && random_.Chance(50) ? HistoryReads::With::kNothing
                                                : HistoryReads::With::kTokens);
  for (size_t i = 0; i < watches_.size(); ++i) {
    const int turn = operations_ + static_cast<int>(i) * 17;
    if (turn % kOperationsPerWatchEnd == 0) {
      watches_[i]->Resume();
    } else if (turn % (3 * kOperationsPerWatchEnd) == 7) {
      watches_[i]->Begin(AnyPerson());
    } else if (turn % kOperationsPerWatchCheck == 0) {
      watches_[i]->Check();
    }
  }
  if (operations_ % kOperationsPerFullRead == 0) {
    reads_.Everything(AnyPerson());
    reads_.Everything(AnyPerson());
  }
  return !findings_.any();
}

void HistoryWorld::Finish() {
  for (const auto& watch : watches_) {
    if (!findings_.any()) {
      watch->Check();
    }
    counts_.watched.Add(watch->counts());
  }
  watches_.clear();
  CompareEverything();
}

void HistoryWorld::CompareEverything() {
  for (size_t i = 0; i < kPersons && !findings_.any(); ++i) {
    reads_.Everything(PersonNumber(i));
  }
}

std::string HistoryWorld::mismatch() const {
  return findings_.any() ? fmt::format("world {}, operation {}: {}", options_.number, operations_,
                                       findings_.mismatch())
                         : "";
}

WorldCounts HistoryWorld::counts() const {
  WorldCounts counts = counts_;
  counts.operations = operations_;
  counts.calls = caller_.calls();
  counts.pages = reads_.pages();
  counts.cursors = reads_.cursors();
  counts.incomplete = reads_.incomplete();
  counts.updates = static_cast<int64_t>(model_.updates().size());
  return counts;
}

HistoryWorld::Operation HistoryWorld::PickOperation() {
  struct Weighed {
    uint64_t weight;
    Operation operation;
  };
  static constexpr std::array kOperations = {
      Weighed{260, &HistoryWorld::Post},         Weighed{60, &HistoryWorld::PostToSeveral},
      Weighed{30, &HistoryWorld::PostToAll},     Weighed{25, &HistoryWorld::PostBatch},
      Weighed{50, &HistoryWorld::RepeatEarlier}, Weighed{80, &HistoryWorld::Edit},
      Weighed{70, &HistoryWorld::Delete},        Weighed{8, &HistoryWorld::CreateGroup},
      Weighed{30, &HistoryWorld::ChangePolicy},  Weighed{5, &HistoryWorld::DeleteGroup},
      Weighed{80, &HistoryWorld::AddPersons},    Weighed{40, &HistoryWorld::JoinAlone},
      Weighed{40, &HistoryWorld::RemovePersons}, Weighed{40, &HistoryWorld::Leave},
      Weighed{30, &HistoryWorld::ChangeRole},    Weighed{15, &HistoryWorld::Block},
      Weighed{20, &HistoryWorld::Unblock},       Weighed{15, &HistoryWorld::MutePerson},
      Weighed{15, &HistoryWorld::MuteGroup},     Weighed{20, &HistoryWorld::Hide},
      Weighed{15, &HistoryWorld::Unhide},        Weighed{25, &HistoryWorld::SetMarker},
      Weighed{10, &HistoryWorld::ChangeProfile}};
  // The first four post.
  constexpr size_t kPosting = 4;
  const size_t first = posts_ < kUpdatesMax ? 0 : kPosting;
  uint64_t total = 0;
  for (size_t i = first; i < kOperations.size(); ++i) {
    total += kOperations[i].weight;
  }
  uint64_t dice = random_.Below(total);
  size_t i = first;
  while (dice >= kOperations[i].weight) {
    dice -= kOperations[i++].weight;
  }
  return kOperations[i].operation;
}

PersonNumber HistoryWorld::AnyPerson() { return PersonNumber(random_.Below(kPersons)); }
GroupNumber HistoryWorld::AnyGroup() { return GroupNumber(random_.Below(kGroups)); }

std::vector<GroupNumber> HistoryWorld::GroupsOf(PersonNumber person, v1::Role lowest) const {
  std::vector<GroupNumber> groups;
  for (size_t i = 0; i < kGroups; ++i) {
    if (model_.StayOf(person, GroupNumber(i)).role >= lowest) {
      groups.push_back(GroupNumber(i));
    }
  }
  return groups;
}

std::vector<PersonNumber> HistoryWorld::MembersOf(GroupNumber group, v1::Role lowest) const {
  std::vector<PersonNumber> persons;
  for (size_t i = 0; i < kPersons; ++i) {
    if (model_.StayOf(PersonNumber(i), group).role >= lowest) {
      persons.push_back(PersonNumber(i));
    }
  }
  return persons;
}

PersonNumber HistoryWorld::Actor(GroupNumber group, v1::Role lowest) {
  const std::vector<PersonNumber> able = MembersOf(group, lowest);
  return able.empty() || random_.Chance(20) ? AnyPerson() : random_.Pick(able);
}

std::vector<PersonNumber> HistoryWorld::SomePersons(size_t count_max) {
  std::vector<PersonNumber> persons;
  const size_t count = 1 + random_.Below(count_max);
  while (persons.size() < count) {
    const PersonNumber person = AnyPerson();
    if (std::ranges::count(persons, person) == 0) {
      persons.push_back(person);
    }
  }
  return persons;
}

// Deleted ones too. 0: there was none yet.
uint64_t HistoryWorld::AnyUpdate() {
  const auto& updates = model_.updates();
  if (updates.empty()) {
    return 0;
  }
  const uint64_t first = updates.begin()->first;
  const uint64_t span = updates.rbegin()->first - first + 1;
  // Most of what happens is about something new.
  const uint64_t from = random_.Chance(60) ? first + span / 8 * 7 : first;
  return updates.lower_bound(from + random_.Below(first + span - from))->first;
}

std::string HistoryWorld::NewRequestId() { return fmt::format("r{}", ++request_ids_); }

bool HistoryWorld::Check(const std::string& what, const grpc::Status& status, StatusCode expected) {
  findings_.Note(fmt::format("{}: {} {}{}", operations_, what, CodeName(status.error_code()),
                             caller_.was_repeated() ? ", by a later try" : ""));
  counts_.refused += status.ok() ? 0 : 1;
  if (status.error_code() == expected) {
    return status.ok();
  }
  findings_.Report(fmt::format("{}: {} ({}), expected {}", what, CodeName(status.error_code()),
                               status.error_message(), CodeName(expected)));
  return false;
}

}  // namespace klatch::testing
