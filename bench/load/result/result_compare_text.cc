// What a comparison prints.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/load/result/result_compare.h"
#include "bench/load/result/value_text.h"

namespace klatch::load {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kOneLine = -1;

std::string EstimateText(const Estimate& estimate, std::string_view unit) {
  if (!estimate.interval) {
    return ValueText(estimate.value, unit);
  }
  return fmt::format("{} ({} to {})", ValueText(estimate.value, unit),
                     ValueText(std::max(0.0, estimate.interval->low), unit),
                     ValueText(estimate.interval->high, unit));
}

std::string_view ChangeWord(const Comparison& comparison) {
  const bool better = comparison.change == Change::kBetter;
  if (!comparison.a.interval || !comparison.b.interval) {
    return "no spread known";
  }
  if (comparison.change == Change::kNone) {
    return "no difference beyond the noise";
  }
  // "Faster" of what is a time or a rate; of costs and memory there is less or more.
  const bool is_latency =
      comparison.unit == "µs" && comparison.name.find("per delivery") == std::string::npos;
  if (comparison.higher_is_better || is_latency) {
    return better ? "faster" : "slower";
  }
  return better ? "less" : "more";
}

std::string SideText(char name, const Side& side) {
  std::string text = fmt::format("{}  ", name);
  for (size_t i = 0; i < side.files.size(); ++i) {
    text += (i == 0 ? "" : ", ") + side.files[i];
  }
  return text + "\n";
}

Json NumberJson(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json EstimateJson(const Estimate& estimate) {
  Json json = {{"value", NumberJson(estimate.value)}, {"samples", estimate.samples}};
  json["low"] = estimate.interval ? NumberJson(estimate.interval->low) : Json(nullptr);
  json["high"] = estimate.interval ? NumberJson(estimate.interval->high) : Json(nullptr);
  return json;
}

std::string_view ChangeKey(Change change) {
  switch (change) {
    case Change::kNone:
      break;
    case Change::kBetter:
      return "better";
    case Change::kWorse:
      return "worse";
  }
  return "none";
}

}  // namespace

std::string CompareText(const Comparisons& comparisons, const Side& a, const Side& b) {
  std::string text = SideText('A', a) + SideText('B', b);
  for (const std::string& warning : comparisons.warnings) {
    text += fmt::format("!  {}\n", warning);
  }
  text += fmt::format("\n{:<30} {:<32} {:<32} {:>9}  {}\n", "", "A", "B", "B to A", "B is");
  for (const Comparison& comparison : comparisons.measures) {
    // A unit that every number would repeat stands beside the name.
    const bool beside = !IsScaled(comparison.unit) && comparison.unit != "1/s";
    const std::string unit = beside ? "" : comparison.unit;
    const std::string name =
        beside ? fmt::format("{}, {}", comparison.name, comparison.unit) : comparison.name;
    text += fmt::format("{:<30} {:<32} {:<32} {:>9}  {}\n", name, EstimateText(comparison.a, unit),
                        EstimateText(comparison.b, unit), ChangeText(comparison.ratio),
                        ChangeWord(comparison));
  }
  return text;
}

std::string CompareJson(const Comparisons& comparisons, const Side& a, const Side& b) {
  Json json = {{"a", a.files}, {"b", b.files}, {"warnings", comparisons.warnings}};
  json["measures"] = Json::array();
  for (const Comparison& comparison : comparisons.measures) {
    json["measures"].push_back({{"name", comparison.name},
                                {"unit", comparison.unit},
                                {"better", comparison.higher_is_better ? "higher" : "lower"},
                                {"a", EstimateJson(comparison.a)},
                                {"b", EstimateJson(comparison.b)},
                                {"ratio", NumberJson(comparison.ratio)},
                                {"verdict", ChangeKey(comparison.change)}});
  }
  return json.dump(kOneLine, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace klatch::load
