#include "services/live/watch_hub.h"

#include <pthread.h>

#include <algorithm>

namespace klatch {
namespace {

// How long the thread sleeps at most: when nothing but time can bring work, and while something is
// tried again.
constexpr std::chrono::milliseconds kIdleWait{200};
constexpr std::chrono::milliseconds kRetryWait{20};
// A message that is under way when the node stops is given so long.
constexpr std::chrono::milliseconds kLastWriteGrace{200};
constexpr std::chrono::milliseconds kStalledLook{500};
constexpr std::chrono::milliseconds kRetryElsewhereAfter{100};

absl::Status Stopping() {
  return base::WithReason(base::RetryLater(absl::StatusCode::kUnavailable,
                                           "the node is stopping; go on from the last resume_token",
                                           kRetryElsewhereAfter),
                          "STOPPING");
}

}  // namespace

struct WatchHub::FenceAwaiter {
  WatchHub& hub;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    // The live thread is not in the middle of a message when it comes to this.
    return hub.inbox_.Post([this, handle] { hub.d_.executor.Resume(handle); });
  }
  void await_resume() const noexcept {}
};

WatchHub::WatchHub(Dependencies dependencies, std::vector<WatchTap*> taps,
                   std::vector<Position> replay_after)
    : d_(std::move(dependencies)),
      tokens_(d_.layout, d_.cursor_key),
      retention_{d_.clock, d_.body_retention},
      hydrator_(d_.bodies, d_.stored_bodies, d_.executor),
      resume_reader_(d_.layout, d_.people, d_.groups, d_.redis, d_.stored_bodies, d_.executor,
                     d_.clock),
      intake_(static_cast<uint32_t>(taps.size())),
      history_(limits::kWatchHistoryMax, replay_after),
      applied_(std::make_shared<const Positions>(std::move(replay_after))),
      shown_(applied_),
      prefix_(d_.progress, d_.layout.shard_count),
      shelf_(d_.bodies),
      forms_(shelf_, d_.groups) {
  for (WatchTap* tap : taps) {
    workers_.push_back({.tap = tap, .persons = {}});
    tap->Connect(bell_);
  }
}

WatchHub::~WatchHub() { Stop(); }

void WatchHub::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "live");
    Run();
  });
}

void WatchHub::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  bell_.Ring();
  if (thread_.joinable()) {
    thread_.join();
  }
  inbox_.Close();
  inbox_.Run();  // fences that came last
}

void WatchHub::NoteCaughtUp() {
  inbox_.Post([this] { caught_up_ = true; });
}

void WatchHub::CloseWatches() {
  inbox_.Post([this] { OnClose(); });
}

uint64_t WatchHub::Open(WatchSink& sink, bool is_gateway) {
  const uint64_t id = next_stream_.fetch_add(1, std::memory_order_relaxed);
  // Counted here: who passes the fence from now on waits for the live thread.
  stream_count_.fetch_add(1, std::memory_order_seq_cst);
  inbox_.Post([this, id, &sink, is_gateway] { OnOpen(id, sink, is_gateway); });
  return id;
}

void WatchHub::Change(uint64_t stream, absl::StatusOr<WatchChange> change) {
  inbox_.Post([this, stream, change = std::move(change)]() mutable {
    OnChange(stream, std::move(change));
  });
}

void WatchHub::NoteWritten(uint64_t stream, bool ok) {
  inbox_.Post([this, stream, ok] { OnWritten(stream, ok); });
}

void WatchHub::NoteDone(uint64_t stream) {
  // The inbox is open as long as the gate has a call in it, which this one is until it is destroyed.
  inbox_.Post([this, stream] {
    const auto finishing = finishing_.find(stream);
    WatchSink* const sink = finishing->second.sink;
    finishing_.erase(finishing);
    sink->Destroy();
  });
}

void WatchHub::NoteCancelled(uint64_t stream) {
  inbox_.Post([this, stream] {
    if (WatchStream* found = Find(stream)) {
      End(*found, base::Error(absl::StatusCode::kCancelled, "the client has gone"));
    }
  });
}

base::Task<void> WatchHub::Pass() {
  if (stream_count_.load(std::memory_order_seq_cst) != 0) {
    FenceAwaiter awaiter{*this};
    co_await awaiter;
  }
}

void WatchHub::Run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    const uint32_t seen = bell_.Seen();
    if (!DoWork()) {
      bell_.WaitFor(seen, WaitMax());
    }
  }
}

bool WatchHub::DoWork() {
  size_t work = inbox_.Run();
  // First the positions, then the items: all up to there are in the rings by now.
  const AppliedPrefix applied(d_.progress, d_.layout.shard_count);
  if (applied.positions() != *applied_) {
    applied_ = std::make_shared<const Positions>(applied.positions());
    prefix_ = applied;
    packed_place_.clear();
  }
  TakeItems();
  ShowReady();
  MakeLive();
  LookAtStarts();
  work += BeginQueued();
  Heartbeats();
  CancelLate();
  CancelStalled();
  NoteReads();
  WriteQueued();
  ReadBodies();
  return work != 0 || !to_write_.empty();
}

std::chrono::nanoseconds WatchHub::WaitMax() const {
  const bool trying = !queued_.empty() || !unready_.empty() || !answered_.empty() ||
                      !starved_.empty() || !blocked_.empty() || closing_since_;
  std::chrono::nanoseconds wait = trying ? kRetryWait : kIdleWait;
  if (!heartbeats_.empty()) {
    wait =
        std::min<std::chrono::nanoseconds>(wait, heartbeats_.begin()->first - d_.clock.Monotonic());
  }
  return std::max(wait, std::chrono::nanoseconds(0));
}

WatchStream* WatchHub::Find(uint64_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

void WatchHub::OnOpen(uint64_t id, WatchSink& sink, bool is_gateway) {
  auto stream = std::make_unique<WatchStream>();
  stream->id = id;
  stream->sink = &sink;
  stream->is_gateway = is_gateway;
  WatchStream& opened = *stream;
  streams_.emplace(id, std::move(stream));
  for (const WorkerState& worker : workers_) {
    worker.tap->SetActive(true);
  }
  if (closing_since_) {
    End(opened, Stopping());
  } else if (streams_.size() > d_.watches_max) {
    End(opened,
        base::WithReason(base::RetryLater(absl::StatusCode::kResourceExhausted,
                                          "too many watches on this node", kRetryElsewhereAfter),
                         "OVERLOADED"));
  }
}

void WatchHub::OnChange(uint64_t id, absl::StatusOr<WatchChange> change) {
  WatchStream* stream = Find(id);
  if (stream == nullptr || stream->end) {
    return;
  }
  absl::Status status = change.status();
  if (status.ok()) {
    if (!stream->has_begun) {
      stream->has_begun = true;
      stream->heartbeat = change->heartbeat;
      stream->next_heartbeat = d_.clock.Monotonic() + stream->heartbeat;
      heartbeats_.emplace(stream->next_heartbeat, id);
    }
    RemovePersons(*stream, change->remove);
    if (!change->add.persons.empty()) {
      status = AddPersons(*stream, std::move(change->add));
    }
  }
  if (!status.ok()) {
    End(*stream, status);
    return;
  }
  ReadNext(*stream);
}

void WatchHub::ReadNext(WatchStream& stream) {
  stream.is_read_held = stream.answer_bytes >= limits::kWatchAnswersBytesMax;
  if (!stream.is_read_held) {
    stream.sink->ReadNext();
  }
}

void WatchHub::OnWritten(uint64_t id, bool ok) {
  WatchStream* stream = Find(id);
  if (stream == nullptr) {
    return;
  }
  stream->is_writing = false;
  if (!ok && !stream->end) {
    End(*stream, base::Error(absl::StatusCode::kCancelled, "the client has gone"));
    return;
  }
  if (stream->end) {
    FinishIfEnded(*stream);
  } else {
    QueueWrite(*stream);
  }
}

// What it holds is given back at once; gRPC lets go of it when the message under way is done.
void WatchHub::End(WatchStream& stream, const absl::Status& status) {
  if (stream.end) {
    return;
  }
  stream.end = status;
  std::vector<uint32_t> numbers;
  for (const auto& [number, subscription] : stream.subscriptions) {
    numbers.push_back(number);
  }
  for (const uint32_t number : numbers) {
    Unsubscribe(stream, number);
  }
  stream.starts.clear();
  unready_.erase(stream.id);
  heartbeats_.erase({stream.next_heartbeat, stream.id});
  FinishIfEnded(stream);
}

void WatchHub::FinishIfEnded(WatchStream& stream) {
  if (stream.is_writing) {
    return;
  }
  finishing_[stream.id] = {stream.sink, d_.clock.Monotonic()};
  stream.sink->Finish(*stream.end);
  streams_.erase(stream.id);
  stream_count_.fetch_sub(1, std::memory_order_seq_cst);
  if (streams_.empty()) {
    for (const WorkerState& worker : workers_) {
      worker.tap->SetActive(false);
    }
  }
}

void WatchHub::OnClose() {
  closing_since_ = d_.clock.Monotonic();
  std::vector<uint64_t> ids;
  for (const auto& [id, stream] : streams_) {
    ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    End(*Find(id), Stopping());
  }
}

// Who takes nothing keeps the message under way, and all that waits behind it. The call is reset, since
// a status would wait behind the message, too.
void WatchHub::CancelStalled() {
  const base::MonotonicTime now = d_.clock.Monotonic();
  if (now - looked_for_stalled_ < kStalledLook) {
    return;
  }
  looked_for_stalled_ = now;
  for (const auto& [id, stream] : streams_) {
    if (stream->is_writing && now - stream->write_began >= d_.stall_max) {
      if (!stream->end) {
        stalled_.fetch_add(1, std::memory_order_relaxed);
        End(*stream, base::Error(absl::StatusCode::kCancelled, "the client takes nothing"));
      }
      stream->sink->Cancel();
    }
  }
  for (const auto& [id, finishing] : finishing_) {
    if (now - finishing.since >= d_.stall_max) {
      finishing.sink->Cancel();
    }
  }
}

// Of a node that stops: what waits for clients who don't read.
void WatchHub::CancelLate() {
  if (!closing_since_ || d_.clock.Monotonic() - *closing_since_ < kLastWriteGrace) {
    return;
  }
  for (const auto& [id, stream] : streams_) {
    stream->sink->Cancel();
  }
  for (const auto& [id, finishing] : finishing_) {
    finishing.sink->Cancel();
  }
}

}  // namespace klatch
