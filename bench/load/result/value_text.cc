#include "bench/load/result/value_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "bench/load/result/report.h"

namespace klatch::load {
namespace {

struct Scale {
  double from;  // in the unit itself
  std::string_view name;
};
constexpr std::array<Scale, 3> kTimes = {{{1e6, " s"}, {1e3, " ms"}, {1, " µs"}}};
constexpr std::array<Scale, 5> kBytes = {
    {{1e12, " TB"}, {1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}, {1, " B"}}};
constexpr std::array<Scale, 4> kNumbers = {{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e4, " k"}}};
constexpr double kThousand = 1e3;

// Rounded to three digits, so that 999.7 becomes a thousand before its scale is chosen.
double Rounded(double value) {
  if (value == 0) {
    return 0;
  }
  const double step = std::pow(10, std::floor(std::log10(std::abs(value))) - 2);
  return std::round(value / step) * step;
}

std::string Digits(double value) {
  const double size = std::abs(value);
  if (size >= 100 || value == 0) {
    return fmt::format("{:.0f}", value);
  }
  return size >= 10  ? fmt::format("{:.1f}", value)
         : size >= 1 ? fmt::format("{:.2f}", value)
                     : fmt::format("{:.3g}", value);
}

template <size_t kSize>
std::string Scaled(double value, const std::array<Scale, kSize>& scales) {
  const double rounded = Rounded(value);
  for (const Scale& scale : scales) {
    if (std::abs(rounded) >= scale.from) {
      return Digits(rounded / scale.from) + std::string(scale.name);
    }
  }
  return Digits(rounded) + std::string(scales.back().name);
}

}  // namespace

bool IsScaled(std::string_view unit) { return unit == "µs" || unit == "ms" || unit == "bytes"; }

std::string NumberText(double value) {
  if (!std::isfinite(value)) {
    return "–";
  }
  const double rounded = Rounded(value);
  if (std::abs(rounded) >= kNumbers.back().from) {
    // "k" begins at ten thousand, and counts thousands.
    return std::abs(rounded) >= 1e6 ? Scaled(value, kNumbers) : Digits(rounded / kThousand) + " k";
  }
  return rounded >= kThousand ? WithThousands(static_cast<uint64_t>(std::llround(rounded)))
                              : Digits(rounded);
}

std::string ValueText(double value, std::string_view unit) {
  if (!std::isfinite(value)) {
    return "–";
  }
  if (unit == "µs" || unit == "ms") {
    return Scaled(unit == "ms" ? value * kThousand : value, kTimes);
  }
  if (unit == "bytes") {
    return Scaled(value, kBytes);
  }
  return unit == "1/s" ? NumberText(value) + "/s"
                       : fmt::format("{}{}{}", NumberText(value), unit.empty() ? "" : " ", unit);
}

std::string ChangeText(double ratio) {
  if (!std::isfinite(ratio)) {
    return "–";
  }
  const double percent = (ratio - 1) * 100;
  return fmt::format("{}{:.1f} %", percent < 0 ? "−" : "+", std::abs(percent));
}

}  // namespace klatch::load
