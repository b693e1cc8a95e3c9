#pragma once
// What the connections of an edge share, and the loop that each belongs to. Included by the two
// files that know Boost.
//
// Threads: HttpLoop's context is run by one thread, whose alone `connections` is; HttpShared is
// immutable, but for what any thread may use.

#include <pthread.h>

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/obs/metrics.h"
#include "services/accept/call_gate.h"
#include "services/edge/http_request.h"
#include "services/edge/http_status.h"
#include "services/edge/http_times.h"
#include "services/edge/node_call.h"
#include "services/edge/served_methods.h"
#include "services/edge/transcoder.h"
#include "services/identity/door.h"

namespace klatch {

class HttpConnection;

struct HttpShared {
  HttpShared(const std::vector<std::string>& services, HostRule the_rule, size_t body_max,
             const HttpTimes& the_times, Door* the_door)
      : methods(services),
        rule(the_rule),
        body_bytes_max(body_max),
        times(the_times),
        door(the_door) {}

  void Count(unsigned http_code) {
    for (size_t i = 0; i < kHttpCodes.size(); ++i) {
      if (kHttpCodes[i] == http_code) {
        answers[i].Add();
      }
    }
  }

  const ServedMethods methods;
  const Transcoder transcoder;
  const HostRule rule;
  const size_t body_bytes_max;
  const HttpTimes times;
  Door* const door;  // null: nobody is asked who they are
  std::unique_ptr<grpc::GenericStub> stub;
  // Calls that may still touch a loop.
  CallGate calls;
  // Relaxed: it only makes connections end sooner; who needs to be told is told on its loop.
  std::atomic<bool> is_draining{false};
  std::array<obs::ShardedCounter, kHttpCodes.size()> answers;
};

class HttpLoop final : public Loop {
 public:
  explicit HttpLoop(std::string name)
      : guard(boost::asio::make_work_guard(context)), thread([this, name = std::move(name)] {
          pthread_setname_np(pthread_self(), name.c_str());
          context.run();
        }) {}

  ~HttpLoop() override { Join(); }

  // Returns when there is nothing to do any more. Idempotent.
  void Join() {
    guard.reset();
    if (thread.joinable()) {
      thread.join();
    }
  }

  void Post(std::function<void()> work) override { boost::asio::post(context, std::move(work)); }

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard;
  std::unordered_set<HttpConnection*> connections;
  std::thread thread;
};

}  // namespace klatch
