#include "bench/load/oracle/watch_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "common/base/hash.h"

namespace klatch::load {
class WatchJudge::Viewing {
 public:
  Viewing(const WatchJudge& judge, const WatchLog& log, PersonNumber person)
      : judge_(judge), model_(judge.model_), log_(log), person_(person) {}

  void Add(const WatchNote& note) { notes_.push_back(note); }
  void AddPaged(uint64_t update) { paged_.insert(update); }
  void AddTrimmed(uint64_t oldest) { trimmed_below_ = std::max(trimmed_below_, oldest); }

  // What is due and has neither come nor is excused.
  std::vector<uint64_t> Missing();
  void Tell(Violations& violations, WatchResult& result);

 private:
  struct Update {
    uint64_t times = 0;
    bool deleted = false;
    uint64_t text = 0;  // of the last that was said
  };

  void CountNotes();
  bool Concerns(const PostRecord& post) const;
  // Whether something about an update of this id may be missing, and was to be read on a page.
  bool InGap(uint64_t id) const;
  bool IsExcused(uint64_t id) const {
    return InGap(id) && (paged_.contains(id) || id < trimmed_below_);
  }
  void TellShown(const WatchNote& note, Violations& violations);
  void TellChanges(const PostRecord& post, Violations& violations) const;
  // What somebody who looks for the reason would ask first.
  std::string Circumstances(uint64_t id) const;
  Surface SurfaceOf(uint64_t id) const {
    return id >= log_.resumed_since ? Surface::kResumedWatch : Surface::kWatch;
  }

  const WatchJudge& judge_;
  const Model& model_;
  const WatchLog& log_;
  const PersonNumber person_;
  std::vector<WatchNote> notes_;
  std::set<uint64_t> paged_;
  uint64_t trimmed_below_ = 0;
  std::unordered_map<uint64_t, Update> updates_;
};

void WatchJudge::Viewing::CountNotes() {
  updates_.clear();
  for (const WatchNote& note : notes_) {
    if (!note.counts || note.kind == WatchNote::Kind::kGap) {
      continue;
    }
    Update& update = updates_[note.update];
    update.deleted = update.deleted || note.kind == WatchNote::Kind::kDeleted;
    if (note.kind != WatchNote::Kind::kDeleted) {
      update.times += note.kind == WatchNote::Kind::kPublished ? 1 : 0;
      update.text = note.text;
    }
  }
}

// Whether the person may have had their own reasons not to be shown it.
bool WatchJudge::Viewing::Concerns(const PostRecord& post) const {
  bool concerns = false;
  post.ForEachPlace([&](const Place& place) {
    concerns = concerns || judge_.quarrels_.Concerns(person_, post.author, place.group);
  });
  return concerns;
}

bool WatchJudge::Viewing::InGap(uint64_t id) const {
  return std::any_of(notes_.begin(), notes_.end(), [id](const WatchNote& note) {
    return note.kind == WatchNote::Kind::kGap && note.update <= id;
  });
}

std::string WatchJudge::Viewing::Circumstances(uint64_t id) const {
  size_t groups = 0;
  model_.Find(id)->ForEachPlace([&](const Place&) { ++groups; });
  std::string text = fmt::format("to {} groups", groups);
  for (const WatchNote& note : notes_) {
    if (note.kind == WatchNote::Kind::kGap) {
      text += fmt::format(", gap since {}", note.update);
    } else if (note.update == id) {
      text += ", shown without a token";
    }
  }
  if (trimmed_below_ != 0) {
    text += fmt::format(", page from {}", trimmed_below_);
  }
  return text;
}

std::vector<uint64_t> WatchJudge::Viewing::Missing() {
  CountNotes();
  std::vector<uint64_t> missing;
  for (const DueUpdate& due : model_.HomeOf(person_)) {
    const PostRecord& post = *model_.Find(due.id);
    const auto shown = updates_.find(due.id);
    const bool came = shown != updates_.end() && shown->second.times > 0;
    if (due.access == Access::kVisible && !came && model_.HasFromPosting(person_, post) &&
        !Concerns(post) && !IsExcused(due.id)) {
      missing.push_back(due.id);
    }
  }
  return missing;
}

// One event, whether or not a token came behind it.
void WatchJudge::Viewing::TellShown(const WatchNote& note, Violations& violations) {
  const Surface surface = note.resumed ? Surface::kResumedWatch : Surface::kWatch;
  const PostRecord* post = model_.Find(note.update);
  if (post == nullptr) {
    // From before this run, or of a call that stayed undecided, which fails the run anyway.
    if (!model_.IsForeign(note.update) && model_.unknown_posts().empty()) {
      violations.Add(Violation::kLeaked, surface, person_, note.update, "that nobody posted");
    }
    return;
  }
  const Access access = model_.AccessTo(person_, *post);
  if (access == Access::kNone) {
    violations.Add(Violation::kLeaked, surface, person_, note.update, "that was never due");
  } else if (note.after_leaving && MustNotSee(access)) {
    violations.Add(Violation::kLeaked, surface, person_, note.update, "after leaving");
  } else if (model_.IsUnwanted(person_, note.update, note.arrived)) {
    // Later it may be shown: when it is wanted again, pages show it too.
    violations.Add(Violation::kLeaked, surface, person_, note.update, "posted while unwanted");
  }
}

void WatchJudge::Viewing::TellChanges(const PostRecord& post, Violations& violations) const {
  const auto found = updates_.find(post.id);
  const bool came = found != updates_.end() && found->second.times > 0;
  if (!came || !model_.HasFromPosting(person_, post) || Concerns(post) || InGap(post.id)) {
    return;
  }
  const std::string& name = judge_.graph_.person(person_);
  const Update& shown = found->second;
  if (post.fate == Fate::kDeleted && !shown.deleted) {
    violations.AddOther(
        fmt::format("the watch of {} was not told that update {} was deleted", name, post.id));
  } else if (post.fate == Fate::kEdited &&
             shown.text != base::StableHash64(judge_.plan_.EditedTextOf(post.number))) {
    violations.AddOther(
        fmt::format("the watch of {} was not told how update {} was edited", name, post.id));
  } else if (post.fate == Fate::kAsPosted &&
             shown.text != base::StableHash64(judge_.plan_.TextOf(post.number))) {
    violations.AddOther(
        fmt::format("the watch of {} showed another text than update {} has", name, post.id));
  }
}

void WatchJudge::Viewing::Tell(Violations& violations, WatchResult& result) {
  for (uint64_t id : Missing()) {
    violations.Add(Violation::kLost, SurfaceOf(id), person_, id, Circumstances(id));
  }
  std::unordered_map<uint64_t, uint64_t> times;
  std::set<uint64_t> deleted;
  for (const WatchNote& note : notes_) {
    const Surface surface = note.resumed ? Surface::kResumedWatch : Surface::kWatch;
    if (note.kind == WatchNote::Kind::kDeleted) {
      deleted.insert(note.update);
    } else if (note.kind != WatchNote::Kind::kGap) {
      TellShown(note, violations);
      if (deleted.contains(note.update)) {
        violations.Add(Violation::kLeaked, surface, person_, note.update, "after its deletion");
      }
      if (note.kind == WatchNote::Kind::kPublished && note.counts && ++times[note.update] > 1) {
        violations.Add(Violation::kDuplicated, surface, person_, note.update);
      }
    }
  }
  result.shown += times.size();
  for (const DueUpdate& due : model_.HomeOf(person_)) {
    TellChanges(*model_.Find(due.id), violations);
    result.paged += !times.contains(due.id) && IsExcused(due.id) ? 1 : 0;
  }
}

template <typename Take>
void WatchJudge::ForEachViewing(const std::vector<WatchLog>& logs, const Take& take) const {
  for (const WatchLog& log : logs) {
    std::unordered_map<PersonNumber, Viewing> viewings;
    for (PersonNumber person : log.persons) {
      viewings.emplace(person, Viewing(*this, log, person));
    }
    for (const WatchNote& note : log.notes) {
      viewings.at(note.person).Add(note);
    }
    for (const auto& [person, update] : log.paged) {
      viewings.at(person).AddPaged(update);
    }
    for (const auto& [person, oldest] : log.trimmed) {
      viewings.at(person).AddTrimmed(oldest);
    }
    for (PersonNumber person : log.persons) {
      take(viewings.at(person));
    }
  }
}

uint64_t WatchJudge::CountMissing(const std::vector<WatchLog>& logs) const {
  uint64_t missing = 0;
  ForEachViewing(logs, [&](Viewing& viewing) { missing += viewing.Missing().size(); });
  return missing;
}

WatchResult WatchJudge::Judge(const std::vector<WatchLog>& logs, Violations& violations) const {
  WatchResult result;
  for (const WatchLog& log : logs) {
    result.gaps += log.gaps;
    result.resumes += log.resumes;
    result.persons += log.persons.size();
  }
  ForEachViewing(logs, [&](Viewing& viewing) { viewing.Tell(violations, result); });
  return result;
}

}  // namespace klatch::load
