#include "bench/load/result/result_compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string_view>

namespace klatch::load {
namespace {

constexpr size_t kStretches = 10;
// Fewer points in a stretch are no mean.
constexpr size_t kStretchPointsMin = 2;
constexpr double kMicrosecondsPerSecond = 1e6;
// What the node put into timelines in that second.
constexpr char kDeliveries[] = "deliveries_memory";
// The normal distribution's 99.5th percentile.
constexpr double kNormal = 2.576;
// Student's, from one degree of freedom on. More than there are count as the last.
constexpr std::array<double, 30> kStudent = {
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169,
    3.106,  3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878, 2.861, 2.845,
    2.831,  2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750};

// Where a run listens and what it prints changes nothing of what is measured.
const std::set<std::string, std::less<>> kOptionsOfNoMatter = {
    "target",        "metrics", "redis",    "http",          "json",
    "result",        "hgrm",    "node-pid", "node-pid-file", "node-restart-command",
    "show-timelines"};

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

const Spectrum* FindSpectrum(const Result& result, std::string_view name) {
  const auto found = std::ranges::find(result.latencies, name, &Spectrum::name);
  return found == result.latencies.end() || found->count == 0 ? nullptr : &*found;
}

// The quotient of sums over [begin, end), of the seconds that both have. `below` may be null: the
// mean. Nothing if there is none.
std::optional<double> Quotient(const Series& above, const Series* below, size_t begin, size_t end) {
  double sum = 0;
  double divisor = 0;
  for (size_t i = begin; i < end; ++i) {
    const bool has_below = below == nullptr || (i < below->points.size() && below->points[i]);
    if (above.points[i] && has_below) {
      sum += *above.points[i];
      divisor += below == nullptr ? 1 : *below->points[i];
    }
  }
  return divisor > 0 ? std::optional<double>(sum / divisor) : std::nullopt;
}

// A measure: what it is of one result, and its samples of a single one.
struct Measure {
  std::string name;
  std::string unit;
  bool higher_is_better = false;
  std::function<std::optional<double>(const Result&)> whole;
  std::function<std::optional<Estimate>(const Result&)> of_single;
};

Measure SeriesMeasure(std::string name, std::string unit, const std::string& above,
                      const std::string& below, double factor, bool higher_is_better) {
  auto over = [=](const Result& result, size_t part, size_t parts) -> std::optional<double> {
    const Series* const series = FindSeries(result, above);
    const Series* const divisor = below.empty() ? nullptr : FindSeries(result, below);
    if (series == nullptr || (divisor == nullptr && !below.empty())) {
      return std::nullopt;
    }
    const size_t size = series->points.size();
    const auto quotient =
        Quotient(*series, divisor, part * size / parts, (part + 1) * size / parts);
    return quotient ? std::optional<double>(*quotient * factor) : std::nullopt;
  };
  auto whole = [over](const Result& result) { return over(result, 0, 1); };
  auto of_single = [over, above](const Result& result) -> std::optional<Estimate> {
    const std::optional<double> value = over(result, 0, 1);
    if (!value) {
      return std::nullopt;
    }
    std::vector<double> samples;
    const bool enough = FindSeries(result, above)->points.size() >= kStretches * kStretchPointsMin;
    for (size_t part = 0; enough && part < kStretches; ++part) {
      if (const auto sample = over(result, part, kStretches)) {
        samples.push_back(*sample);
      }
    }
    // A stretch of which nothing is known says that the others aren't all.
    return samples.size() == kStretches ? EstimateOf(samples) : Estimate{*value, {}, 1};
  };
  return {std::move(name), std::move(unit), higher_is_better, whole, of_single};
}

Estimate PercentileEstimate(const Result& result, const Spectrum& spectrum, double percent) {
  Estimate estimate{static_cast<double>(PercentileOf(spectrum, percent)), {}, 1};
  const double observations =
      std::min(std::floor(result.summary.seconds), static_cast<double>(spectrum.count));
  const double part = percent / 100;
  // With fewer, the rank may be beyond both ends.
  if (observations * (1 - part) < 1 || observations * part < 1) {
    return estimate;
  }
  const double reach = 100 * kNormal * std::sqrt(part * (1 - part) / observations);
  const double low = std::max(0.0, percent - reach);
  const double high = std::min(100.0, percent + reach);
  estimate.interval = {static_cast<double>(PercentileOf(spectrum, low)),
                       static_cast<double>(PercentileOf(spectrum, high))};
  estimate.samples = static_cast<size_t>(observations);
  return estimate;
}

Measure PercentileMeasure(const std::string& spectrum, double percent) {
  std::string name = fmt::format("{} p{}", spectrum, percent);
  std::ranges::replace(name, '_', ' ');
  auto whole = [=](const Result& result) -> std::optional<double> {
    const Spectrum* const found = FindSpectrum(result, spectrum);
    return found == nullptr
               ? std::nullopt
               : std::optional<double>(static_cast<double>(PercentileOf(*found, percent)));
  };
  auto of_single = [=](const Result& result) -> std::optional<Estimate> {
    const Spectrum* const found = FindSpectrum(result, spectrum);
    return found == nullptr ? std::nullopt
                            : std::optional<Estimate>(PercentileEstimate(result, *found, percent));
  };
  return {std::move(name), "µs", false, whole, of_single};
}

Measure CostMeasure(const Cost& cost) {
  auto whole = [name = cost.name](const Result& result) -> std::optional<double> {
    const auto found = std::ranges::find(result.costs, name, &Cost::name);
    return found == result.costs.end() || !std::isfinite(found->value)
               ? std::nullopt
               : std::optional<double>(found->value);
  };
  auto of_single = [whole](const Result& result) -> std::optional<Estimate> {
    const std::optional<double> value = whole(result);
    return value ? std::optional<Estimate>(Estimate{*value, {}, 1}) : std::nullopt;
  };
  return {cost.name, cost.unit, false, whole, of_single};
}

// What the first result of A has is what is looked for in all.
std::vector<Measure> MeasuresOf(const Result& result) {
  std::vector<Measure> measures;
  measures.push_back(SeriesMeasure("operations", "1/s", "answered", "", 1, true));
  measures.push_back(SeriesMeasure("posts", "1/s", "published", "", 1, true));
  measures.push_back(SeriesMeasure("deliveries", "1/s", kDeliveries, "", 1, true));
  for (const Spectrum& spectrum : result.latencies) {
    for (const double percent : {50.0, 99.0, 99.9}) {
      measures.push_back(PercentileMeasure(spectrum.name, percent));
    }
  }
  for (const Series& series : result.series) {
    std::string name = series.name;
    std::ranges::replace(name, '_', ' ');
    if (series.panel == "lag" || series.panel == "backlog" || series.panel == "memory") {
      measures.push_back(SeriesMeasure(name, series.unit, series.name, "", 1, false));
    } else if (series.panel == "cpu") {
      measures.push_back(SeriesMeasure(name + " per delivery", "µs", series.name, kDeliveries,
                                       kMicrosecondsPerSecond, false));
    }
  }
  for (const Cost& cost : result.costs) {
    measures.push_back(CostMeasure(cost));
  }
  return measures;
}

// Nothing if one of the results doesn't have it.
std::optional<Estimate> EstimateSide(const Measure& measure, const Side& side) {
  if (side.results.size() == 1) {
    return measure.of_single(side.results.front());
  }
  std::vector<double> samples;
  for (const Result& result : side.results) {
    const std::optional<double> value = measure.whole(result);
    if (!value) {
      return std::nullopt;
    }
    samples.push_back(*value);
  }
  return EstimateOf(samples);
}

Change ChangeOf(const Comparison& comparison) {
  const auto& a = comparison.a.interval;
  const auto& b = comparison.b.interval;
  if (!a || !b || (a->low <= b->high && b->low <= a->high)) {
    return Change::kNone;
  }
  return (b->low > a->high) == comparison.higher_is_better ? Change::kBetter : Change::kWorse;
}

std::set<std::string> ValuesOf(const std::vector<const Result*>& results,
                               const std::function<std::string(const Result&)>& read) {
  std::set<std::string> values;
  for (const Result* result : results) {
    values.insert(read(*result));
  }
  return values;
}

std::string ValueOf(const std::map<std::string, std::string>& texts, const std::string& key) {
  const auto found = texts.find(key);
  return found == texts.end() ? "not given" : found->second;
}

class Warnings {
 public:
  explicit Warnings(const Side& a, const Side& b) {
    for (const Side* side : {&a, &b}) {
      for (const Result& result : side->results) {
        all_.push_back(&result);
      }
    }
  }

  void IfDifferent(std::string_view what, const std::function<std::string(const Result&)>& read) {
    const std::set<std::string> values = ValuesOf(all_, read);
    if (values.size() > 1) {
      lines_.push_back(fmt::format("{} differs: {}", what, fmt::join(values, "; ")));
    }
  }
  // Each key of the texts that `read` returns but those to leave out.
  void IfDifferent(
      std::string_view what,
      const std::function<const std::map<std::string, std::string>&(const Result&)>& read,
      const std::set<std::string, std::less<>>& leave_out) {
    std::set<std::string> keys;
    for (const Result* result : all_) {
      for (const auto& [key, value] : read(*result)) {
        keys.insert(key);
      }
    }
    for (const std::string& key : keys) {
      if (!leave_out.contains(key)) {
        IfDifferent(fmt::format("{}{}", what, key),
                    [&](const Result& result) { return ValueOf(read(result), key); });
      }
    }
  }
  void Add(std::string line) { lines_.push_back(std::move(line)); }
  std::vector<std::string> Take() { return std::move(lines_); }

 private:
  std::vector<const Result*> all_;
  std::vector<std::string> lines_;
};

std::vector<std::string> WarningsOf(const Side& a, const Side& b) {
  Warnings warnings(a, b);
  for (const auto& [name, side] : {std::pair<char, const Side&>{'A', a}, {'B', b}}) {
    if (side.results.size() == 1) {
      warnings.Add(fmt::format("{} is one result: how runs differ isn't in its spread", name));
    } else if (side.results.size() == 2) {
      warnings.Add(fmt::format("{} is two results: hardly any difference shows", name));
    }
    for (size_t i = 0; i < side.results.size(); ++i) {
      if (side.results[i].verdict != "kept") {
        warnings.Add(fmt::format("{} of {}: {}", side.files[i], name, side.results[i].verdict));
      }
    }
  }
  warnings.IfDifferent("the scenario", [](const Result& result) { return result.name; });
  warnings.IfDifferent("the seed",
                       [](const Result& result) { return std::to_string(result.more.seed); });
  warnings.IfDifferent("what was offered per second", [](const Result& result) {
    return fmt::format("{} {:.6g}", result.arrivals, result.offered_per_second);
  });
  // Two versions are what a comparison is made for.
  warnings.IfDifferent("the machine's ",
                       [](const Result& result) -> const auto& { return result.machine; },
                       {"klatch"});
  warnings.IfDifferent(
      "option --", [](const Result& result) -> const auto& { return result.options; },
      kOptionsOfNoMatter);
  return warnings.Take();
}

}  // namespace

Estimate EstimateOf(const std::vector<double>& samples) {
  Estimate estimate{MeanOf(samples), {}, samples.size()};
  if (samples.size() < 2) {
    return estimate;
  }
  double squares = 0;
  for (const double sample : samples) {
    squares += (sample - estimate.value) * (sample - estimate.value);
  }
  const double freedom = static_cast<double>(samples.size() - 1);
  const double student = kStudent[std::min(samples.size() - 1, kStudent.size()) - 1];
  const double reach = student * std::sqrt(squares / freedom / static_cast<double>(samples.size()));
  estimate.interval = {estimate.value - reach, estimate.value + reach};
  return estimate;
}

double Comparison::PercentWorse() const {
  if (change != Change::kWorse) {
    return 0;
  }
  return 100 * (higher_is_better ? 1 - ratio : ratio - 1);
}

Comparisons Compare(const Side& a, const Side& b) {
  Comparisons comparisons;
  for (const Measure& measure : MeasuresOf(a.results.front())) {
    const std::optional<Estimate> of_a = EstimateSide(measure, a);
    const std::optional<Estimate> of_b = EstimateSide(measure, b);
    if (!of_a || !of_b) {
      continue;
    }
    Comparison comparison{measure.name, measure.unit, measure.higher_is_better, *of_a, *of_b, 0,
                          Change::kNone};
    comparison.ratio = of_b->value / of_a->value;
    comparison.change = ChangeOf(comparison);
    comparisons.measures.push_back(std::move(comparison));
  }
  comparisons.warnings = WarningsOf(a, b);
  return comparisons;
}

}  // namespace klatch::load
