#include "bench/load/result/report_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "bench/load/result/report.h"
#include "bench/load/result/value_text.h"

namespace klatch::load {
namespace {

struct Panel {
  std::string_view name;
  std::string_view heading;
  std::string_view remark;
  bool by_worst = false;  // one bad second must not vanish in a mean
};
constexpr std::array<Panel, 7> kPanels = {{
    {"rate", "Operations per second",
     "Offered is what the schedule asks for, whatever comes back; published are the posts."},
    {"deliveries", "Deliveries per second", ""},
    {"lag", "How far each stage is behind", "On a logarithmic scale.", true},
    {"backlog", "In memory and not yet in Redis", "Entries of timelines.", true},
    {"latency", "Latency from second to second", "On a logarithmic scale.", true},
    {"cpu", "CPU", "Cores that each process keeps busy."},
    {"memory", "Memory", ""},
}};
constexpr std::array<double, 12> kPercents = {0,  25,   50,   75,    90,    95,
                                              99, 99.5, 99.9, 99.95, 99.99, 100};
constexpr double kMicrosecondsPerSecond = 1e6;
// What the node put into timelines in that second.
constexpr std::string_view kDeliveries = "deliveries_memory";
constexpr std::string_view kCpuOf = "CPU of ";
constexpr std::string_view kPerDelivery = " per delivery";
// Seconds with fewer deliveries say more about their fixed costs than about deliveries.
constexpr double kDeliveriesMin = 1;
// More is no measure of anything, and no scale for the rest.
constexpr double kValueMax = 1e15;

struct Range {
  double min = std::numeric_limits<double>::infinity();
  double min_positive = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();

  void Take(double value) {
    min = std::min(min, value);
    max = std::max(max, value);
    if (value > 0) {
      min_positive = std::min(min_positive, value);
    }
  }
  bool empty() const { return min > max; }
};

std::optional<double> Drawable(std::optional<double> value) {
  return value && std::abs(*value) <= kValueMax ? value : std::nullopt;
}

Range RangeOf(const std::vector<Curve>& curves) {
  Range range;
  for (const Curve& curve : curves) {
    for (const Curve::Point& point : curve.points) {
      if (point.y) {
        range.Take(*point.y);
      }
    }
  }
  return range;
}

Range RangeOfX(const std::vector<Curve>& curves) {
  Range range;
  for (const Curve& curve : curves) {
    for (const Curve::Point& point : curve.points) {
      range.Take(point.x);
    }
  }
  return range;
}

Panel PanelOf(const std::string& name) {
  const auto found = std::ranges::find(kPanels, std::string_view(name), &Panel::name);
  return found != kPanels.end() ? *found : Panel{name, name, ""};
}

// "apply" of "lag_apply" in the panel "lag".
std::string CurveName(const Series& series) {
  std::string name = series.name;
  if (name.starts_with(series.panel + "_")) {
    name.erase(0, series.panel.size() + 1);
  }
  std::ranges::replace(name, '_', ' ');
  return name;
}

// A point for every `every` seconds, at their middle.
Curve Thinned(const Series& series, size_t every, bool by_worst) {
  Curve curve{CurveName(series), {}};
  for (size_t begin = 0; begin < series.points.size(); begin += every) {
    const size_t end = std::min(begin + every, series.points.size());
    double sum = 0;
    double worst = -std::numeric_limits<double>::infinity();
    size_t known = 0;
    for (size_t i = begin; i < end; ++i) {
      if (const std::optional<double> value = Drawable(series.points[i])) {
        sum += *value;
        worst = std::max(worst, *value);
        ++known;
      }
    }
    Curve::Point point{static_cast<double>(begin + end - 1) / 2, std::nullopt};
    if (known != 0) {
      point.y = by_worst ? worst : sum / static_cast<double>(known);
    }
    curve.points.push_back(point);
  }
  return curve;
}

std::vector<double> SortedValues(const Curve& curve) {
  std::vector<double> values;
  for (const Curve::Point& point : curve.points) {
    if (point.y) {
      values.push_back(*point.y);
    }
  }
  std::ranges::sort(values);
  return values;
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

// What has no unit that fits its size has one above the table.
std::string CellText(double value, std::string_view unit) {
  return IsScaled(unit) ? ValueText(value, unit) : NumberText(value);
}

std::string Caption(std::string_view what, std::string_view unit) {
  return IsScaled(unit) || unit.empty() ? std::string(what) : fmt::format("{}, in {}", what, unit);
}

Table SummaryOf(const std::vector<Curve>& curves, std::string_view unit) {
  Table table{Caption("Each curve", unit), {"", "lowest", "median", "mean", "highest"}, {}};
  for (const Curve& curve : curves) {
    const std::vector<double> values = SortedValues(curve);
    if (values.empty()) {
      table.rows.push_back({-1, {curve.name, "–", "–", "–", "–"}});
      continue;
    }
    table.rows.push_back(
        {-1,
         {curve.name, CellText(values.front(), unit), CellText(values[values.size() / 2], unit),
          CellText(MeanOf(values), unit), CellText(values.back(), unit)}});
  }
  return table;
}

// What a table of each curve says, as a sentence.
std::string DescriptionOf(const Table& summary, std::string_view against) {
  std::string text;
  for (const Table::Row& row : summary.rows) {
    text += fmt::format("{}{}: {} to {}, mean {}", text.empty() ? "" : "; ", row.cells[0],
                        row.cells[1], row.cells[4], row.cells[3]);
  }
  return fmt::format("{}. Against {}.", text, against);
}

// A row for each place on the x axis; the curves have the same ones.
Table NumbersOf(const Plot& plot, std::string x_head, std::string_view x_unit,
                std::string_view unit) {
  Table table{Caption("Point by point", unit), {std::move(x_head)}, {}};
  size_t rows = 0;
  for (const Curve& curve : plot.curves) {
    table.head.push_back(curve.name);
    rows = std::max(rows, curve.points.size());
  }
  for (size_t i = 0; i < rows; ++i) {
    Table::Row row;
    for (const Curve& curve : plot.curves) {
      const bool there = i < curve.points.size();
      if (there && row.cells.empty()) {
        row.at = plot.x.At(curve.points[i].x);
        row.cells.push_back(x_unit == "s" ? fmt::format("{:g}", curve.points[i].x)
                                          : ValueText(curve.points[i].x, x_unit));
      }
    }
    for (const Curve& curve : plot.curves) {
      const bool known = i < curve.points.size() && curve.points[i].y.has_value();
      row.cells.push_back(known ? CellText(*curve.points[i].y, unit) : "–");
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string Remark(const Panel& panel, size_t every) {
  if (every == 1) {
    return std::string(panel.remark);
  }
  return fmt::format("{}{}Each point is the {} of {} seconds.", panel.remark,
                     panel.remark.empty() ? "" : " ", panel.by_worst ? "worst" : "mean", every);
}

Figure SeriesFigure(const std::vector<const Series*>& members) {
  const Panel panel = PanelOf(members.front()->panel);
  const std::string& unit = members.front()->unit;
  size_t seconds = 0;
  for (const Series* series : members) {
    seconds = std::max(seconds, series->points.size());
  }
  const size_t every = std::max<size_t>(1, (seconds + Figure::kPointsMax - 1) / Figure::kPointsMax);
  std::vector<Curve> seconds_each;
  std::vector<Curve> curves;
  for (const Series* series : members) {
    seconds_each.push_back(Thinned(*series, 1, panel.by_worst));
    curves.push_back(Thinned(*series, every, panel.by_worst));
  }
  const Range range = RangeOf(curves);
  const double max = range.empty() ? 1 : range.max;
  const double min = range.empty() ? 0 : range.min;
  const bool is_log = panel.name == "lag" || panel.name == "latency";
  // Of other units the heading and the remark say what is counted.
  const std::string_view shown = IsScaled(unit) || unit == "1/s" ? std::string_view(unit) : "";
  const Axis y = is_log ? Axis::Log(range.min_positive, max, shown) : Axis::Linear(min, max, shown);
  Table summary = SummaryOf(seconds_each, unit);
  Plot plot{std::string(panel.heading),
            DescriptionOf(summary, "the seconds since the first post"),
            Axis::Time(static_cast<double>(seconds) - 1),
            y,
            "since the first post",
            Plot::Kind::kLines,
            std::move(curves)};
  Table numbers = NumbersOf(plot, "second", "s", unit);
  return {std::string(panel.heading), Remark(panel, every), std::move(plot), std::move(summary),
          std::move(numbers)};
}

// The values of each bucket stand from the percentile of the one before to its own.
Curve SpectrumCurve(const Spectrum& spectrum) {
  Curve curve{spectrum.name, {}};
  std::ranges::replace(curve.name, '_', ' ');
  uint64_t seen = 0;
  for (const auto& [value_max, count] : spectrum.buckets) {
    const auto value = static_cast<double>(std::min(value_max, spectrum.max));
    if (curve.points.empty()) {
      curve.points.push_back({0, value});
    }
    seen += count;
    curve.points.push_back(
        {100 * static_cast<double>(seen) / static_cast<double>(spectrum.count), value});
  }
  return curve;
}

// Against deliveries per second, in µs of CPU each.
std::vector<Curve> CostsBySecond(const Result& result) {
  std::vector<Curve> curves;
  const Series* const deliveries = FindSeries(result, kDeliveries);
  for (const std::string_view name : {"cpu_klatchd", "cpu_redis"}) {
    const Series* const cpu = FindSeries(result, name);
    if (deliveries == nullptr || cpu == nullptr) {
      continue;
    }
    Curve curve{CurveName(*cpu), {}};
    for (size_t i = 0; i < std::min(cpu->points.size(), deliveries->points.size()); ++i) {
      const double delivered = Drawable(deliveries->points[i]).value_or(0);
      if (delivered >= kDeliveriesMin) {
        curve.points.push_back({delivered, std::nullopt});
        if (const std::optional<double> cores = Drawable(cpu->points[i])) {
          curve.points.back().y = *cores / delivered * kMicrosecondsPerSecond;
        }
      }
    }
    std::ranges::stable_sort(curve.points, {}, &Curve::Point::x);
    curves.push_back(std::move(curve));
  }
  return curves;
}

// Neighbours on the x axis as one, by their means.
Curve Merged(const Curve& curve) {
  const size_t every =
      std::max<size_t>(1, (curve.points.size() + Figure::kPointsMax - 1) / Figure::kPointsMax);
  Curve merged{curve.name, {}};
  for (size_t begin = 0; begin < curve.points.size(); begin += every) {
    const size_t end = std::min(begin + every, curve.points.size());
    double x = 0;
    double y = 0;
    size_t known = 0;
    for (size_t i = begin; i < end; ++i) {
      x += curve.points[i].x;
      y += curve.points[i].y.value_or(0);
      known += curve.points[i].y ? 1 : 0;
    }
    Curve::Point point{x / static_cast<double>(end - begin), std::nullopt};
    if (known != 0) {
      point.y = y / static_cast<double>(known);
    }
    merged.points.push_back(point);
  }
  return merged;
}

// "klatchd" of "CPU of klatchd per delivery"; empty of any other cost.
std::string CpuOwner(const Cost& cost) {
  const bool is_one = cost.name.starts_with(kCpuOf) && cost.name.ends_with(kPerDelivery) &&
                      cost.name.size() > kCpuOf.size() + kPerDelivery.size() && cost.unit == "µs";
  return is_one ? cost.name.substr(kCpuOf.size(),
                                   cost.name.size() - kCpuOf.size() - kPerDelivery.size())
                : "";
}

// Against deliveries per post, a point of each result.
std::vector<Curve> CostsByResult(const std::vector<Result>& results) {
  std::vector<Curve> curves;
  for (const Result& result : results) {
    if (result.summary.published == 0) {
      continue;
    }
    const double size = static_cast<double>(result.summary.deliveries) /
                        static_cast<double>(result.summary.published);
    for (const Cost& cost : result.costs) {
      const std::string name = CpuOwner(cost);
      if (name.empty()) {
        continue;
      }
      auto curve = std::ranges::find(curves, name, &Curve::name);
      if (curve == curves.end()) {
        curve = curves.insert(curves.end(), Curve{name, {}});
      }
      curve->points.push_back({size, Drawable(cost.value)});
    }
  }
  for (Curve& curve : curves) {
    std::ranges::stable_sort(curve.points, {}, &Curve::Point::x);
  }
  return curves;
}

Figure CostFigure(std::vector<Curve> curves, std::string_view x_unit, std::string x_name,
                  std::string remark) {
  const Range x = RangeOfX(curves);
  const Range y = RangeOf(curves);
  Table summary = SummaryOf(curves, "µs");
  Plot plot{"Cost per delivery against size",
            DescriptionOf(summary, x_name),
            Axis::Fitting(x.min, x.max, x_unit),
            Axis::Linear(0, y.empty() ? 1 : y.max, "µs"),
            x_name,
            Plot::Kind::kPoints,
            std::move(curves)};
  Table numbers = NumbersOf(plot, std::move(x_name), x_unit, "µs");
  return {"Cost per delivery against size", std::move(remark), std::move(plot), std::move(summary),
          std::move(numbers)};
}

}  // namespace

std::vector<Figure> SeriesFigures(const Result& result) {
  // Panels in their order, the others behind; series of one panel and one unit together.
  std::vector<std::vector<const Series*>> groups;
  auto take = [&](auto wanted) {
    const size_t first = groups.size();
    for (const Series& series : result.series) {
      if (!wanted(series) || series.points.empty()) {
        continue;
      }
      const auto same = [&](const std::vector<const Series*>& group) {
        return group.front()->panel == series.panel && group.front()->unit == series.unit;
      };
      auto group = std::find_if(groups.begin() + static_cast<ptrdiff_t>(first), groups.end(), same);
      if (group == groups.end()) {
        group = groups.insert(groups.end(), std::vector<const Series*>());
      }
      group->push_back(&series);
    }
  };
  for (const Panel& panel : kPanels) {
    take([&panel](const Series& series) { return series.panel == panel.name; });
  }
  take([](const Series& series) {
    return std::ranges::find(kPanels, std::string_view(series.panel), &Panel::name) ==
           kPanels.end();
  });
  std::vector<Figure> figures;
  for (const std::vector<const Series*>& group : groups) {
    figures.push_back(SeriesFigure(group));
  }
  return figures;
}

std::vector<Figure> SpectrumFigures(const Result& result) {
  std::vector<Curve> curves;
  double count_max = 1;
  Table numbers{"Percentiles", {"percentile"}, {}};
  Table summary{"Each distribution", {"", "values", "mean", "measured"}, {}, 3};
  for (const Spectrum& spectrum : result.latencies) {
    if (spectrum.count != 0) {
      curves.push_back(SpectrumCurve(spectrum));
      count_max = std::max(count_max, static_cast<double>(spectrum.count));
      numbers.head.push_back(curves.back().name);
      summary.rows.push_back({-1,
                              {curves.back().name, WithThousands(spectrum.count),
                               ValueText(spectrum.mean, "µs"), spectrum.what}});
    }
  }
  if (curves.empty()) {
    return {};
  }
  const Range range = RangeOf(curves);
  Plot plot{"Latency spectrum",
            "",
            Axis::Percentiles(count_max),
            Axis::Log(range.min_positive, range.max, "µs"),
            "percentile: each step to the right leaves a tenth of the values beyond it",
            Plot::Kind::kLines,
            std::move(curves)};
  for (const double percent : kPercents) {
    Table::Row row{plot.x.At(percent), {fmt::format("{} %", percent)}};
    for (const Spectrum& spectrum : result.latencies) {
      if (spectrum.count != 0) {
        row.cells.push_back(ValueText(static_cast<double>(PercentileOf(spectrum, percent)), "µs"));
        if (percent == 99) {
          plot.description +=
              fmt::format("{}: median {}, 99 % within {}. ", spectrum.name,
                          ValueText(static_cast<double>(spectrum.p50), "µs"), row.cells.back());
        }
      }
    }
    numbers.rows.push_back(std::move(row));
  }
  return {{"Latency spectrum", "Both scales are logarithmic.", std::move(plot), std::move(summary),
           std::move(numbers)}};
}

std::vector<Figure> CostFigures(const std::vector<Result>& results) {
  std::vector<Curve> curves;
  if (results.size() == 1) {
    for (const Curve& curve : CostsBySecond(results.front())) {
      curves.push_back(Merged(curve));
    }
  } else {
    curves = CostsByResult(results);
  }
  std::erase_if(curves, [](const Curve& curve) { return curve.points.empty(); });
  if (curves.empty()) {
    return {};
  }
  if (results.size() == 1) {
    return {CostFigure(std::move(curves), "1/s", "deliveries per second",
                       "CPU that a delivery took, a point for each second.")};
  }
  return {CostFigure(std::move(curves), "", "deliveries per post",
                     "CPU that a delivery took, a point for each result.")};
}

}  // namespace klatch::load
