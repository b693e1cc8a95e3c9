#include "bench/load/oracle/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <thread>

namespace klatch::load {
namespace {

using klatch::v1::Update;

constexpr std::chrono::milliseconds kHoleTimeout{10'000};
constexpr std::chrono::milliseconds kHolePause{100};

Surface SurfaceOf(CheckPath path) {
  switch (path) {
    case CheckPath::kHome:
      return Surface::kHome;
    case CheckPath::kGroup:
      return Surface::kGroup;
    case CheckPath::kProfile:
      return Surface::kProfile;
    case CheckPath::kSingle:
      break;
  }
  return Surface::kSingle;
}

std::string_view NameOf(CheckPath path) { return NameOf(SurfaceOf(path)); }

std::vector<uint64_t> IdsOf(const TimelineRead& read) {
  std::vector<uint64_t> ids;
  ids.reserve(read.updates.size());
  for (const Update& update : read.updates) {
    ids.push_back(update.id());
  }
  return ids;
}

}  // namespace

bool Checker::IsPlanned(const Update& update, uint64_t number) const {
  PlannedPost post = plan_.At(number);
  const auto& groups = update.groups();
  // Of several: those that took it, which nobody knows.
  bool in_group = post.is_several()
                      ? !groups.empty()
                      : groups.size() == 1 && groups[0] == graph_.group(post.group).id;
  return in_group && update.author() == graph_.person(post.author) &&
         update.text() == plan_.TextOf(number);
}

bool Checker::Repeats(const Update& update, const PostRecord& post) const {
  bool in_group = false;
  post.ForEachPlace([&](const Place& place) {
    const auto& groups = update.groups();
    in_group = in_group || std::find(groups.begin(), groups.end(), graph_.group(place.group).id) !=
                               groups.end();
  });
  return in_group && update.author() == graph_.person(post.author) &&
         update.text() == plan_.TextOf(post.number);
}

bool Checker::NamesItsGroups(const CheckTask& task, const Update& update,
                             const PostRecord& post) const {
  const std::set<std::string_view> named(update.groups().begin(), update.groups().end());
  if (static_cast<int>(named.size()) != update.groups_size()) {
    return false;
  }
  size_t known = 0;
  bool right = task.path != CheckPath::kGroup || named.contains(graph_.group(task.subject).id);
  post.ForEachPlace([&](const Place& place) {
    const bool is_named = named.contains(graph_.group(place.group).id);
    const Access access = model_.AccessThrough(task.viewer, post, place);
    known += is_named ? 1 : 0;
    // A group's page shows it through that group; of the others it may be silent.
    const bool must = access == Access::kVisible && task.path != CheckPath::kGroup;
    right = right && (is_named ? !MustNotSee(access) : !must);
  });
  return right && (known == named.size() || post.elsewhere);
}

bool Checker::SameAsPosted(const CheckTask& task, const Update& update,
                           const PostRecord& post) const {
  if (update.author() != graph_.person(post.author)) {
    return false;
  }
  // Whoever must not see it is told as that.
  if (!MustNotSee(model_.AccessTo(task.viewer, post)) && !NamesItsGroups(task, update, post)) {
    return false;
  }
  bool may_be_old = post.fate != Fate::kEdited;
  bool may_be_new = post.fate == Fate::kEdited || post.fate == Fate::kMaybeEdited;
  return (may_be_old && update.text() == plan_.TextOf(post.number)) ||
         (may_be_new && update.text() == plan_.EditedTextOf(post.number));
}

std::optional<Stray> Checker::ClassifyUndecided(PersonNumber viewer, const Update& update) {
  for (uint64_t number : model_.unknown_posts()) {
    if (!IsPlanned(update, number)) {
      continue;
    }
    PlannedPost planned = plan_.At(number);
    PostRecord post{update.id(), number, planned.group, planned.author, planned.members_now};
    std::lock_guard lock(mutex_);
    if (undecided_seen_.emplace(number, update.id()).first->second != update.id()) {
      return Stray::kDuplicate;
    }
    return MustNotSee(model_.AccessTo(viewer, post)) ? Stray::kLeak : Stray::kForeign;
  }
  return std::nullopt;
}

Stray Checker::Classify(PersonNumber viewer, const Update& update) {
  if (const PostRecord* post = model_.Find(update.id()); post != nullptr) {
    // Known, and no copy of it was due. It may be shown to whoever sees the past by now, and nobody
    // can say anything while a call about it is undecided.
    return MustNotSee(model_.AccessTo(viewer, *post)) ? Stray::kLeak : Stray::kForeign;
  }
  if (model_.IsForeign(update.id()) || update.groups_size() == 0 ||
      !graph_.FindGroup(update.groups(0)).has_value()) {
    return Stray::kForeign;
  }
  if (auto undecided = ClassifyUndecided(viewer, update); undecided.has_value()) {
    return *undecided;
  }
  auto author = graph_.FindPerson(update.author());
  if (!author.has_value()) {
    return Stray::kForeign;
  }
  // In a group of ours, by a person of ours, and no answer named it: either a second copy of a post
  // or one that was refused.
  for (const DueUpdate& due : model_.ProfileSeenBy(viewer, *author)) {
    if (Repeats(update, *model_.Find(due.id))) {
      return Stray::kDuplicate;
    }
  }
  return Stray::kLeak;
}

class Checker::Reader {
 public:
  explicit Reader(Checker& checker)
      : checker_(checker), client_(checker.options_.client, checker.state_) {}

  void Check(const CheckTask& task);

  uint64_t trimmed() const { return trimmed_; }

 private:
  TimelineRead Read(const CheckTask& task);
  // A page that says "hole" is being completed; it has a while for that.
  TimelineRead ReadWhole(const CheckTask& task);
  std::vector<DueUpdate> DueFor(const CheckTask& task) const;
  void CheckSingle(const CheckTask& task);
  void Judge(const CheckTask& task, const TimelineRead& read);
  void AddAll(const std::vector<uint64_t>& ids, Violation kind, const CheckTask& task);
  void Failed(const CheckTask& task, const grpc::Status& status);

  Checker& checker_;
  Client client_;
  uint64_t trimmed_ = 0;
};

void Checker::Reader::Failed(const CheckTask& task, const grpc::Status& status) {
  if (!checker_.state_.MustStop()) {
    checker_.violations_.AddOther(fmt::format("{} of {} could not be read: {}", NameOf(task.path),
                                              checker_.graph_.person(task.viewer),
                                              status.error_message()));
  }
}

void Checker::Reader::CheckSingle(const CheckTask& task) {
  const PostRecord& post = checker_.model_.posts()[task.subject];
  auto outcome = client_.GetUpdate(checker_.graph_.person(task.viewer), post.id, {});
  Access access = checker_.model_.AccessTo(task.viewer, post);
  if (!outcome.done() && outcome.status.error_code() != grpc::StatusCode::NOT_FOUND) {
    Failed(task, outcome.status);
  } else if (access == Access::kVisible && !outcome.done()) {
    checker_.violations_.Add(Violation::kLost, Surface::kSingle, task.viewer, post.id);
  } else if (outcome.done() && MustNotSee(access)) {
    checker_.violations_.Add(Violation::kLeaked, Surface::kSingle, task.viewer, post.id);
  } else if (outcome.done() && (outcome.response.update().id() != post.id ||
                                !checker_.SameAsPosted(task, outcome.response.update(), post))) {
    checker_.violations_.AddOther(fmt::format("update {} is not as it was posted", post.id));
  }
}

TimelineRead Checker::Reader::Read(const CheckTask& task) {
  const std::string& actor = checker_.graph_.person(task.viewer);
  switch (task.path) {
    case CheckPath::kGroup:
      return client_.ReadGroup(actor, checker_.graph_.group(task.subject).id, {}, {});
    case CheckPath::kProfile:
      return client_.ReadProfile(actor, checker_.graph_.person(task.subject), {}, {});
    case CheckPath::kHome:
    case CheckPath::kSingle:
      break;
  }
  return client_.ReadHome(actor, {}, {});
}

std::vector<DueUpdate> Checker::Reader::DueFor(const CheckTask& task) const {
  switch (task.path) {
    case CheckPath::kGroup:
      return checker_.model_.GroupSeenBy(task.viewer, task.subject);
    case CheckPath::kProfile:
      return checker_.model_.ProfileSeenBy(task.viewer, task.subject);
    case CheckPath::kHome:
    case CheckPath::kSingle:
      break;
  }
  return checker_.model_.HomeOf(task.viewer);
}

TimelineRead Checker::Reader::ReadWhole(const CheckTask& task) {
  auto end = std::chrono::steady_clock::now() + kHoleTimeout;
  TimelineRead read = Read(task);
  while (read.ok() && read.hole_since != 0 && std::chrono::steady_clock::now() < end &&
         !checker_.state_.MustStop()) {
    std::this_thread::sleep_for(kHolePause);
    read = Read(task);
  }
  return read;
}

void Checker::Reader::AddAll(const std::vector<uint64_t>& ids, Violation kind,
                             const CheckTask& task) {
  for (uint64_t id : ids) {
    checker_.violations_.Add(kind, SurfaceOf(task.path), task.viewer, id);
  }
}

void Checker::Reader::Judge(const CheckTask& task, const TimelineRead& read) {
  std::unordered_map<uint64_t, const Update*> by_id;
  for (const Update& update : read.updates) {
    by_id.emplace(update.id(), &update);
  }
  std::vector<uint64_t> ids = IdsOf(read);
  const std::vector<DueUpdate> due = DueFor(task);
  Differences comparison =
      Compare(due, {ids, read.trimmed}, checker_.options_.cap,
              [&](uint64_t id) { return checker_.Classify(task.viewer, *by_id.at(id)); });
  for (uint64_t id : comparison.lost) {
    // Whether it stands near the cap says much about what went wrong.
    const auto place = std::find_if(due.begin(), due.end(),
                                    [id](const DueUpdate& update) { return update.id == id; });
    checker_.violations_.Add(Violation::kLost, SurfaceOf(task.path), task.viewer, id,
                             fmt::format("as number {} of {} due, {} shown",
                                         place - due.begin() + 1, due.size(), ids.size()));
  }
  AddAll(comparison.duplicated, Violation::kDuplicated, task);
  AddAll(comparison.leaked, Violation::kLeaked, task);
  if (task.path == CheckPath::kHome) {
    trimmed_ += comparison.trimmed;
  }
  const std::string& viewer = checker_.graph_.person(task.viewer);
  if (comparison.out_of_order || read.endless) {
    checker_.violations_.AddOther(fmt::format("{} of {} {}", NameOf(task.path), viewer,
                                              read.endless ? "never ends" : "is not in order"));
  }
  for (const Update& update : read.updates) {
    const PostRecord* post = checker_.model_.Find(update.id());
    if (post != nullptr && !checker_.SameAsPosted(task, update, *post)) {
      checker_.violations_.AddOther(fmt::format("update {} is not as it was posted ({} of {})",
                                                update.id(), NameOf(task.path), viewer));
    }
  }
}

void Checker::Reader::Check(const CheckTask& task) {
  if (task.path == CheckPath::kSingle) {
    CheckSingle(task);
    return;
  }
  TimelineRead read = ReadWhole(task);
  // To whoever has left a group it is closed.
  bool closed = task.path == CheckPath::kGroup &&
                checker_.model_.HasLeft(task.subject, task.viewer) &&
                !checker_.model_.IsMember(task.subject, task.viewer) &&
                read.status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
  if (closed) {
    return;
  }
  if (!read.ok()) {
    Failed(task, read.status);
    return;
  }
  Judge(task, read);
}

CheckResult Checker::Count(const std::vector<CheckTask>& tasks) const {
  std::array<std::set<uint32_t>, 4> subjects;
  for (const CheckTask& task : tasks) {
    subjects[static_cast<size_t>(task.path)].insert(task.path == CheckPath::kHome ? task.viewer
                                                                                  : task.subject);
  }
  auto count = [&subjects](CheckPath path) { return subjects[static_cast<size_t>(path)].size(); };
  return {.home_timelines = count(CheckPath::kHome),
          .group_timelines = count(CheckPath::kGroup),
          .profiles = count(CheckPath::kProfile),
          .single_updates = count(CheckPath::kSingle)};
}

CheckResult Checker::Run(const std::vector<CheckTask>& tasks, std::atomic<uint64_t>& tasks_done) {
  // Tickets: they publish nothing.
  std::atomic<size_t> next{0};
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < options_.connections; ++i) {
    Reader& reader = *readers.emplace_back(std::make_unique<Reader>(*this));
    threads.emplace_back([&, this] {
      for (size_t task = next.fetch_add(1, std::memory_order_relaxed);
           task < tasks.size() && !state_.MustStop();
           task = next.fetch_add(1, std::memory_order_relaxed)) {
        reader.Check(tasks[task]);
        tasks_done.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  CheckResult result = Count(tasks);
  for (size_t i = 0; i < threads.size(); ++i) {
    threads[i].join();
    result.trimmed += readers[i]->trimmed();
  }
  return result;
}

}  // namespace klatch::load
