#pragma once
// Keeps so many unary calls under way on several connections, each answered one followed by the next.
//
//   CallLoad<Request, Response> load({.target = …, .make = …, .call = …});
//   const CallResult result = load.Run(std::chrono::seconds(2));
//
// Thread safety: Run by one thread at a time; `make` and `check` are called from gRPC's threads, many
// at once. Run returns when no call is under way any more. Bound: connections * ahead calls.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bench/load/calls/client.h"
#include "common/obs/latency_histogram.h"
#include "klatch/v1/feed_service.grpc.pb.h"

namespace klatch::versus {

struct CallResult {
  uint64_t calls = 0;
  uint64_t failed = 0;
  std::string first_failure;
  double seconds = 0;
  double per_second() const { return seconds > 0 ? static_cast<double>(calls) / seconds : 0; }
};

template <typename Request, typename Response>
class CallLoad {
 public:
  using Stub = klatch::v1::FeedService::Stub;
  struct Options {
    std::string target;
    uint32_t connections = 4;
    uint32_t ahead = 16;  // calls under way on each
    // Makes call `number` of all.
    std::function<void(uint64_t number, Request& request)> make;
    std::function<void(Stub& stub, grpc::ClientContext*, const Request*, Response*,
                       std::function<void(grpc::Status)>)>
        call;
    // Whether an answer is what it must be.
    std::function<bool(const Response&)> check = [](const Response&) { return true; };
  };

  explicit CallLoad(Options options) : options_(std::move(options)) {
    for (uint32_t i = 0; i < options_.connections; ++i) {
      stubs_.push_back(klatch::v1::FeedService::NewStub(load::MakeChannel(options_.target)));
    }
  }

  // For so long.
  CallResult Run(std::chrono::duration<double> time) {
    end_ = std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::nanoseconds>(time);
    last_ = UINT64_MAX;
    return RunToTheEnd();
  }
  // Just so many.
  CallResult RunCalls(uint64_t count) {
    end_ = std::chrono::steady_clock::time_point::max();
    last_ = next_ + count;
    return RunToTheEnd();
  }

 private:
  struct Slot {
    explicit Slot(Stub& to) : stub(to) {}
    Stub& stub;
    std::optional<grpc::ClientContext> context;
    Request request;
    Response response;
  };

  CallResult RunToTheEnd() {
    done_ = failed_ = 0;
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::unique_ptr<Slot>> slots;
    for (const auto& stub : stubs_) {
      for (uint32_t i = 0; i < options_.ahead; ++i) {
        slots.push_back(std::make_unique<Slot>(*stub));
      }
    }
    running_ = slots.size();
    for (const auto& slot : slots) {
      Begin(*slot);
    }
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_ == 0; });
    return {done_, failed_, first_failure_,
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  }

  void Begin(Slot& slot) {
    // Relaxed, as all counters here: they publish nothing.
    const uint64_t number = next_.fetch_add(1, std::memory_order_relaxed);
    if (number >= last_ || std::chrono::steady_clock::now() >= end_) {
      Leave();
      return;
    }
    slot.context.emplace();
    slot.request.Clear();
    options_.make(number, slot.request);
    options_.call(slot.stub, &*slot.context, &slot.request, &slot.response,
                  [this, &slot](const grpc::Status& status) { End(slot, status); });
  }

  void End(Slot& slot, const grpc::Status& status) {
    const bool good = status.ok() && options_.check(slot.response);
    (good ? done_ : failed_).fetch_add(1, std::memory_order_relaxed);
    if (!good) {
      const std::lock_guard lock(mutex_);
      first_failure_ = status.ok() ? "an answer is not what it must be" : status.error_message();
    }
    Begin(slot);
  }

  void Leave() {
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) {
      ended_.notify_one();
    }
  }

  const Options options_;
  std::vector<std::unique_ptr<klatch::v1::FeedService::Stub>> stubs_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> failed_{0};
  // Written before the first call.
  std::chrono::steady_clock::time_point end_;
  uint64_t last_ = 0;  // no call has this number or a greater one
  std::mutex mutex_;
  std::condition_variable ended_;
  // Guarded by mutex_.
  size_t running_ = 0;
  std::string first_failure_;
};

}  // namespace klatch::versus
