#include "services/klatch/commands_watch.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "common/base/status.h"
#include "services/klatch/text.h"

namespace klatch::cli {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How late it notices an interruption, and the pauses between tries to reach a server.
constexpr milliseconds kLook{20};
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kPauseMax{1'000};

// Calls off a call when it is time to.
class Canceller {
 public:
  Canceller(grpc::ClientContext& context, std::function<bool()> is_over)
      : thread_([this, &context, is_over = std::move(is_over)] {
          std::unique_lock lock(mutex_);
          while (!done_.wait_for(lock, kLook, [this] { return is_done_; })) {
            if (is_over()) {
              context.TryCancel();
              return;
            }
          }
        }) {}
  ~Canceller() {
    {
      std::lock_guard lock(mutex_);
      is_done_ = true;
    }
    done_.notify_one();
    thread_.join();
  }
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;  // guarded by mutex_
  std::thread thread_;
};

// What tells an event from others: what comes behind the last token comes again after a resume.
std::string KeyOf(const v1::WatchEvent& event) {
  switch (event.event_case()) {
    case v1::WatchEvent::kPublished:
      return fmt::format("published {}", event.published().id());
    case v1::WatchEvent::kEdited:
      return fmt::format("edited {} {}", event.edited().id(), event.edited().revision());
    case v1::WatchEvent::kDeleted:
      return fmt::format("deleted {}", event.deleted());
    case v1::WatchEvent::kJoinedGroup:
      return "joined " + event.joined_group();
    case v1::WatchEvent::kLeftGroup:
      return "left " + event.left_group();
    case v1::WatchEvent::kGap:
    case v1::WatchEvent::EVENT_NOT_SET:
      break;
  }
  return "";
}

std::string Time(const google::protobuf::Timestamp& time) {
  return fmt::format("{:%F %T}Z", fmt::gmtime(static_cast<std::time_t>(time.seconds())));
}

std::string Content(const v1::Update& update) {
  std::string groups;
  for (const std::string& group : update.groups()) {
    groups += (groups.empty() ? "" : ", ") + CleanLine(group);
  }
  std::string text =
      fmt::format("{} in {}: {}", CleanLine(update.author()), groups, Clean(update.text()));
  for (const v1::Attachment& attachment : update.attachments()) {
    text += fmt::format("\n  + {}", CleanLine(attachment.uri()));
  }
  return text;
}

class Watching {
 public:
  Watching(const Session& session, const WatchOptions& options,
           const std::function<bool(std::string_view)>& print)
      : session_(session), count_max_(options.count), print_(print), token_(options.resume_token) {}

  v1::WatchHomeTimelineRequest Request() {
    auto request = NewRequest<v1::WatchHomeTimelineRequest>(session_);
    request.set_resume_token(token_);
    printed_ = std::exchange(since_token_, {});
    return request;
  }

  // False: it is enough.
  bool Take(const v1::WatchHomeTimelineResponse& response) {
    for (const v1::WatchEvent& event : response.events()) {
      const std::string key = KeyOf(event);
      since_token_.insert(key);
      if (!key.empty() && printed_.erase(key) != 0) {
        continue;
      }
      const bool wanted = print_(
          session_.format == Format::kJson ? ToJson(event) : PrintWatchEvent(event, session_));
      if (!wanted || ++count_ == count_max_) {
        return false;
      }
    }
    if (!response.resume_token().empty()) {
      token_ = response.resume_token();
      since_token_.clear();
      printed_.clear();
    }
    return true;
  }

  const std::string& token() const { return token_; }

 private:
  const Session& session_;
  const int count_max_;
  const std::function<bool(std::string_view)>& print_;
  int count_ = 0;
  std::string token_;
  std::set<std::string> since_token_;
  // Printed before the connection broke, and not behind a token.
  std::set<std::string> printed_;
};

}  // namespace

std::string PrintWatchEvent(const v1::WatchEvent& event, const Session& session) {
  switch (event.event_case()) {
    case v1::WatchEvent::kPublished:
      return fmt::format("{} {} {}\n", Dim(Time(event.published().create_time()), session.screen),
                         Content(event.published()),
                         Dim(fmt::format("[{}]", event.published().id()), session.screen));
    case v1::WatchEvent::kEdited:
      return fmt::format("edited: {} {}\n", Content(event.edited()),
                         Dim(fmt::format("[{}]", event.edited().id()), session.screen));
    case v1::WatchEvent::kDeleted:
      return fmt::format("deleted: [{}]\n", event.deleted());
    case v1::WatchEvent::kJoinedGroup:
      return fmt::format("joined {}\n", CleanLine(event.joined_group()));
    case v1::WatchEvent::kLeftGroup:
      return fmt::format("left {}\n", CleanLine(event.left_group()));
    case v1::WatchEvent::kGap:
      return fmt::format("gap since {}: something may be missing; klatch timeline shows it\n",
                         Time(event.gap().since()));
    case v1::WatchEvent::EVENT_NOT_SET:
      break;
  }
  return "something that this klatch does not know\n";
}

WatchEnd Watch(const Session& session, const WatchOptions& options, milliseconds patience,
               const std::atomic<bool>& interrupted,
               const std::function<bool(std::string_view)>& print) {
  const auto end = options.seconds > 0
                       ? std::optional(Clock::now() +
                                       milliseconds(static_cast<int64_t>(options.seconds * 1'000)))
                       : std::nullopt;
  const auto is_over = [&] {
    // relaxed: a flag on its own.
    return interrupted.load(std::memory_order_relaxed) || (end && Clock::now() >= *end);
  };
  Watching watching(session, options, print);
  auto heard = Clock::now();
  milliseconds pause = kFirstPause;
  while (true) {
    grpc::ClientContext context;
    bool enough = false;
    grpc::Status status;
    {
      const Canceller canceller(context, is_over);
      const auto reader = session.client.feed().WatchHomeTimeline(&context, watching.Request());
      v1::WatchHomeTimelineResponse response;
      while (!enough && reader->Read(&response)) {
        heard = Clock::now();
        pause = kFirstPause;
        enough = !watching.Take(response);
      }
      if (enough) {
        context.TryCancel();
      }
      status = reader->Finish();
    }
    const bool was_interrupted = interrupted.load(std::memory_order_relaxed);
    if (enough || is_over()) {
      return {absl::OkStatus(), was_interrupted && !enough, watching.token()};
    }
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || Clock::now() - heard > patience) {
      return {status.ok()
                  ? base::Error(absl::StatusCode::kUnavailable, "the server ended the watch")
                  : FromGrpc(status),
              false, watching.token()};
    }
    // Asking for the channel's state makes it connect again.
    for (const auto until = Clock::now() + pause; Clock::now() < until && !is_over();) {
      std::this_thread::sleep_for(kLook);
    }
    pause = std::min(pause * 2, kPauseMax);
  }
}

}  // namespace klatch::cli
