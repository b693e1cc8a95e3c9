#include "tests/interleave/schedule.h"

#include <algorithm>
#include <cmath>

#include "tests/stress/seed.h"

namespace klatch::interleave {
namespace {

bool Has(const std::vector<size_t>& ready, size_t thread) {
  return std::find(ready.begin(), ready.end(), thread) != ready.end();
}

}  // namespace

RandomSchedule::RandomSchedule(uint64_t seed, size_t steps) : random_(stress::Mixed(seed)) {
  constexpr Manner kManners[] = {Manner::kWalk, Manner::kPriorities, Manner::kQuanta};
  manner_ = kManners[Below(3)];
  // 1/2, 1/4, … 1/128.
  change_ = std::exp2(-1.0 - static_cast<double>(Below(7)));
  fall_ = static_cast<double>(1 + Below(6)) / static_cast<double>(steps);
  for (size_t i = 0; i < kThreads; ++i) {
    priorities_[i] = static_cast<int64_t>(Below(1'000));
    // 1 … 255, small ones as often as great ones.
    quanta_[i] = static_cast<size_t>(std::exp2(unit_(random_) * 8));
  }
  constexpr double kOld[] = {-1, -1, 0, 0.05, 0.3, 0.7, 0.95};
  old_ = kOld[Below(std::size(kOld))];
  location_salt_ = random_();
  is_oldest_ = Below(2) == 0;
}

size_t RandomSchedule::NextThread(const std::vector<size_t>& ready, size_t current) {
  if (ready.size() == 1) {
    return ready[0];
  }
  switch (manner_) {
    case Manner::kPriorities:
      return ByPriority(ready, current);
    case Manner::kQuanta:
      return ByQuantum(ready, current);
    case Manner::kWalk:
      break;
  }
  const bool stays = Has(ready, current) && !IsTrue(change_);
  return stays ? current : ready[Below(ready.size())];
}

size_t RandomSchedule::ByPriority(const std::vector<size_t>& ready, size_t current) {
  if (IsTrue(fall_)) {
    priorities_[current] = --lowest_;
  }
  return *std::max_element(ready.begin(), ready.end(),
                           [this](size_t a, size_t b) { return priorities_[a] < priorities_[b]; });
}

size_t RandomSchedule::ByQuantum(const std::vector<size_t>& ready, size_t current) {
  if (left_ > 0 && Has(ready, current)) {
    --left_;
    return current;
  }
  const auto next = std::upper_bound(ready.begin(), ready.end(), current);
  const size_t thread = next == ready.end() ? ready[0] : *next;
  left_ = quanta_[thread] - 1;
  return thread;
}

size_t RandomSchedule::Age(size_t location, size_t ages) {
  double old = old_;
  if (old < 0) {
    constexpr double kOld[] = {0, 0, 0.5, 1};
    old = kOld[stress::Mixed(location ^ location_salt_) % std::size(kOld)];
  }
  if (ages < 2 || !IsTrue(old)) {
    return 0;
  }
  return is_oldest_ ? ages - 1 : 1 + Below(ages - 1);
}

bool ExhaustiveSchedule::Advance() {
  while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().count) {
    choices_.pop_back();
  }
  depth_ = changes_ = old_ = 0;
  if (choices_.empty()) {
    return false;
  }
  ++choices_.back().taken;
  return true;
}

size_t ExhaustiveSchedule::Choose(size_t count) {
  if (count < 2) {
    return 0;
  }
  if (depth_ == choices_.size()) {
    choices_.push_back({0, count});
  }
  return choices_[depth_++].taken;
}

size_t ExhaustiveSchedule::NextThread(const std::vector<size_t>& ready, size_t current) {
  if (!Has(ready, current)) {
    return ready[Choose(ready.size())];
  }
  if (changes_ == changes_max_) {
    is_bounded_ = is_bounded_ || ready.size() > 1;
    return current;
  }
  // First to stay, then each of the others.
  const size_t choice = Choose(ready.size());
  if (choice == 0) {
    return current;
  }
  ++changes_;
  const size_t others_before = choice - 1;
  return ready[others_before] < current ? ready[others_before] : ready[others_before + 1];
}

size_t ExhaustiveSchedule::Age(size_t, size_t ages) {
  if (old_ == old_max_) {
    is_bounded_ = is_bounded_ || ages > 1;
    return 0;
  }
  const size_t age = Choose(ages);
  old_ += age > 0 ? 1 : 0;
  return age;
}

}  // namespace klatch::interleave
