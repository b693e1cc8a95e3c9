#pragma once
// Posts and reads by a schedule, whatever the server does: one thread sends what is due, over several
// connections in turn, and a thread for each connection takes the answers, tries again what may be
// tried again, and takes down what came of it. Latencies count from the moment that the schedule
// meant.
//
// Posts that are due within `linger` of each other go in one call, as an app's gateway sends them,
// and those that are due when it is sent.
// When `in_flight` calls are under way on every connection, what is due waits for one to end; what
// was sent late for such a reason is counted, as the schedule was not the load then.
//
// Threads: Run on one, which starts and joins the others; results are read afterwards.
// Bounds: in_flight calls per connection, `batch` posts per call.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "bench/load/calls/client.h"
#include "bench/load/cast/player.h"
#include "bench/load/plan/arrivals.h"
#include "bench/load/plan/operation_mix.h"

namespace klatch::load {

class OpenLoop {
 public:
  struct Options {
    Client::Options client;
    uint32_t connections = 4;
    uint32_t batch = 50;
    std::chrono::milliseconds linger{0};
    uint32_t in_flight = 1'000;
    ArrivalPlan arrivals;
    OperationMix mix;
    uint64_t seed = 0;
    std::chrono::steady_clock::time_point start;
  };

  OpenLoop(const Stage& stage, const Options& options);
  ~OpenLoop();
  OpenLoop(const OpenLoop&) = delete;
  OpenLoop& operator=(const OpenLoop&) = delete;

  // Returns when the schedule has ended and every call has, or the run must stop.
  void Run();

  void ForEachHistory(const std::function<void(const History&)>& take) const;

 private:
  class Lane;
  using Moment = std::chrono::steady_clock::time_point;

  void AddPost(Moment due);
  void SendPosts();
  void SendRead(Operation operation, Moment due);
  // Sends posts meanwhile that may not linger for so long.
  void SleepUntil(Moment moment);
  // The next connection in turn with room, for operations that were due then; null: the run must stop.
  Lane* AwaitRoom(std::span<const Moment> due);

  const Stage stage_;
  const Options options_;
  Random random_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  size_t turn_ = 0;
  std::vector<PlannedPost> posts_;
  std::vector<Moment> posts_due_;
  size_t groups_named_ = 0;  // by those
};

}  // namespace klatch::load
