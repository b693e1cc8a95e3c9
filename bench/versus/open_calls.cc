#include "bench/versus/open_calls.h"

#include <thread>
#include <utility>

#include "bench/load/calls/client.h"
#include "bench/load/plan/arrivals.h"

namespace klatch::versus {
namespace {

constexpr std::chrono::seconds kDeadline{30};

}  // namespace

void Paced(double rate, std::chrono::duration<double> time,
           const std::function<void(uint64_t number, SteadyTime due)>& begin) {
  load::Arrivals arrivals(
      {.rate = rate, .duration = std::chrono::duration_cast<std::chrono::nanoseconds>(time)}, 0);
  const auto start = std::chrono::steady_clock::now();
  uint64_t number = 0;
  while (const auto at = arrivals.Next()) {
    std::this_thread::sleep_until(start + *at);
    begin(number++, start + *at);
  }
}

struct OpenCalls::Call {
  grpc::ClientContext context;
  klatch::v1::PublishUpdateRequest request;
  klatch::v1::PublishUpdateResponse response;
  Done done;
};

OpenCalls::OpenCalls(const std::string& target, uint32_t connections) {
  for (uint32_t i = 0; i < connections; ++i) {
    stubs_.push_back(klatch::v1::FeedService::NewStub(
        std::shared_ptr<grpc::ChannelInterface>(load::MakeChannel(target))));
  }
}

OpenCalls::~OpenCalls() { AwaitAll(); }

void OpenCalls::Publish(klatch::v1::PublishUpdateRequest request, Done done) {
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return under_way_ < kUnderWayMax; });
    ++under_way_;
  }
  auto call = std::make_shared<Call>();
  call->request = std::move(request);
  call->done = std::move(done);
  call->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  stubs_[next_++ % stubs_.size()]->async()->PublishUpdate(
      &call->context, &call->request, &call->response, [this, call](const grpc::Status& status) {
        call->done(status);
        const std::lock_guard lock(mutex_);
        --under_way_;
        ended_.notify_all();
      });
}

void OpenCalls::AwaitAll() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return under_way_ == 0; });
}

}  // namespace klatch::versus
