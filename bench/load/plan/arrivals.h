#pragma once
// When operations arrive, by a schedule that does not know how the server is doing: an open loop.
// Whoever measures from these moments counts also what waited behind a slow answer.
//
//   constant  one every 1/rate seconds
//   poisson   at random, as independent people do; `rate` on average
//   step      constant, in kSteps steps from `rate` to `rate_end`
//   line      from `rate` to `rate_end`, evenly
//   surge     constant: `rate`, in the second of three thirds `rate_end`, then `rate` again
//   burst     `burst` at once, as often as `rate` wants
//
// A closed loop (kClosedLoop) has no schedule: the next is sent when the last is answered.
//
// Thread safety: one thread at a time; copies are independent and say the same.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load/plan/random.h"

namespace klatch::load {

enum class ArrivalKind { kClosedLoop, kConstant, kPoisson, kStep, kLine, kSurge, kBurst };

struct ArrivalPlan {
  static constexpr int kSteps = 10;

  ArrivalKind kind = ArrivalKind::kConstant;
  double rate = 0;      // per second
  double rate_end = 0;  // of a step, a line or a surge
  uint64_t burst = 1;
  std::chrono::nanoseconds duration{0};

  // How many arrive in all; of a Poisson process, on average.
  double Count() const;
};

std::string_view NameOf(ArrivalKind kind);
// All of them, by name, in the order of the enum.
std::vector<std::pair<std::string, ArrivalKind>> ArrivalKinds();

class Arrivals {
 public:
  // REQUIRES: not a closed loop, and rates above 0.
  Arrivals(const ArrivalPlan& plan, uint64_t seed) : plan_(plan), random_(seed) {}

  // Since the start, ascending; nothing more behind the duration.
  std::optional<std::chrono::nanoseconds> Next();

 private:
  // In seconds.
  double TimeOf(uint64_t number);
  double TimeOnSteps(double number) const;
  double TimeOnLine(double number) const;
  double TimeOnSurge(double number) const;

  const ArrivalPlan plan_;
  Random random_;
  uint64_t next_ = 0;
  double last_ = 0;  // of a Poisson process
};

}  // namespace klatch::load
