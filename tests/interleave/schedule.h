#pragma once
// Who makes the next step of an execution, and how old a value a load reads: all that an execution
// of the model leaves open. The same schedule gives the same execution.
//
// Thread safety: one thread.

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace klatch::interleave {

// Threads of an execution: the one that makes and judges, number 0, and those that it starts.
inline constexpr size_t kThreads = 4;

class Schedule {
 public:
  virtual ~Schedule() = default;

  // The thread whose step is next, one of `ready`, which is in ascending order and not empty.
  // `current` made the last step; it is not among them if it has ended or sleeps.
  virtual size_t NextThread(const std::vector<size_t>& ready, size_t current) = 0;

  // How many stores before the newest a load reads, in [0, ages). `location` counts atomics in the
  // order of their first use.
  virtual size_t Age(size_t location, size_t ages) = 0;

  // Whether of several loads in a row of what nobody has stored to since it was made only the first
  // has a turn: whoever stores to one of them may as well have gone before. (What is lost: one
  // thread that stores to two of them, between the loads of both.)
  virtual bool SkipsUntouched() const = 0;
};

// Follows a seed, which also draws the manner: threads change at each step with one of several
// probabilities, or by priorities that fall at a few steps (Burckhardt et al., "A randomized
// scheduler with probabilistic guarantees of finding bugs", 2010), or each has so many steps in
// turn. Loads are as old as a probability says, one for all or one per atomic.
class RandomSchedule : public Schedule {
 public:
  // `steps` is about how many an execution has.
  RandomSchedule(uint64_t seed, size_t steps);

  size_t NextThread(const std::vector<size_t>& ready, size_t current) override;
  size_t Age(size_t location, size_t ages) override;
  bool SkipsUntouched() const override { return false; }

 private:
  enum class Manner { kWalk, kPriorities, kQuanta };

  size_t ByPriority(const std::vector<size_t>& ready, size_t current);
  size_t ByQuantum(const std::vector<size_t>& ready, size_t current);
  size_t Below(size_t bound) { return bound < 2 ? 0 : random_() % bound; }
  bool IsTrue(double probability) { return unit_(random_) < probability; }

  std::mt19937_64 random_;
  std::uniform_real_distribution<double> unit_{0, 1};
  Manner manner_;
  double change_ = 0;  // the walk's probability of another thread
  double fall_ = 0;    // a priority's probability to fall
  int64_t priorities_[kThreads] = {};
  int64_t lowest_ = 0;
  size_t quanta_[kThreads] = {};
  size_t left_ = 0;  // of the quantum
  double old_ = 0;   // a load's probability not to read the newest; < 0: per atomic
  uint64_t location_salt_ = 0;
  bool is_oldest_ = false;  // if it doesn't read the newest, it reads the oldest
};

// All schedules in turn that change from a thread that could go on at most `changes_max` times, and
// in which at most `old_max` loads read another value than the newest.
class ExhaustiveSchedule : public Schedule {
 public:
  ExhaustiveSchedule(size_t changes_max, size_t old_max)
      : changes_max_(changes_max), old_max_(old_max) {}

  // Goes on to the next one. False if there is none. To be called behind each execution.
  bool Advance();

  // Whether a bound has left any schedule out so far.
  bool is_bounded() const { return is_bounded_; }

  size_t NextThread(const std::vector<size_t>& ready, size_t current) override;
  size_t Age(size_t location, size_t ages) override;
  bool SkipsUntouched() const override { return true; }

 private:
  struct Choice {
    size_t taken;
    size_t count;
  };

  size_t Choose(size_t count);

  const size_t changes_max_;
  const size_t old_max_;
  std::vector<Choice> choices_;
  size_t depth_ = 0;
  size_t changes_ = 0;
  size_t old_ = 0;
  bool is_bounded_ = false;
};

}  // namespace klatch::interleave
