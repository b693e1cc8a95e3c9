#include "services/deliver/tailer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <utility>

#include "common/base/failpoint.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

constexpr size_t kBatchRecords = 2048;
constexpr std::chrono::milliseconds kReadWait{100};
constexpr std::chrono::milliseconds kRetryPause{50};
constexpr std::chrono::milliseconds kFullWait{10};
constexpr std::chrono::milliseconds kCheckEvery{1'000};

// A body that changed or went must not be served from memory once the record is applied anywhere:
// drop it before any worker sees the record.
void DropBody(const LogEntry& entry, BodyStore& bodies) {
  if (entry.record.has_edited()) {
    bodies.Drop(UpdateId(entry.record.edited().update_id()));
  } else if (entry.record.has_deleted()) {
    bodies.Drop(UpdateId(entry.record.deleted().update_id()));
  } else if (entry.record.has_settled()) {
    bodies.Drop(UpdateId(entry.record.settled().update_id()));
  }
}

}  // namespace

Tailer::Tailer(Dependencies dependencies, std::vector<Position> after, std::vector<LogMark> anchors)
    : d_(dependencies),
      after_(std::move(after)),
      last_read_(after_.size()),
      anchors_(std::move(anchors)) {
  anchors_.resize(after_.size());
  for (uint32_t shard = 0; shard < after_.size(); ++shard) {
    d_.progress.NoteWhole(ShardIndex(shard), after_[shard]);
  }
}

Tailer::~Tailer() { Stop(); }

void Tailer::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "tailer");
    Run();
  });
}

void Tailer::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) {
    thread_.join();
  }
}

absl::Status Tailer::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

void Tailer::Run() {
  while (!stopping_.load(std::memory_order_relaxed) && failure().ok()) {
    if (!DoWork()) {
      std::this_thread::sleep_for(kRetryPause);
    }
  }
  // A last look, so that the checkpoint can pass what was read since the look before.
  if (failure().ok()) {
    if (const absl::Status status = CheckTrail(); !status.ok()) {
      obs::Log(obs::Level::kWarn, "tailer", "stopped without a last look at the log",
               {{"error", base::MessageOf(status)}});
    }
  }
}

std::optional<size_t> Tailer::DoWork() {
  entries_.clear();
  absl::Status status;
  if (must_check_ || d_.clock.Monotonic() - checked_ >= kCheckEvery) {
    status = CheckTrail();
  }
  if (status.ok()) {
    status = d_.log.Read(after_, kBatchRecords, kReadWait, entries_);
  }
  if (status.code() == absl::StatusCode::kDataLoss || base::ReasonOf(status) == "RELOAD") {
    std::lock_guard lock(mutex_);
    failure_ = status;
  }
  if (!status.ok()) {
    // What answers next may be another Redis.
    must_check_ = true;
    if (const auto suppressed = error_lines_.Admit(d_.clock.Monotonic())) {
      obs::Log(obs::Level::kError, "tailer", "can't read the log; trying again",
               {{"error", base::MessageOf(status)}, {"suppressed", *suppressed}});
    }
    return std::nullopt;
  }
  d_.progress.NoteHeard(d_.clock.Monotonic());
  if (!entries_.empty()) {
    KLATCH_FAILPOINT("log-read");
  }
  absl::Status handed;
  for (const LogEntry& entry : entries_) {
    handed = HandOver(entry);
    if (!handed.ok()) {
      break;
    }
  }
  d_.ring.Publish();
  if (!entries_.empty()) {
    KLATCH_FAILPOINT("log-handed");
  }
  if (!handed.ok() && handed.code() != absl::StatusCode::kCancelled) {
    obs::Log(obs::Level::kError, "tailer", "stopped at a record that it can't hand over",
             {{"error", base::MessageOf(handed)}});
    std::lock_guard lock(mutex_);
    failure_ = handed;
    return 0;
  }
  records_.fetch_add(entries_.size(), std::memory_order_relaxed);
  return entries_.size();
}

absl::Status Tailer::CheckTrail() {
  std::vector<LogMark> marks;
  for (uint32_t i = 0; i < anchors_.size(); ++i) {
    const LogMark former = d_.trail.Last(ShardIndex(i));  // of a tailer before, perhaps
    const Position read = last_read_[i].position;
    if (!read.is_zero()) {
      marks.push_back(last_read_[i]);
    }
    if (!anchors_[i].position.is_zero() && anchors_[i].position != read) {
      marks.push_back(anchors_[i]);
    }
    if (former.position > after_[i]) {
      marks.push_back(former);
    }
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<LogLook> looks, d_.log.LookAt(marks));
  for (size_t i = 0; i < marks.size(); ++i) {
    const LogFinding finding = Judge(marks[i], looks[i]);
    if (finding != LogFinding::kWhole) {
      return base::WithReason(
          base::Error(
              absl::StatusCode::kUnavailable,
              fmt::format("the log of shard {} {}", marks[i].position.shard().value(),
                          finding == LogFinding::kForked ? "is not the one that was read"
                                                         : "was trimmed beyond what was read")),
          "RELOAD");
    }
  }
  for (const LogMark& read : last_read_) {
    if (!read.position.is_zero()) {
      anchors_[read.position.shard().value()] = read;
      d_.progress.NoteWhole(read.position.shard(), read.position);
    }
  }
  must_check_ = false;
  checked_ = d_.clock.Monotonic();
  return absl::OkStatus();
}

absl::Status Tailer::HandOver(const LogEntry& entry) {
  DropBody(entry, d_.bodies);
  Event* slot = ClaimSlot();
  if (slot == nullptr) {
    return base::Error(absl::StatusCode::kCancelled, "stopping");
  }
  absl::Status decoded = DecodeEvent(entry, d_.layout, d_.groups, *slot);
  if (!decoded.ok()) {
    // The slot is claimed and will be published; it must not say anything.
    slot->kind = Event::Kind::kNothing;
    return decoded;
  }
  after_[entry.position.shard().value()] = entry.position;
  last_read_[entry.position.shard().value()] = {entry.position, entry.record.nonce()};
  d_.trail.Note(entry.position, entry.record.nonce());
  return absl::OkStatus();
}

Event* Tailer::ClaimSlot() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (Event* slot = d_.ring.TryClaim()) {
      return slot;
    }
    d_.ring.Publish();
    d_.ring.WaitForRoom(kFullWait);
  }
  return nullptr;
}

}  // namespace klatch
