#pragma once
// Calls that begin when they are due, whether or not earlier ones have been answered.
//
//   OpenCalls calls(target, 4);
//   Paced(rate, time, [&](uint64_t number, auto due) { calls.Publish(…, [due](auto status) {…}); });
//   calls.AwaitAll();
//
// Thread safety: one thread begins calls; what is to be done at their end runs on gRPC's threads.
// Bound: kUnderWayMax calls; one more waits, and its lateness counts, since latency is counted from
// when it was due.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "klatch/v1/feed_service.grpc.pb.h"

namespace klatch::versus {

using SteadyTime = std::chrono::steady_clock::time_point;

// Calls `begin` `rate` times a second for so long, each time with when it was due. Late ones follow one
// another at once.
void Paced(double rate, std::chrono::duration<double> time,
           const std::function<void(uint64_t number, SteadyTime due)>& begin);

class OpenCalls {
 public:
  static constexpr size_t kUnderWayMax = 4'096;
  using Done = std::function<void(const grpc::Status&)>;

  OpenCalls(const std::string& target, uint32_t connections);
  // AwaitAll.
  ~OpenCalls();
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;

  void Publish(klatch::v1::PublishUpdateRequest request, Done done);
  void AwaitAll();

 private:
  struct Call;

  std::vector<std::unique_ptr<klatch::v1::FeedService::Stub>> stubs_;
  size_t next_ = 0;
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t under_way_ = 0;  // guarded by mutex_
};

}  // namespace klatch::versus
