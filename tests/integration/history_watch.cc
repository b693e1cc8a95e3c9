#include "tests/integration/history_watch.h"

#include <utility>

namespace klatch::testing {
namespace {

constexpr int kPageSize = 200;
constexpr std::chrono::seconds kCheckMax{30};
// With a fault that the check must find.
constexpr std::chrono::seconds kFaultCheckMax{2};
constexpr int kLossEvery = 3;

}  // namespace

void WatchCounts::Add(const WatchCounts& other) {
  begins += other.begins;
  resumes += other.resumes;
  published += other.published;
  edited += other.edited;
  deleted += other.deleted;
  groups += other.groups;
  gaps += other.gaps;
}

HistoryWatch::HistoryWatch(const HistoryDesk& desk, PersonNumber person) : desk_(desk) {
  Begin(person);
}

std::string HistoryWatch::Where() const {
  return fmt::format("the watch of p{}", IndexOf(person_));
}

void HistoryWatch::Begin(PersonNumber person) {
  watcher_.reset();
  person_ = person;
  known_.clear();
  published_.clear();
  gone_.clear();
  owed_gone_.clear();
  before_.clear();
  excused_.clear();
  traces_.clear();
  has_gap_ = false;
  ++counts_.begins;
  std::string token;
  ReadHome(token);
  groups_ = GroupsByModel();
  for (const auto& [id, update] : desk_.model.updates()) {
    before_.insert(id);
  }
  // All that it knows is on the pages; nothing is told of it any more but what happens from here on.
  LookAtAll(Age::kNew);
  ForgetUntilNow();
  ForgetUntilNow();
  journal_read_ = desk_.model.journal().size();
  Connect(token);
}

// The pages were held against the model by others; here they are what the watcher knows.
void HistoryWatch::ReadHome(std::string& token) {
  v1::ListHomeTimelineRequest request;
  request.set_actor(desk_.names.Of(person_));
  request.set_page_size(kPageSize);
  *request.mutable_tokens() = desk_.tokens.Get();
  do {
    const auto page = desk_.caller.Call(&v1::FeedService::Stub::ListHomeTimeline, request);
    if (!page.ok()) {
      desk_.findings.Report(Where() + " can't read: " + page.status.error_message());
      return;
    }
    token = request.page_token().empty() ? page.response.watch_token() : token;
    for (const v1::Update& update : page.response.updates()) {
      known_[update.id()] = {update.revision(), {update.groups().begin(), update.groups().end()}};
    }
    request.set_page_token(page.response.next_page_token());
  } while (!request.page_token().empty());
}

// Again and again while klatchd is away.
void HistoryWatch::Connect(const std::string& token) {
  const auto end = std::chrono::steady_clock::now() + kRepeatedFor;
  do {
    desk_.caller.channel()->WaitForConnected(std::chrono::system_clock::now() +
                                             std::chrono::seconds(1));
    judged_ = 0;
    watcher_ = std::make_unique<Watcher>(desk_.caller.channel(), desk_.names.Of(person_), token);
    if (watcher_->AwaitBegunOrEnd()) {
      return;
    }
    if (watcher_->status().error_code() != grpc::StatusCode::UNAVAILABLE) {
      break;
    }
  } while (std::chrono::steady_clock::now() < end);
  desk_.findings.Report(Where() + " does not begin: " + watcher_->status().error_message());
}

void HistoryWatch::AfterOperation() {
  const std::vector<uint64_t>& journal = desk_.model.journal();
  bool is_anything = false;
  for (; journal_read_ < journal.size(); ++journal_read_) {
    const uint64_t id = journal[journal_read_];
    if (id == Model::kAnything) {
      is_anything = true;
    } else {
      LookAt(*desk_.model.Find(id), traces_.contains(id) ? Age::kKnown : Age::kNew);
    }
  }
  if (is_anything) {
    LookAtAll(Age::kKnown);
  }
}

void HistoryWatch::LookAtAll(Age age) {
  for (const auto& [id, update] : desk_.model.updates()) {
    LookAt(update, age);
  }
}

void HistoryWatch::LookAt(const ModelUpdate& update, Age age) {
  const std::optional<Sight> sight = desk_.model.See(person_, update, Surface::kHome);
  Trace& trace = traces_[update.id];
  const bool was_visible = trace.is_visible;
  trace.is_visible = sight.has_value();
  trace.was_always = trace.is_visible && (trace.was_always || age == Age::kNew);
  if (sight) {
    for (Window* window : {&trace.now, &trace.lately}) {
      window->was_ever = true;
      window->through.insert(sight->through.begin(), sight->through.end());
    }
  }
  if (update.removals > trace.removals) {
    trace.removals = update.removals;
    if (was_visible && !trace.is_visible) {
      owed_gone_.insert(update.id);
    }
  }
  if (!desk_.model.LearnsOfRemoval(person_, update)) {
    owed_gone_.erase(update.id);
  }
}

// What was checked is checked.
void HistoryWatch::ForgetUntilNow() {
  owed_gone_.clear();
  for (auto& [id, trace] : traces_) {
    if (trace.is_visible && !trace.was_always) {
      known_.erase(id);
      excused_.insert(id);
    }
    trace.was_always = trace.is_visible;
    trace.lately = std::exchange(trace.now, Window());
    const ModelUpdate& update = *desk_.model.Find(id);
    trace.now.revision = update.revision();
    trace.now.removals = update.removals;
    if (const auto sight = desk_.model.See(person_, update, Surface::kHome)) {
      trace.now.was_ever = true;
      trace.now.through.insert(sight->through.begin(), sight->through.end());
    }
  }
}

void HistoryWatch::Check() {
  const bool has_fault = !desk_.model.Has(Fault::kNone);
  const auto end = std::chrono::steady_clock::now() + (has_fault ? kFaultCheckMax : kCheckMax);
  Judge(watcher_->AwaitCommittedFrom(judged_, std::chrono::milliseconds(0)));
  std::string missing = Missing();
  while (!missing.empty() && !has_gap_ && !desk_.findings.any()) {
    if (std::chrono::steady_clock::now() > end) {
      desk_.findings.Report(Where() + " lacks " + missing);
      return;
    }
    if (watcher_->has_ended()) {
      Resume();
    }
    Judge(watcher_->AwaitCommittedFrom(judged_, std::chrono::milliseconds(200)));
    missing = Missing();
  }
  if (has_gap_) {
    ++counts_.gaps;
    Begin(person_);
  }
  ForgetUntilNow();
}

void HistoryWatch::Resume() {
  watcher_->Cancel();
  Judge(watcher_->AwaitCommittedFrom(judged_, std::chrono::milliseconds(0)));
  const std::string token = watcher_->token();
  ++counts_.resumes;
  if (has_gap_ || token.empty()) {
    Begin(person_);
  } else {
    Connect(token);
  }
}

void HistoryWatch::Judge(const Events& events) {
  judged_ += events.size();
  for (const v1::WatchEvent& event : events) {
    const bool is_lost = (desk_.model.Has(Fault::kLosesWatchedPosts) && event.has_published()) ||
                         (desk_.model.Has(Fault::kLosesWatchedDeletions) &&
                          event.event_case() == v1::WatchEvent::kDeleted);
    if (is_lost && ++losses_ % kLossEvery == 0) {
      continue;
    }
    JudgeEvent(event);
    if (desk_.model.Has(Fault::kRepeatsWatchedPosts) && event.has_published()) {
      JudgeEvent(event);
    }
  }
}

void HistoryWatch::JudgeEvent(const v1::WatchEvent& event) {
  if (has_gap_) {
    return;
  }
  desk_.findings.Note(fmt::format("{}: {}", Where(), event.ShortDebugString()));
  switch (event.event_case()) {
    case v1::WatchEvent::kPublished:
      return JudgePublished(event.published());
    case v1::WatchEvent::kEdited:
      return JudgeEdited(event.edited());
    case v1::WatchEvent::kDeleted:
      return JudgeGone(event.deleted());
    case v1::WatchEvent::kJoinedGroup:
      ++counts_.groups;
      groups_.insert(event.joined_group());
      return;
    case v1::WatchEvent::kLeftGroup:
      ++counts_.groups;
      groups_.erase(event.left_group());
      for (auto& [id, known] : known_) {
        std::erase(known.groups, event.left_group());
      }
      return;
    case v1::WatchEvent::kGap:
      has_gap_ = true;
      return;
    case v1::WatchEvent::EVENT_NOT_SET:
      break;
  }
  desk_.findings.Report(Where() + " shows an empty event");
}

bool HistoryWatch::JudgeContent(const char* what, const v1::Update& update) {
  const ModelUpdate* known = desk_.model.Find(update.id());
  const auto trace = traces_.find(update.id());
  if (known == nullptr || trace == traces_.end() || !trace->second.lately.was_ever) {
    desk_.findings.Report(
        fmt::format("{} shows {} {}, which they may not see", Where(), what, update.id()));
    return false;
  }
  if (update.revision() < trace->second.lately.revision ||
      update.revision() >= known->texts.size() ||
      update.text() != known->texts[update.revision()] ||
      update.author() != desk_.names.Of(known->author) || update.reply_to() != known->reply_to) {
    desk_.findings.Report(fmt::format("{} shows {} {}, not revision {} to {} \"{}\"", Where(), what,
                                      update.ShortDebugString(), trace->second.lately.revision,
                                      known->revision(), known->texts.back()));
    return false;
  }
  std::set<std::string> through;
  for (const GroupNumber group : trace->second.lately.through) {
    through.insert(desk_.names.Of(group));
  }
  for (const std::string& group : update.groups()) {
    if (!through.contains(group)) {
      desk_.findings.Report(
          fmt::format("{} shows {} {} through {}", Where(), what, update.id(), group));
      return false;
    }
  }
  known_[update.id()] = {update.revision(), {update.groups().begin(), update.groups().end()}};
  return true;
}

void HistoryWatch::JudgePublished(const v1::Update& update) {
  ++counts_.published;
  if (!JudgeContent("publication of", update)) {
    return;
  }
  if (before_.contains(update.id()) || !published_.insert(update.id()).second) {
    desk_.findings.Report(fmt::format("{} shows {} once more", Where(), update.id()));
  }
}

void HistoryWatch::JudgeEdited(const v1::Update& update) {
  ++counts_.edited;
  if (!JudgeContent("edit of", update)) {
    return;
  }
  Trace& trace = traces_.at(update.id());
  const ModelUpdate& known = *desk_.model.Find(update.id());
  const int changes =
      static_cast<int>(known.revision() - trace.lately.revision) +
      static_cast<int>(known.carries.size()) * (known.removals - trace.lately.removals);
  ++trace.now.edits_told;
  if (++trace.lately.edits_told > changes) {
    desk_.findings.Report(fmt::format("{} shows {} edits of {}, there were {}", Where(),
                                      trace.lately.edits_told, update.id(), changes));
  }
}

void HistoryWatch::JudgeGone(uint64_t id) {
  ++counts_.deleted;
  const ModelUpdate* update = desk_.model.Find(id);
  const bool was_theirs =
      update != nullptr && std::ranges::any_of(update->carries, [this](const ModelCarry& carry) {
        return carry.members[IndexOf(person_)];
      });
  if (!was_theirs) {
    desk_.findings.Report(
        fmt::format("{} names {}, which was never theirs, as deleted", Where(), id));
    return;
  }
  const Trace& trace = traces_.at(id);
  // Who saw it is told once for each removal. Who did not, be it that they have blocked its author, may
  // be told by each group that it was taken out of.
  const auto gone_from =
      static_cast<int>(std::ranges::count(update->carries, false, &ModelCarry::is_there));
  const int told_max = owed_gone_.contains(id) ? update->removals : gone_from;
  if (++gone_[id] > told_max || (trace.is_visible && trace.was_always)) {
    desk_.findings.Report(fmt::format("{} names as deleted, time {} of {}, {}", Where(), gone_[id],
                                      told_max, desk_.model.Explain(person_, *update)));
  }
  known_.erase(id);
}

std::set<std::string> HistoryWatch::GroupsByModel() const {
  std::set<std::string> groups;
  for (size_t i = 0; i < desk_.model.group_count(); ++i) {
    if (desk_.model.IsMember(person_, GroupNumber(i))) {
      groups.insert(desk_.names.Of(GroupNumber(i)));
    }
  }
  return groups;
}

std::string HistoryWatch::Missing() const {
  if (groups_ != GroupsByModel()) {
    return fmt::format("a join or leave: in {}, not {}", fmt::join(groups_, " "),
                       fmt::join(GroupsByModel(), " "));
  }
  for (const uint64_t id : owed_gone_) {
    // Of what came and went while the stream was away nothing is told.
    if (known_.contains(id)) {
      return "the end of " + desk_.model.Explain(person_, *desk_.model.Find(id));
    }
  }
  for (const auto& [id, trace] : traces_) {
    if (!trace.was_always) {
      continue;
    }
    const ModelUpdate& update = *desk_.model.Find(id);
    const auto known = known_.find(id);
    if (known == known_.end()) {
      if (!before_.contains(id) && !excused_.contains(id)) {
        return "the publication of " + desk_.model.Explain(person_, update);
      }
      continue;
    }
    if (known->second.revision != update.revision()) {
      return fmt::format("the edit behind {} of {}", known->second.revision,
                         desk_.model.Explain(person_, update));
    }
    for (const ModelCarry& carry : update.carries) {
      if (!carry.is_there &&
          std::ranges::count(known->second.groups, desk_.names.Of(carry.group)) > 0) {
        return fmt::format("that g{} has no longer {}", IndexOf(carry.group),
                           desk_.model.Explain(person_, update));
      }
    }
  }
  return "";
}

}  // namespace klatch::testing
