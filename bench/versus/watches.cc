#include "bench/versus/watches.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "bench/load/calls/client.h"
#include "klatch/v1/feed_service.grpc.pb.h"

namespace klatch::versus {
namespace {

using klatch::v1::FeedService;
using klatch::v1::WatchEvent;
using klatch::v1::WatchHomeTimelineRequest;
using klatch::v1::WatchHomeTimelineResponse;
using klatch::v1::WatchHomeTimelinesRequest;
using klatch::v1::WatchHomeTimelinesResponse;

constexpr std::chrono::milliseconds kLookAgain{5};
// What one request may name.
constexpr size_t kPersonsPerAdd = 10'000;

class OneStream final : public Watches {
 public:
  OneStream(const std::string& target, const std::vector<std::string>& persons, Listener listener)
      : Watches(persons.size(), std::move(listener)),
        stub_(FeedService::NewStub(
            std::shared_ptr<grpc::ChannelInterface>(load::MakeChannel(target)))),
        stream_(stub_->WatchHomeTimelines(&context_)) {
    for (size_t begin = 0; begin < persons.size(); begin += kPersonsPerAdd) {
      WatchHomeTimelinesRequest request;
      const size_t end = std::min(persons.size(), begin + kPersonsPerAdd);
      for (size_t i = begin; i < end; ++i) {
        request.mutable_add()->add_persons(persons[i]);
      }
      stream_->Write(request);
    }
    reading_ = std::thread([this] { Read(); });
  }
  ~OneStream() override {
    context_.TryCancel();
    reading_.join();
    static_cast<void>(stream_->Finish());  // Cancelled, by us.
  }

 private:
  void Read() {
    WatchHomeTimelinesResponse response;  // kept for its memory
    while (stream_->Read(&response)) {
      for (const auto& added : response.added()) {
        begun_.fetch_add(added.persons(), std::memory_order_relaxed);
      }
      for (const WatchEvent& event : response.events()) {
        Take(event, static_cast<uint64_t>(event.persons_size()));
      }
    }
    failed_.store(true, std::memory_order_relaxed);
  }

  grpc::ClientContext context_;
  std::unique_ptr<FeedService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<WatchHomeTimelinesRequest, WatchHomeTimelinesResponse>>
      stream_;
  std::thread reading_;
};

class OneByOne final : public Watches {
 public:
  OneByOne(const std::string& target, const std::vector<std::string>& persons)
      : Watches(persons.size(), nullptr) {
    for (const std::string& person : persons) {
      readers_.push_back(std::make_unique<Reader>(*this, target, person));
    }
  }
  ~OneByOne() override {
    for (const auto& reader : readers_) {
      reader->Cancel();
    }
    for (const auto& reader : readers_) {
      reader->AwaitDone();
    }
  }

 private:
  class Reader final : public grpc::ClientReadReactor<WatchHomeTimelineResponse> {
   public:
    Reader(OneByOne& watches, const std::string& target, const std::string& person)
        : watches_(watches),
          stub_(FeedService::NewStub(
              std::shared_ptr<grpc::ChannelInterface>(load::MakeChannel(target)))) {
      request_.set_actor(person);
      stub_->async()->WatchHomeTimeline(&context_, &request_, this);
      StartRead(&response_);
      StartCall();
    }
    void Cancel() { context_.TryCancel(); }
    void AwaitDone() {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return done_; });
    }

    void OnReadDone(bool ok) override {
      if (!ok) {
        return;
      }
      if (!std::exchange(begun_, true)) {
        watches_.begun_.fetch_add(1, std::memory_order_relaxed);
      }
      for (const WatchEvent& event : response_.events()) {
        watches_.Take(event, 1);
      }
      StartRead(&response_);
    }
    void OnDone(const grpc::Status&) override {
      watches_.failed_.store(true, std::memory_order_relaxed);
      const std::lock_guard lock(mutex_);
      done_ = true;
      changed_.notify_one();
    }

   private:
    OneByOne& watches_;
    const std::unique_ptr<FeedService::Stub> stub_;
    grpc::ClientContext context_;
    WatchHomeTimelineRequest request_;
    WatchHomeTimelineResponse response_;
    bool begun_ = false;  // of the reads, which follow one another
    std::mutex mutex_;
    std::condition_variable changed_;
    bool done_ = false;  // guarded by mutex_
  };

  std::vector<std::unique_ptr<Reader>> readers_;
};

}  // namespace

bool Watches::AwaitBegun(std::chrono::milliseconds limit) const {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (begun_.load(std::memory_order_relaxed) < expected_) {
    if (failed() || std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return true;
}

void Watches::Take(const WatchEvent& event, uint64_t persons) {
  if (event.has_gap()) {
    gaps_.fetch_add(1, std::memory_order_relaxed);
  }
  if (event.has_published()) {
    told_.fetch_add(persons, std::memory_order_relaxed);
    if (listener_) {
      listener_(event.published(), persons);
    }
  }
}

std::unique_ptr<Watches> WatchOnOneStream(const std::string& target,
                                          const std::vector<std::string>& persons,
                                          Watches::Listener listener) {
  return std::make_unique<OneStream>(target, persons, std::move(listener));
}

std::unique_ptr<Watches> WatchOneByOne(const std::string& target,
                                       const std::vector<std::string>& persons) {
  return std::make_unique<OneByOne>(target, persons);
}

}  // namespace klatch::versus
