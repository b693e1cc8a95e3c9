#include "bench/load/plan/arrivals.h"

#include <array>
#include <cmath>

namespace klatch::load {
namespace {

constexpr std::array<std::pair<std::string_view, ArrivalKind>, 7> kNames = {{
    {"closed", ArrivalKind::kClosedLoop},
    {"constant", ArrivalKind::kConstant},
    {"poisson", ArrivalKind::kPoisson},
    {"step", ArrivalKind::kStep},
    {"line", ArrivalKind::kLine},
    {"surge", ArrivalKind::kSurge},
    {"burst", ArrivalKind::kBurst},
}};

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string_view NameOf(ArrivalKind kind) {
  for (const auto& [name, known] : kNames) {
    if (known == kind) {
      return name;
    }
  }
  return "";
}

std::vector<std::pair<std::string, ArrivalKind>> ArrivalKinds() {
  return {kNames.begin(), kNames.end()};
}

double ArrivalPlan::Count() const {
  const double seconds = Seconds(duration);
  if (kind == ArrivalKind::kSurge) {
    return seconds * (2 * rate + rate_end) / 3;
  }
  const bool moves = kind == ArrivalKind::kStep || kind == ArrivalKind::kLine;
  return moves ? seconds * (rate + rate_end) / 2 : seconds * rate;
}

double Arrivals::TimeOnSteps(double number) const {
  const double step_seconds = Seconds(plan_.duration) / ArrivalPlan::kSteps;
  double before = 0;
  for (int step = 0;; ++step) {
    const double share = static_cast<double>(step) / (ArrivalPlan::kSteps - 1);
    const double rate = plan_.rate + share * (plan_.rate_end - plan_.rate);
    // Behind the last step its rate goes on, so that the end is found by whoever asks.
    if (number < before + rate * step_seconds || step == ArrivalPlan::kSteps - 1) {
      return step * step_seconds + (number - before) / rate;
    }
    before += rate * step_seconds;
  }
}

// Up to t seconds, rate * t + growth * t² / 2 have arrived.
double Arrivals::TimeOnLine(double number) const {
  const double growth = (plan_.rate_end - plan_.rate) / Seconds(plan_.duration);
  const double inside = plan_.rate * plan_.rate + 2 * growth * number;
  // A line that falls never brings so many.
  return inside < 0 ? Seconds(plan_.duration) : 2 * number / (plan_.rate + std::sqrt(inside));
}

double Arrivals::TimeOnSurge(double number) const {
  const double third = Seconds(plan_.duration) / 3;
  const double before = plan_.rate * third;
  const double within = plan_.rate_end * third;
  if (number < before) {
    return number / plan_.rate;
  }
  return number < before + within ? third + (number - before) / plan_.rate_end
                                  : 2 * third + (number - before - within) / plan_.rate;
}

double Arrivals::TimeOf(uint64_t number) {
  const auto count = static_cast<double>(number);
  switch (plan_.kind) {
    case ArrivalKind::kPoisson:
      last_ += -std::log(1 - random_.Unit()) / plan_.rate;
      return last_;
    case ArrivalKind::kStep:
      return TimeOnSteps(count);
    case ArrivalKind::kLine:
      return TimeOnLine(count);
    case ArrivalKind::kSurge:
      return TimeOnSurge(count);
    case ArrivalKind::kBurst:
      return static_cast<double>(number / plan_.burst * plan_.burst) / plan_.rate;
    case ArrivalKind::kConstant:
    case ArrivalKind::kClosedLoop:
      break;
  }
  return count / plan_.rate;
}

std::optional<std::chrono::nanoseconds> Arrivals::Next() {
  const double seconds = TimeOf(next_++);
  if (seconds >= Seconds(plan_.duration)) {
    return std::nullopt;
  }
  return std::chrono::nanoseconds(static_cast<int64_t>(1e9 * seconds));
}

}  // namespace klatch::load
