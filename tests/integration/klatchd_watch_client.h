#pragma once
// Watches of a klatchd for tests: a stream read by a thread of its own, as far as the test lets it.
//
//   Watcher watcher(klatchd.Channel(), "bob");
//   ASSERT_TRUE(watcher.AwaitBegun());
//   …
//   ASSERT_TRUE(watcher.Await([](const auto& events) { return events.size() == 3; }));
//
// Thread safety: one thread; the reading thread is the watcher's own.

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {

using Events = std::vector<v1::WatchEvent>;

inline v1::WatchHomeTimelineRequest Watching(const std::string& person,
                                             const std::string& resume_token = "") {
  v1::WatchHomeTimelineRequest request;
  request.set_actor(person);
  request.set_resume_token(resume_token);
  request.set_heartbeat_seconds(1);
  return request;
}

// The texts and words of events: "+text", "~text", "-", "in group", "out group", "gap reason".
inline std::string WordOf(const v1::WatchEvent& event) {
  switch (event.event_case()) {
    case v1::WatchEvent::kPublished:
      return "+" + event.published().text();
    case v1::WatchEvent::kEdited:
      return "~" + event.edited().text();
    case v1::WatchEvent::kDeleted:
      return "-";
    case v1::WatchEvent::kJoinedGroup:
      return "in " + event.joined_group();
    case v1::WatchEvent::kLeftGroup:
      return "out " + event.left_group();
    case v1::WatchEvent::kGap:
      return "gap " + v1::GapReason_Name(event.gap().reason());
    case v1::WatchEvent::EVENT_NOT_SET:
      break;
  }
  return "?";
}

inline std::vector<std::string> WordsOf(const Events& events) {
  std::vector<std::string> words;
  for (const v1::WatchEvent& event : events) {
    words.push_back(WordOf(event));
  }
  return words;
}

// What a stream has shown, and how it ended.
template <typename Response>
class Shown {
 public:
  void Add(const Response& response) {
    std::lock_guard lock(mutex_);
    ++messages_;
    for (const auto& event : response.events()) {
      events_.push_back(event);
    }
    if (!response.resume_token().empty()) {
      token_ = response.resume_token();
      committed_ = events_.size();
    }
    NoteAnswers(response);
    changed_.notify_all();
  }
  void End(const grpc::Status& status) {
    std::lock_guard lock(mutex_);
    status_ = status;
    changed_.notify_all();
  }

  template <typename Look>
  bool AwaitThat(Look look) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kProcessWaitMax, [&] { return look(); });
  }
  bool AwaitBegun() {
    return AwaitThat([this] { return messages_ > 0; });
  }
  // False: it ended without a message.
  bool AwaitBegunOrEnd() {
    AwaitThat([this] { return messages_ > 0 || status_.has_value(); });
    std::lock_guard lock(mutex_);
    return messages_ > 0;
  }
  // Until the events are such.
  template <typename Condition>
  bool Await(Condition condition) {
    return AwaitThat([&] { return condition(events_); });
  }
  bool AwaitWords(const std::vector<std::string>& words) {
    return Await([&](const Events& events) { return WordsOf(events) == words; });
  }
  // Until everything that was shown is behind a token.
  bool AwaitToken(size_t events_min) {
    return AwaitThat([&] { return events_.size() >= events_min && committed_ == events_.size(); });
  }
  bool AwaitEnd() {
    return AwaitThat([this] { return status_.has_value(); });
  }

  Events events() const {
    std::lock_guard lock(mutex_);
    return events_;
  }
  // Those in front of the last token: the others come again after a resume.
  Events committed() const {
    std::lock_guard lock(mutex_);
    return Events(events_.begin(), events_.begin() + static_cast<ptrdiff_t>(committed_));
  }
  // Of those in front of the last token, all but the first `count`: once there are any, or the stream
  // has ended, or after `limit`.
  Events AwaitCommittedFrom(size_t count, std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, limit, [&] { return committed_ > count || status_.has_value(); });
    return Events(events_.begin() + static_cast<ptrdiff_t>(std::min(count, committed_)),
                  events_.begin() + static_cast<ptrdiff_t>(committed_));
  }
  bool has_ended() const {
    std::lock_guard lock(mutex_);
    return status_.has_value();
  }
  std::string token() const {
    std::lock_guard lock(mutex_);
    return token_;
  }
  grpc::Status status() const {
    std::lock_guard lock(mutex_);
    return status_.value_or(grpc::Status::OK);
  }
  std::vector<v1::WatchAdded> answers() const {
    std::lock_guard lock(mutex_);
    return answers_;
  }
  // As long as some come: a sanitizer may need minutes for many large ones.
  bool AwaitAnswers(size_t count) {
    size_t had = 0;
    do {
      had = answers().size();
      if (AwaitThat([&] { return answers_.size() >= count; })) {
        return true;
      }
    } while (answers().size() > had);
    return false;
  }
  bool AwaitAnswersOrEnd(size_t count) {
    return AwaitThat([&] { return answers_.size() >= count || status_.has_value(); });
  }
  bool AwaitAnyToken() {
    return AwaitThat([this] { return !token_.empty(); });
  }

 private:
  void NoteAnswers(const v1::WatchHomeTimelineResponse&) {}
  void NoteAnswers(const v1::WatchHomeTimelinesResponse& response) {
    for (const v1::WatchAdded& added : response.added()) {
      answer_.MergeFrom(added);
      if (!added.more()) {
        answer_.clear_more();
        answers_.push_back(std::exchange(answer_, {}));
      }
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  size_t messages_ = 0;
  Events events_;
  size_t committed_ = 0;
  std::string token_;
  v1::WatchAdded answer_;  // its last part has not come yet
  std::vector<v1::WatchAdded> answers_;
  std::optional<grpc::Status> status_;
};

class Watcher : public Shown<v1::WatchHomeTimelineResponse> {
 public:
  enum class Begin { kReading, kHeldBack };

  Watcher(const std::shared_ptr<grpc::Channel>& channel,
          const v1::WatchHomeTimelineRequest& request, Begin begin = Begin::kReading)
      : stub_(v1::FeedService::NewStub(channel)),
        reader_(stub_->WatchHomeTimeline(&context_, request)) {
    if (begin == Begin::kReading) {
      Read();
    }
  }
  Watcher(const std::shared_ptr<grpc::Channel>& channel, const std::string& person,
          const std::string& resume_token = "")
      : Watcher(channel, Watching(person, resume_token)) {}
  ~Watcher() { Cancel(); }

  void Read() {
    is_reading_ = true;
    thread_ = std::thread([this] {
      v1::WatchHomeTimelineResponse response;
      while (reader_->Read(&response)) {
        Add(response);
      }
      End(reader_->Finish());
    });
  }
  void Cancel() {
    context_.TryCancel();
    if (!is_reading_) {
      Read();
    }
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

 private:
  const std::unique_ptr<v1::FeedService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReader<v1::WatchHomeTimelineResponse>> reader_;
  bool is_reading_ = false;
  std::thread thread_;
};

class Gateway : public Shown<v1::WatchHomeTimelinesResponse> {
 public:
  enum class Begin { kReading, kHeldBack };

  explicit Gateway(const std::shared_ptr<grpc::Channel>& channel, Begin begin = Begin::kReading)
      : stub_(v1::FeedService::NewStub(channel)), stream_(stub_->WatchHomeTimelines(&context_)) {
    if (begin == Begin::kReading) {
      Read();
    }
  }
  ~Gateway() {
    context_.TryCancel();
    if (!thread_.joinable()) {
      Read();
    }
    thread_.join();
  }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  void Read() {
    thread_ = std::thread([this] {
      v1::WatchHomeTimelinesResponse response;
      while (stream_->Read(&response)) {
        Shown::Add(response);
      }
      End(stream_->Finish());
    });
  }
  void Cancel() { context_.TryCancel(); }

  // False: the stream is over.
  bool Send(const v1::WatchHomeTimelinesRequest& request) { return stream_->Write(request); }
  void Watch(const std::vector<std::string>& persons, const std::string& resume_token = "") {
    v1::WatchHomeTimelinesRequest request;
    for (const std::string& person : persons) {
      request.mutable_add()->add_persons(person);
    }
    request.mutable_add()->set_resume_token(resume_token);
    Send(request);
  }
  void Unwatch(const std::vector<std::string>& persons) {
    v1::WatchHomeTimelinesRequest request;
    for (const std::string& person : persons) {
      request.mutable_remove()->add_persons(person);
    }
    Send(request);
  }

 private:
  const std::unique_ptr<v1::FeedService::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<
      grpc::ClientReaderWriter<v1::WatchHomeTimelinesRequest, v1::WatchHomeTimelinesResponse>>
      stream_;
  std::thread thread_;
};

// Hundreds of posts of ann to hiking, a batch each.
inline void PostHundreds(Client& client, int hundreds, const std::string& text) {
  for (int i = 0; i < hundreds; ++i) {
    v1::BatchPublishUpdatesRequest batch;
    for (int j = 0; j < 100; ++j) {
      *batch.add_requests() = Client::Post("ann", "hiking", text);
    }
    const auto answer = client.Feed(&v1::FeedService::Stub::BatchPublishUpdates, batch);
    for (const v1::BatchPublishResult& result : answer->results()) {
      ASSERT_TRUE(result.has_published()) << result.error().message();
    }
  }
}

// So many that gRPC doesn't take them while nobody reads.
inline void Flood(Client& client, int hundreds) {
  PostHundreds(client, hundreds, std::string(9'500, 'x'));
}

}  // namespace klatch::testing
