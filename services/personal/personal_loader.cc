#include "services/personal/personal_loader.h"

#include <algorithm>
#include <utility>

namespace klatch {
namespace {

constexpr const char* kMembersPerScan = "1000";
// Persons whose sets are asked for together.
constexpr size_t kPersonsPerStep = 300;

}  // namespace

template <typename Take>
absl::Status PersonalLoader::ReadOn(std::vector<Scan>& scans, const Take& take) {
  std::vector<redis::Command> commands;
  commands.reserve(scans.size());
  for (const Scan& scan : scans) {
    commands.push_back(redis::Command{"SSCAN", scan.key, scan.cursor, "COUNT", kMembersPerScan});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_.CallAll(commands));
  for (size_t i = 0; i < scans.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), scans[i].key));
    scans[i].cursor = std::string(replies[i][0].text());
    const redis::ReplyView members = replies[i][1];
    for (size_t j = 0; j < members.size(); ++j) {
      KLATCH_RETURN_IF_ERROR(take(scans[i], members[j].text()));
    }
  }
  std::erase_if(scans, [](const Scan& scan) { return scan.cursor == "0" || scan.cursor.empty(); });
  return absl::OkStatus();
}

absl::Status PersonalLoader::LoadAll(const std::function<bool()>& interrupted) {
  std::vector<Scan> partitions;
  for (uint32_t i = 0; i < layout_.partition_count; ++i) {
    partitions.push_back({.key = keys_.Personal(PartitionIndex(i)), .owner = std::to_string(i)});
  }
  while (!partitions.empty()) {
    std::vector<std::string> persons;
    KLATCH_RETURN_IF_ERROR(ReadOn(partitions, [&persons](const Scan&, std::string_view person) {
      persons.emplace_back(person);
      return absl::OkStatus();
    }));
    for (size_t first = 0; first < persons.size(); first += kPersonsPerStep) {
      if (interrupted()) {
        return base::Error(absl::StatusCode::kCancelled, "interrupted");
      }
      const size_t last = std::min(first + kPersonsPerStep, persons.size());
      KLATCH_RETURN_IF_ERROR(
          LoadPersons(std::vector(persons.begin() + static_cast<std::ptrdiff_t>(first),
                                  persons.begin() + static_cast<std::ptrdiff_t>(last))));
    }
  }
  return absl::OkStatus();
}

absl::Status PersonalLoader::LoadPersons(const std::vector<std::string>& persons) {
  using personal::SetKey;
  std::map<std::string, PersonalState> states;
  std::vector<Scan> scans;
  for (const std::string& person : persons) {
    for (const SetKey kind : {SetKey::kBlocks, SetKey::kMutes, SetKey::kHidden}) {
      scans.push_back(
          {.key = personal::KeyOf(keys_, kind, PersonId(person)), .owner = person, .kind = kind});
    }
  }
  while (!scans.empty()) {
    KLATCH_RETURN_IF_ERROR(ReadOn(scans, [&states](const Scan& scan, std::string_view member) {
      return personal::RestoreMember(scan.kind, member, states[scan.owner])
                 ? absl::OkStatus()
                 : UnreadableKey(scan.key, "holds a member that this version can't read");
    }));
  }
  for (auto& [person, state] : states) {
    if (!store_.Admit(PersonId(person))) {
      return base::Error(absl::StatusCode::kResourceExhausted,
                         "more persons with personal state than --persons-max; raise it and start "
                         "again");
    }
    // A scan may name a member twice.
    std::ranges::sort(state.hidden);
    state.hidden.erase(std::unique(state.hidden.begin(), state.hidden.end()), state.hidden.end());
    store_.Publish(PersonId(person), std::move(state));
  }
  return absl::OkStatus();
}

}  // namespace klatch
