#include "bench/load/cast/watch_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/load/calls/retry.h"
#include "common/base/hash.h"
#include "services/model/position.h"

namespace klatch::load {
namespace {

using klatch::v1::FeedService;
using klatch::v1::Gap;
using klatch::v1::Update;
using klatch::v1::WatchEvent;
using klatch::v1::WatchHomeTimelineRequest;
using klatch::v1::WatchHomeTimelineResponse;
using klatch::v1::WatchHomeTimelinesRequest;
using klatch::v1::WatchHomeTimelinesResponse;

constexpr int kHeartbeatSeconds = 1;
constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::milliseconds kPoll{20};
// Before the token came, for what it stands for: events are on their way for a while.
constexpr uint64_t kTokenSlackMs = 2'000;

uint64_t NowMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count() -
                               kEpochUnixMs);
}

// The least id of this millisecond.
uint64_t FirstIdOf(uint64_t ms) { return Position(ms, ShardIndex(0), 0).value(); }

}  // namespace

WatchStream::WatchStream(const Graph& graph, Options options, RunState& state,
                         Violations& violations)
    : graph_(graph),
      options_(std::move(options)),
      state_(state),
      violations_(violations),
      feed_(FeedService::NewStub(MakeChannel(options_.client.target))),
      token_(options_.token) {
  log_.persons = options_.persons;
}

bool WatchStream::IsOver() const {
  std::lock_guard lock(mutex_);
  return stopping_ || state_.MustStop();
}

void WatchStream::Stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (context_ != nullptr) {
    context_->TryCancel();
  }
  changed_.notify_all();
}

void WatchStream::Drop() {
  std::lock_guard lock(mutex_);
  if (context_ != nullptr && begun_ && !token_.empty()) {
    context_->TryCancel();
  }
}

bool WatchStream::AwaitBegun(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return begun_ && !token_.empty(); });
}

bool WatchStream::AwaitHeartbeat(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const uint64_t before = heartbeats_;
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (heartbeats_ == before && !stopping_ && !state_.MustStop()) {
    // In short steps, so that an interrupt is noticed.
    changed_.wait_for(lock, kPoll);
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
  }
  return heartbeats_ != before;
}

void WatchStream::AddPaged(PersonNumber person, const std::vector<uint64_t>& updates,
                           bool trimmed) {
  std::lock_guard lock(mutex_);
  if (trimmed && !updates.empty()) {
    log_.trimmed.emplace_back(person, *std::ranges::min_element(updates));
  }
  for (uint64_t update : updates) {
    log_.paged.emplace_back(person, update);
  }
}

WatchLog WatchStream::log() const {
  std::lock_guard lock(mutex_);
  return log_;
}

void WatchStream::Run() {
  while (!IsOver()) {
    grpc::ClientContext context;
    const grpc::Status status = Connect(context);
    if (IsOver()) {
      return;
    }
    OnBroken();
    if (!MayHelpToRetry(status) && !status.ok()) {
      violations_.AddOther(fmt::format("a watch of {} persons ended: {}", options_.persons.size(),
                                       status.error_message()));
      return;
    }
    Pause();
  }
}

grpc::Status WatchStream::Connect(grpc::ClientContext& context) {
  std::string token;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      return grpc::Status::OK;
    }
    context_ = &context;
    is_void_ = false;
    token = token_;
  }
  grpc::Status status =
      options_.kind == Kind::kGateway ? WatchMany(context, token) : WatchOne(context, token);
  std::lock_guard lock(mutex_);
  context_ = nullptr;
  return status;
}

grpc::Status WatchStream::WatchOne(grpc::ClientContext& context, const std::string& token) {
  WatchHomeTimelineRequest request;
  request.set_actor(graph_.person(options_.persons.front()));
  request.set_heartbeat_seconds(kHeartbeatSeconds);
  request.set_resume_token(token);
  auto reader = feed_->WatchHomeTimeline(&context, request);
  WatchHomeTimelineResponse message;
  while (reader->Read(&message)) {
    Take(message);
  }
  return reader->Finish();
}

grpc::Status WatchStream::WatchMany(grpc::ClientContext& context, const std::string& token) {
  WatchHomeTimelinesRequest request;
  request.set_heartbeat_seconds(kHeartbeatSeconds);
  for (PersonNumber person : options_.persons) {
    request.mutable_add()->add_persons(graph_.person(person));
  }
  request.mutable_add()->set_resume_token(token);
  auto stream = feed_->WatchHomeTimelines(&context);
  if (stream->Write(request)) {
    WatchHomeTimelinesResponse message;
    while (stream->Read(&message)) {
      Take(message);
    }
  }
  return stream->Finish();
}

void WatchStream::OnBroken() {
  std::lock_guard lock(mutex_);
  // An attempt that never began prolongs the break.
  broken_ = begun_ ? std::chrono::steady_clock::now() : broken_;
  begun_ = false;
  resuming_ = !token_.empty();
  for (; committed_ < log_.notes.size(); ++committed_) {
    log_.notes[committed_].counts = false;
  }
  const uint64_t since = token_ms_ < kTokenSlackMs ? 0 : token_ms_ - kTokenSlackMs;
  log_.resumed_since = std::min(log_.resumed_since, FirstIdOf(since));
  changed_.notify_all();
}

void WatchStream::Pause() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPause, [this] { return stopping_; });
}

void WatchStream::Begun() {
  begun_ = true;
  if (resuming_) {
    ++log_.resumes;
    log_.resume_times.push_back(std::chrono::steady_clock::now() - broken_);
  }
}

void WatchStream::NoteBegun(const WatchHomeTimelineResponse&) {
  if (!begun_) {
    Begun();
  }
}

void WatchStream::NoteBegun(const WatchHomeTimelinesResponse& message) {
  for (const klatch::v1::WatchAdded& added : message.added()) {
    for (const klatch::v1::WatchRefused& refused : added.refused()) {
      if (refused.error().code() == grpc::StatusCode::UNAVAILABLE) {
        // A later token of this stream would not stand for who is not on it: all begin again.
        is_void_ = true;
        context_->TryCancel();
        return;
      }
      violations_.AddOther(
          fmt::format("{} is not watched: {}", refused.person(), refused.error().message()));
    }
    if (!added.more()) {
      Begun();
    }
  }
}

template <typename Response>
void WatchStream::Take(const Response& message) {
  std::lock_guard lock(mutex_);
  // Behind the answer to an add stands what it begins with, also in the same message.
  if (!is_void_) {
    NoteBegun(message);
  }
  if (is_void_) {
    return;
  }
  for (const WatchEvent& event : message.events()) {
    TakeEvent(event, PersonsOf(event));
  }
  if (!message.resume_token().empty()) {
    token_ = message.resume_token();
    token_ms_ = NowMs();
    committed_ = log_.notes.size();
    heartbeats_ += message.events().empty() ? 1 : 0;
  }
  changed_.notify_all();
}

std::vector<PersonNumber> WatchStream::PersonsOf(const WatchEvent& event) const {
  if (options_.kind == Kind::kOnePerson || event.persons().empty()) {
    return options_.persons;
  }
  std::vector<PersonNumber> persons;
  for (const std::string& name : event.persons()) {
    if (auto person = graph_.FindPerson(name); person.has_value()) {
      persons.push_back(*person);
    }
  }
  return persons;
}

void WatchStream::TakeEvent(const WatchEvent& event, std::span<const PersonNumber> persons) {
  switch (event.event_case()) {
    case WatchEvent::kPublished:
      TakeUpdate({.kind = WatchNote::Kind::kPublished}, event.published(), persons);
      break;
    case WatchEvent::kEdited:
      TakeUpdate({.kind = WatchNote::Kind::kEdited}, event.edited(), persons);
      break;
    case WatchEvent::kDeleted:
      for (PersonNumber person : persons) {
        log_.notes.push_back({.person = person,
                              .kind = WatchNote::Kind::kDeleted,
                              .resumed = resuming_,
                              .update = event.deleted()});
      }
      break;
    case WatchEvent::kJoinedGroup:
      TakeMembership(event.joined_group(), false, persons);
      break;
    case WatchEvent::kLeftGroup:
      TakeMembership(event.left_group(), true, persons);
      break;
    case WatchEvent::kGap:
      TakeGap(event.gap(), persons);
      break;
    case WatchEvent::EVENT_NOT_SET:
      break;
  }
}

void WatchStream::TakeGap(const Gap& gap, std::span<const PersonNumber> persons) {
  const int64_t unix_ms = gap.since().seconds() * 1'000 + gap.since().nanos() / 1'000'000;
  const uint64_t since =
      FirstIdOf(static_cast<uint64_t>(std::max<int64_t>(0, unix_ms - kEpochUnixMs)));
  ++log_.gaps;
  for (PersonNumber person : persons) {
    log_.notes.push_back(
        {.person = person, .kind = WatchNote::Kind::kGap, .resumed = resuming_, .update = since});
  }
  if (options_.on_gap) {
    options_.on_gap(persons, since);
  }
}

void WatchStream::TakeMembership(const std::string& group, bool left,
                                 std::span<const PersonNumber> persons) {
  for (PersonNumber person : persons) {
    if (left) {
      left_.emplace(person, group);
    } else {
      left_.erase({person, group});
    }
  }
}

bool WatchStream::HasLeftAll(PersonNumber person, const Update& update) const {
  return !update.groups().empty() &&
         std::all_of(update.groups().begin(), update.groups().end(), [&](const std::string& group) {
           return left_.contains({person, group});
         });
}

void WatchStream::TakeUpdate(WatchNote note, const Update& update,
                             std::span<const PersonNumber> persons) {
  note.update = update.id();
  note.text = base::StableHash64(update.text());
  note.resumed = resuming_;
  note.arrived = std::chrono::steady_clock::now();
  for (PersonNumber person : persons) {
    note.person = person;
    note.after_leaving = HasLeftAll(person, update);
    log_.notes.push_back(note);
  }
}

}  // namespace klatch::load
