#pragma once
// A person's home timeline as it grows, as a loop.
//
//   klatch::Watch watch(bob, page->watch_token());
//   while (watch.Next()) std::cout << watch.event().published().text() << "\n";
//   std::cerr << watch.error().text << "\n";
//
// A connection that breaks, or is silent for three heartbeats, is made again, and the watch goes on
// where it was: no event twice (but for joined_group and left_group), none left out but for what a
// `gap` says.
//
// Thread safety: one thread, but for Cancel. Lifetime: its Person outlives it. It has no threads of
// its own: what comes between two calls of Next waits in gRPC, within its flow control.

#include <set>
#include <tuple>

#include "klatch/client.h"

namespace klatch {

class Watch {
 public:
  struct Options {
    int heartbeat_seconds = 10;
    // Next gives up when the server is not heard again for so long.
    std::chrono::seconds patience{60};
  };

  // From a page's watch_token on, or that of an earlier watch; from now on if it is empty.
  explicit Watch(Person& person, std::string resume_token = "")
      : Watch(person, std::move(resume_token), Options()) {}
  Watch(Person& person, std::string resume_token, Options options)
      : person_(person), options_(options), resume_token_(std::move(resume_token)) {}
  ~Watch() {
    Cancel();
    EndStream();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Waits for the next event. False: the server refused, or is not heard; or it was cancelled.
  bool Next() {
    while (true) {
      while (next_event_ < response_.events_size()) {
        event_ = &response_.events(next_event_++);
        if (IsNew(*event_)) {
          return true;
        }
      }
      if (!response_.resume_token().empty()) {
        resume_token_ = response_.resume_token();
        taken_.clear();
      }
      response_.Clear();
      next_event_ = 0;
      if (!Receive()) {
        return false;
      }
    }
  }

  // REQUIRES: Next was true, and is not called meanwhile.
  const v1::WatchEvent& event() const { return *event_; }
  // Where to go on behind what Next has passed: keep it to go on in another process. The event of
  // the moment is not passed yet.
  const std::string& resume_token() const { return resume_token_; }
  // Why Next was false; CANCELLED if it was cancelled.
  const Error& error() const { return failed_; }

  // Ends Next, at the latest after one pause. Any thread may call it.
  void Cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (stream_) {
      stream_->context.TryCancel();
    }
  }

 private:
  using Clock = std::chrono::system_clock;
  // How many events are remembered from one resume token to the next.
  static constexpr size_t kEventsMax = 65'536;

  struct Stream {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    std::unique_ptr<grpc::ClientAsyncReader<v1::WatchHomeTimelineResponse>> reader;
  };

  // The next message, over as many connections as it takes.
  bool Receive() {
    if (resume_token_.empty() && !FetchToken()) {
      return false;
    }
    std::optional<Clock::time_point> lost;
    while (true) {
      if (stream_ || Begin()) {
        stream_->reader->Read(&response_, nullptr);
        if (Await()) {
          failed_ = Error();
          return true;
        }
      }
      failed_ = Error(EndStream(), failed_.tries + 1, failed_);
      const auto pause =
          failed_.Pause(std::min(kPauseFirst * (1 << std::min(failed_.tries, 9)), kPauseMax));
      lost = lost.value_or(Clock::now());
      if (IsCancelled() || !pause || Clock::now() + *pause > *lost + options_.patience) {
        return false;
      }
      std::this_thread::sleep_for(*pause);
    }
  }

  // With a token from the start, nothing is lost when the first connection breaks early.
  bool FetchToken() {
    v1::ListHomeTimelineRequest request;
    request.set_page_size(1);
    const auto page = person_.Call(&v1::FeedService::Stub::ListHomeTimeline, request);
    if (!page.ok()) {
      failed_ = page.error();
      return false;
    }
    resume_token_ = page->watch_token();
    return true;
  }

  // REQUIRES: there is no stream.
  bool Begin() {
    v1::WatchHomeTimelineRequest request;
    request.set_resume_token(resume_token_);
    request.set_heartbeat_seconds(options_.heartbeat_seconds);
    person_.FillIn(request);
    auto stream = std::make_unique<Stream>();
    // A lost connection is made again only while somebody waits for it.
    stream->context.set_wait_for_ready(failed_.tries > 0);
    v1::FeedService::Stub stub(person_.client.channel);
    stream->reader = stub.PrepareAsyncWatchHomeTimeline(&stream->context, request, &stream->queue);
    {
      const std::lock_guard lock(mutex_);
      stream_ = std::move(stream);
      if (cancelled_) {
        stream_->context.TryCancel();
      }
    }
    stream_->reader->StartCall(nullptr);
    return Await();
  }

  // Whether the one operation under way succeeds, before three heartbeats have passed.
  bool Await() {
    void* tag = nullptr;
    bool ok = false;
    const auto limit = Clock::now() + std::chrono::seconds(3 * options_.heartbeat_seconds);
    if (stream_->queue.AsyncNext(&tag, &ok, limit) == grpc::CompletionQueue::TIMEOUT) {
      stream_->context.TryCancel();
      stream_->queue.Next(&tag, &ok);
    }
    return ok;
  }

  // How it ended. Nothing is under way any more.
  grpc::Status EndStream() {
    if (!stream_) {
      return grpc::Status::CANCELLED;
    }
    grpc::Status status;
    stream_->reader->Finish(&status, nullptr);
    Await();
    stream_->queue.Shutdown();
    Await();
    const std::lock_guard lock(mutex_);
    stream_.reset();
    return status;
  }

  bool IsCancelled() {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  // Whether it was not taken since the last token, behind which a resumed stream begins.
  bool IsNew(const v1::WatchEvent& event) {
    if (!event.has_published() && !event.has_edited() && !event.has_deleted()) {
      return true;
    }
    const Key key{event.event_case(), event.published().id(), event.edited().id(),
                  event.edited().revision(), event.deleted()};
    return taken_.size() < kEventsMax ? taken_.insert(key).second : taken_.count(key) == 0;
  }

  using Key = std::tuple<int, uint64_t, uint64_t, uint64_t, uint64_t>;

  Person& person_;
  const Options options_;
  std::string resume_token_;
  v1::WatchHomeTimelineResponse response_;
  int next_event_ = 0;
  const v1::WatchEvent* event_ = nullptr;
  std::set<Key> taken_;
  Error failed_;

  std::mutex mutex_;
  // Changed by Next under mutex_, so that Cancel may look.
  std::unique_ptr<Stream> stream_;
  // Guarded by mutex_.
  bool cancelled_ = false;
};

}  // namespace klatch
