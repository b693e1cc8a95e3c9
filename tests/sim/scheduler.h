#pragma once
// Actors that take turns, one at a time, in an order that one seed decides: each has a thread, but only the
// one whose turn it is runs, until it yields, sleeps or waits. Time is simulated: it passes at each turn,
// and leaps when everybody sleeps. So the same seed gives the same run, and races between threads
// become races between turns, which can be played again.
//
//   Scheduler scheduler(seed);                      // by the actor "main", whose turn it is
//   scheduler.Spawn("client", [&] { … scheduler.Yield(); … });
//   scheduler.SleepFor(30s);                        // the others run
//   scheduler.Finish();                             // until all have ended
//
// Thread safety: everything by whose turn it is.
// Bounds: an actor that never yields stops everybody; WaitUntil has a limit.

#include <semaphore.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"

namespace klatch::sim {

// Starts far from the epoch, so that differences of times never leave the range.
class SimClock final : public base::Clock {
 public:
  base::MonotonicTime Monotonic() const override { return base::MonotonicTime(now_); }
  base::WallTime Wall() const override {
    return base::WallTime(kWallAtStart + (now_ - kStart) + skew_);
  }
  std::chrono::nanoseconds now() const { return now_; }
  // How long it has gone.
  std::chrono::nanoseconds Since() const { return now_ - kStart; }
  // The time of day of a clock that did not jump, since 1970.
  std::chrono::nanoseconds Steady() const { return kWallAtStart + (now_ - kStart); }
  void Advance(std::chrono::nanoseconds by) { now_ += by; }
  // The time of day jumps; the other does not.
  void Skew(std::chrono::nanoseconds by) { skew_ += by; }

 private:
  static constexpr std::chrono::nanoseconds kStart = std::chrono::hours(1);
  static constexpr std::chrono::nanoseconds kWallAtStart =
      std::chrono::seconds(1'780'000'000);  // in 2026

  std::chrono::nanoseconds now_ = kStart;
  std::chrono::nanoseconds skew_{0};
};

// The clock of one machine, which runs at a rate of its own: `ahead_ppm` millionths faster than the
// simulation's time, or slower. Its time of day jumps with the simulation's.
class MachineClock final : public base::Clock {
 public:
  MachineClock(const SimClock& clock, int64_t ahead_ppm) : clock_(clock), ahead_ppm_(ahead_ppm) {}

  base::MonotonicTime Monotonic() const override { return clock_.Monotonic() + Ahead(); }
  base::WallTime Wall() const override { return clock_.Wall() + Ahead(); }
  // The time of day, since 1970, if it had not jumped.
  std::chrono::nanoseconds Steady() const { return clock_.Steady() + Ahead(); }
  // How long it is until this clock has gone on by `time`.
  std::chrono::nanoseconds UntilPassed(std::chrono::nanoseconds time) const {
    return time - time / kMillion * ahead_ppm_;
  }

 private:
  static constexpr int64_t kMillion = 1'000'000;

  std::chrono::nanoseconds Ahead() const { return clock_.Since() / kMillion * ahead_ppm_; }

  const SimClock& clock_;
  const int64_t ahead_ppm_;
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t Next() { return engine_(); }
  // From 0 to `below` - 1. The same on each platform, which std::uniform_int_distribution is not.
  uint64_t Below(uint64_t below) { return engine_() % below; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low + 1)));
  }
  // True once in so many times.
  bool OneIn(uint64_t times) { return Below(times) == 0; }

 private:
  std::mt19937_64 engine_;
};

// A turn that is given to one thread. Not std::binary_semaphore: that one spins before it sleeps, which
// costs more here than all else, since whose turn it is not has to wait for long.
class Turn {
 public:
  Turn() { sem_init(&semaphore_, 0, 0); }
  ~Turn() { sem_destroy(&semaphore_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  void Give() { sem_post(&semaphore_); }
  void Await() {
    while (sem_wait(&semaphore_) != 0) {
    }
  }

 private:
  sem_t semaphore_;
};

class Scheduler {
 public:
  using Id = size_t;
  static constexpr Id kMain = 0;

  explicit Scheduler(uint64_t seed);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  Id Spawn(std::string name, std::function<void()> body);

  void Yield() { SleepFor(std::chrono::nanoseconds(0)); }
  void SleepFor(std::chrono::nanoseconds time);
  // False if it did not come to hold within `limit`.
  bool WaitUntil(const std::function<bool()>& holds, std::chrono::nanoseconds limit,
                 std::chrono::nanoseconds between = std::chrono::microseconds(200));

  // Ends another's sleep.
  void Wake(Id actor) { actors_[actor]->wakes = clock_.now(); }

  // A frozen actor has no turn: its process is stopped, or dead and not yet taken apart.
  void Freeze(Id actor) { actors_[actor]->is_frozen = true; }
  void Thaw(Id actor) { actors_[actor]->is_frozen = false; }

  bool HasEnded(Id actor) const { return actors_[actor]->has_ended; }

  // By main: says that it is over and gives turns until all others have ended.
  void Finish();
  // Loops of actors end then, and nothing sleeps or waits.
  bool finishing() const { return is_finishing_; }

  Random& random() { return random_; }
  SimClock& clock() { return clock_; }
  // Whose turn it is.
  Id current() const { return current_; }
  const std::string& name() const { return actors_[current_]->name; }

  // What happened in which order, as one number: the same for the same seed.
  void Note(std::string_view what);
  uint64_t trace() const { return trace_; }
  uint64_t turns() const { return turns_; }

 private:
  struct Actor {
    std::string name;
    std::function<void()> body;
    Turn turn;
    std::chrono::nanoseconds wakes{0};
    bool is_frozen = false;
    bool has_ended = false;
    std::thread thread;
  };

  // Who is next; time leaps if nobody is awake.
  Id Choose();
  void HandOver(Id next);

  Random random_;
  SimClock clock_;
  std::vector<std::unique_ptr<Actor>> actors_;
  Id current_ = kMain;
  bool is_finishing_ = false;
  uint64_t trace_ = 0;
  uint64_t turns_ = 0;
  std::vector<Id> living_;  // have not ended, as far as Choose knows; ascending
  std::vector<Id> awake_;   // Choose's
};

}  // namespace klatch::sim
