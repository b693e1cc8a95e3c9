#pragma once
// Looks whether Sentinels have made another Redis the master of a group: asks them again and again.
//
// Thread safety: any thread; a thread of its own asks.

#include <atomic>
#include <chrono>
#include <utility>

#include "common/base/periodic_thread.h"
#include "common/redis/place.h"
#include "common/redis/probe.h"

namespace klatch::redis {

class MasterWatch {
 public:
  // Asks every `period`, each Sentinel and the new master for at most `timeout`. `known` is where the
  // master was.
  MasterWatch(Place place, Master known, std::chrono::milliseconds period,
              std::chrono::milliseconds timeout)
      : place_(std::move(place)),
        known_(std::move(known)),
        timeout_(timeout),
        thread_("master watch", period, [this] { Look(); }) {
    thread_.Start();
  }
  ~MasterWatch() { thread_.Stop(); }

  // Whether another is the master now, and answers as one; for good.
  bool moved() const { return moved_.load(std::memory_order_relaxed); }

 private:
  void Look() {
    const auto master = FindMaster(place_, timeout_);
    if (!master.ok() || master->epoch < known_.epoch ||
        (master->address.host == known_.address.host &&
         master->address.port == known_.address.port)) {
      return;
    }
    if (Probe(master->address, {.connect_timeout = timeout_, .call_timeout = timeout_}).ok()) {
      // Relaxed: a flag that publishes nothing.
      moved_.store(true, std::memory_order_relaxed);
    }
  }

  const Place place_;
  const Master known_;
  const std::chrono::milliseconds timeout_;
  std::atomic<bool> moved_{false};
  base::PeriodicThread thread_;  // last: it uses the others
};

}  // namespace klatch::redis
