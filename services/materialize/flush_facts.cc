// What a flusher writes besides timelines: persons, holes, views, checkpoints, and the removal of
// tombstones.

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "common/base/bytes.h"
#include "services/materialize/flusher.h"

namespace klatch {
namespace {

constexpr std::chrono::seconds kIdleCheckpointInterval{10};
// Arguments that are collected before they are sent.
constexpr size_t kBytesPerRun = 8 << 20;

std::string EncodeView(const Stay& stay, Position position) {
  std::string value = EncodeStay(stay);
  base::AppendLittleEndian<uint64_t>(value, position.value());
  return value;
}

}  // namespace

absl::Status Flusher::WriteFacts(const FlushBatch& batch) {
  for (const uint32_t index : batch.new_persons) {
    const Person& person = PersonAt(index);
    scripts_.SetAdd(person.partition, keys_.Persons(person.partition), person.id.value());
    if (scripts_.bytes() > kBytesPerRun) {
      KLATCH_RETURN_IF_ERROR(RunFacts());
    }
  }
  // Before the holes: of one person in both, the hole came behind what is mended, since the worker confirms
  // no rebuild that began before a hole.
  for (const uint32_t index : batch.mended) {
    const Person& person = PersonAt(index);
    scripts_.HashDelete(person.partition, keys_.Holes(person.partition), person.id.value());
  }
  for (const HoleMark& hole : batch.holes) {
    const Person& person = PersonAt(hole.person);
    scripts_.HashSet(person.partition, keys_.Holes(person.partition),
                     {person.id.value(), std::to_string(hole.since)});
  }
  // Behind the holes: who is back has theirs marked before it is forgotten that they were quiet.
  for (const QuietChange& change : batch.quiet) {
    const Person& person = PersonAt(change.person);
    const std::string key = keys_.Quiet(person.partition);
    if (change.since != 0) {
      scripts_.HashSet(person.partition, key, {person.id.value(), std::to_string(change.since)});
    } else {
      scripts_.HashDelete(person.partition, key, person.id.value());
    }
  }
  return WriteViews(batch.views);
}

absl::Status Flusher::WriteViews(std::vector<ViewChange> views) {
  // One command per person; stable, so that the last change of a group comes last and wins.
  std::ranges::stable_sort(views, [this](const ViewChange& a, const ViewChange& b) {
    return std::pair(PersonAt(a.person).partition, a.person) <
           std::pair(PersonAt(b.person).partition, b.person);
  });
  std::vector<std::string> fields;
  for (size_t i = 0; i < views.size(); ++i) {
    fields.push_back(d_.groups.At(views[i].group).id.value());
    fields.push_back(EncodeView(views[i].stay, views[i].position));
    const bool last_of_person = i + 1 == views.size() || views[i + 1].person != views[i].person;
    if (last_of_person || fields.size() == 2 * FlushScripts::kHashFieldsMax) {
      const Person& person = PersonAt(views[i].person);
      scripts_.HashSet(person.partition, keys_.PersonGroups(person.id), std::exchange(fields, {}));
    }
    if (scripts_.bytes() > kBytesPerRun) {
      KLATCH_RETURN_IF_ERROR(RunFacts());
    }
  }
  return RunFacts();
}

bool Flusher::HasPassed(std::span<const Position> positions) const {
  return checkpoint_.size() == positions.size() &&
         std::ranges::equal(checkpoint_, positions, std::ranges::greater_equal());
}

bool Flusher::HasPassed(Position position) const {
  const uint32_t shard = position.shard().value();
  return shard < checkpoint_.size() && position <= checkpoint_[shard];
}

absl::Status Flusher::WriteCheckpoint(const FlushBatch& batch) {
  std::vector<Position> passed = batch.applied;
  for (uint32_t shard = 0; shard < passed.size(); ++shard) {
    passed[shard] = std::min(passed[shard], d_.progress.WholeUpTo(ShardIndex(shard)));
  }
  if (batch.HasChanges()) {
    changed_ = batch.applied;
  }
  if (passed == checkpoint_) {
    return absl::OkStatus();
  }
  // When nothing but time has passed, a replay from the old checkpoint costs nothing, and moving it
  // costs half a kilobyte of append-only file per partition.
  const base::MonotonicTime now = d_.clock.Monotonic();
  const bool covers_changes =
      !HasPassed(changed_) && std::ranges::equal(passed, changed_, std::ranges::greater_equal());
  if (!batch.HasChanges() && !covers_changes &&
      now - checkpoint_written_ < kIdleCheckpointInterval) {
    return absl::OkStatus();
  }
  std::string packed;
  for (const Position position : passed) {
    base::AppendLittleEndian<uint64_t>(packed, position.value());
  }
  for (const PartitionIndex partition : partitions_) {
    ranges_.Set(partition, keys_.Checkpoint(partition), packed);
  }
  absl::Status status = RunFacts();
  if (absl::IsResourceExhausted(status)) {
    // Transactions need free memory.
    for (const PartitionIndex partition : partitions_) {
      scripts_.SetCheckpoint(partition, packed);
    }
    status = RunFacts();
  }
  KLATCH_RETURN_IF_ERROR(status);
  checkpoint_written_ = now;
  checkpoint_ = std::move(passed);
  return absl::OkStatus();
}

absl::Status Flusher::RemoveTombstones(const FlushBatch& batch) {
  // Who left and came back has no tombstone: the last change counts.
  for (const ViewChange& view : batch.views) {
    const uint64_t membership = uint64_t{view.person} << 32 | view.group.value();
    if (view.stay.role == Role::kNone) {
      tombstones_.insert_or_assign(membership, view);
    } else {
      tombstones_.erase(membership);
    }
  }
  std::vector<ViewChange> removed;
  for (const auto& [membership, view] : tombstones_) {
    if (HasPassed(view.position)) {
      const Person& person = PersonAt(view.person);
      scripts_.HashDelete(person.partition, keys_.PersonGroups(person.id),
                          d_.groups.At(view.group).id.value());
      removed.push_back(view);
      if (scripts_.bytes() > kBytesPerRun) {
        KLATCH_RETURN_IF_ERROR(RunFacts());
      }
    }
  }
  KLATCH_RETURN_IF_ERROR(RunFacts());
  std::erase_if(tombstones_,
                [this](const auto& waiting) { return HasPassed(waiting.second.position); });
  std::ranges::move(removed, std::back_inserter(news_.removed));
  return absl::OkStatus();
}

// Memory is the truth of all of these keys, so one that somebody has put another type into is
// written anew from there.
absl::Status Flusher::RunFacts() {
  FlushScripts::Findings findings;
  KLATCH_RETURN_IF_ERROR(RunScripts(findings));
  std::set<std::string> replaced;
  for (const FlushScripts::WrongType& wrong : findings.wrong_type) {
    if (replaced.insert(wrong.key).second) {
      LogReplaced(wrong.key, "none: memory has all of it");
      KLATCH_RETURN_IF_ERROR(ReplaceFact(wrong));
    }
  }
  findings = {};
  KLATCH_RETURN_IF_ERROR(RunScripts(findings));
  return findings.wrong_type.empty() ? absl::OkStatus() : AnotherType(findings.wrong_type[0].key);
}

absl::Status Flusher::ReplaceFact(const FlushScripts::WrongType& wrong) {
  const PersonStore& persons = d_.worker.persons();
  std::vector<std::string> texts;
  if (wrong.key == keys_.Persons(wrong.partition)) {
    for (uint32_t i = 0; i < persons.size(); ++i) {
      if (persons.At(i).partition == wrong.partition) {
        texts.push_back(persons.At(i).id.value());
      }
    }
    scripts_.SetReplace(wrong.partition, wrong.key, std::move(texts));
    return absl::OkStatus();
  }
  if (wrong.key == keys_.Holes(wrong.partition)) {
    for (uint32_t i = 0; i < persons.size(); ++i) {
      const uint64_t since = persons.At(i).hole_since.load(std::memory_order_relaxed);
      if (persons.At(i).partition == wrong.partition && since != 0) {
        texts.insert(texts.end(), {persons.At(i).id.value(), std::to_string(since)});
      }
    }
    scripts_.HashReplace(wrong.partition, wrong.key, std::move(texts));
    return absl::OkStatus();
  }
  if (wrong.key == keys_.Quiet(wrong.partition)) {
    // Who is back meanwhile counts as quiet until the batch that says so; that does no harm.
    for (uint32_t i = 0; i < persons.size(); ++i) {
      const uint64_t since = persons.At(i).quiet_since.load(std::memory_order_acquire);
      if (persons.At(i).partition == wrong.partition && since != 0) {
        texts.insert(texts.end(), {persons.At(i).id.value(), std::to_string(since)});
      }
    }
    scripts_.HashReplace(wrong.partition, wrong.key, std::move(texts));
    return absl::OkStatus();
  }
  const std::optional<uint32_t> person = FindPersonOfView(wrong.key);
  if (!person) {
    return AnotherType(wrong.key);
  }
  const lockfree::EpochReclaimer::Guard guard(d_.epochs);
  // It may be ahead of the batch; a replay passes over what a view holds already.
  if (const MembershipList* list = PersonAt(*person).memberships.Load(guard)) {
    for (const Membership& membership : list->items()) {
      if (membership.stay.role == Role::kNone && HasPassed(membership.position)) {
        continue;  // Memory forgets it when it hears that it is removed.
      }
      texts.push_back(d_.groups.At(membership.group).id.value());
      texts.push_back(EncodeView(membership.stay, membership.position));
    }
  }
  scripts_.HashReplace(wrong.partition, wrong.key, std::move(texts));
  return absl::OkStatus();
}

// Only views are written of those whose memberships a batch has changed, or whose tombstones wait.
std::optional<uint32_t> Flusher::FindPersonOfView(const std::string& key) const {
  const auto has_key = [&](const ViewChange& change) {
    return keys_.PersonGroups(PersonAt(change.person).id) == key;
  };
  if (const auto view = std::ranges::find_if(batch_->views, has_key); view != batch_->views.end()) {
    return view->person;
  }
  const auto tombstone = std::ranges::find_if(
      tombstones_, [&](const auto& waiting) { return has_key(waiting.second); });
  return tombstone == tombstones_.end() ? std::nullopt : std::optional(tombstone->second.person);
}

absl::Status Flusher::AnotherType(const std::string& key) {
  return base::Error(absl::StatusCode::kFailedPrecondition,
                     fmt::format("key {} holds another type", key));
}

}  // namespace klatch
