#include "bench/load/live_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bench/load/result/report.h"

namespace klatch::load {
namespace {

constexpr size_t kCurveSeconds = 40;
constexpr double kMebibyte = 1 << 20;

std::string Whole(double value) { return WithThousands(static_cast<uint64_t>(value + 0.5)); }

// The values of one line, those that are known.
class Line {
 public:
  Line(const Sampler& sampler, std::string_view name)
      : sampler_(sampler), text_(fmt::format("\n  {:<9}", name)) {}

  template <typename Print>
  Line& Value(std::string_view label, std::string_view series, const Print& print) {
    if (const auto value = sampler_.now(series); value.has_value()) {
      text_ += fmt::format("{} {}   ", label, print(*value));
    }
    return *this;
  }
  Line& Latency(std::string_view label, const std::string& series) {
    const auto print = [](double value) { return LatencyText(static_cast<uint64_t>(value)); };
    return Value(label, series + "_p50", print).Value("p99", series + "_p99", print);
  }
  Line& Curve(std::string_view series) {
    const auto points = sampler_.recent(series, kCurveSeconds);
    text_ += Sparkline(points);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  const Sampler& sampler_;
  std::string text_;
};

}  // namespace

std::string Sparkline(std::span<const std::optional<double>> points) {
  constexpr std::array<std::string_view, 8> kBars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double highest = 0;
  for (const auto& point : points) {
    highest = std::max(highest, point.value_or(0));
  }
  std::string text;
  for (const auto& point : points) {
    if (!point.has_value()) {
      text += ' ';
      continue;
    }
    const double part = highest > 0 ? std::max(0.0, *point) / highest : 0;
    text += kBars[static_cast<size_t>(part * (kBars.size() - 1) + 0.5)];
  }
  return text;
}

std::string LiveView(const Sampler& sampler) {
  if (!sampler.now("answered").has_value()) {
    return "";
  }
  const auto per_second = [](double value) { return Whole(value) + "/s"; };
  const auto milliseconds = [](double value) { return Whole(value) + " ms"; };
  const auto cores = [](double value) { return fmt::format("{:.2f}", value); };
  const auto mebibytes = [](double value) { return fmt::format("{:.0f} MiB", value / kMebibyte); };
  return Line(sampler, "rate")
             .Value("offered", "offered", per_second)
             .Value("answered", "answered", per_second)
             .Curve("answered")
             .text() +
         Line(sampler, "delivered")
             .Value("memory", "deliveries_memory", per_second)
             .Value("Redis", "deliveries_redis", per_second)
             .Curve("deliveries_redis")
             .text() +
         Line(sampler, "latency")
             .Latency("publish", "publish")
             .Latency("visible", "visible")
             .Latency("home page", "home_page")
             .text() +
         Line(sampler, "lag")
             .Value("append", "lag_append", milliseconds)
             .Value("checkpoint", "lag_checkpoint", milliseconds)
             .Value("unflushed", "unflushed", Whole)
             .text() +
         Line(sampler, "takes")
             .Value("cores: klatchd", "cpu_klatchd", cores)
             .Value("Redis", "cpu_redis", cores)
             .Value("this", "cpu_load", cores)
             .Value("memory: klatchd", "memory_klatchd", mebibytes)
             .Value("Redis", "memory_redis", mebibytes)
             .text();
}

}  // namespace klatch::load
