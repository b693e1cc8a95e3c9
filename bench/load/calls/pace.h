#pragma once
// Spreads what goes on beside the posts (samples, departures, edits) evenly over the load. Task k
// of n is due when k/n of the load is done, and whoever posts waits while tasks that are due are
// not done. So each takes place under load, however slow the machine is.
//
// Thread safety: any thread. The counter publishes nothing; relaxed order suffices.

#include <atomic>
#include <cstdint>

namespace klatch::load {

class Pace {
 public:
  explicit Pace(uint64_t tasks) : tasks_(tasks) {}

  uint64_t tasks() const { return tasks_; }
  // The part of the load, in [0, 1), at which task `task` is due. The last one is due before the
  // end, by twice the lead that posts may have, so that it is done before the end, too.
  double DueAt(uint64_t task) const {
    return (1 - 2 * kLead) * static_cast<double>(task) / static_cast<double>(tasks_);
  }
  // Whether the load may go on from here.
  bool Allows(double fraction) const {
    uint64_t done = done_.load(std::memory_order_relaxed);
    return done >= tasks_ || fraction <= DueAt(done) + kLead;
  }
  // A task is done, whatever came of it.
  void Done() { done_.fetch_add(1, std::memory_order_relaxed); }

 private:
  static constexpr double kLead = 0.05;

  const uint64_t tasks_;
  std::atomic<uint64_t> done_{0};
};

}  // namespace klatch::load
