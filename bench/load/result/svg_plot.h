#pragma once
// Plots of curves or points as a piece of HTML: the drawing is SVG that stretches to the width
// there is, the labels around it are text of the page, so that they stay readable on a phone.
//
//   Plot plot{.title = "Lag", .description = "…", .x = TimeAxis(120), .y = LogAxis(…), …};
//   page += PlotHtml(plot, "lag");
//
// How curves look is the style sheet's: classes c0 to c5 (colours) and d0 to d5 (dashes).
//
// Pure; any thread.
// Bound: what the caller gives: a point takes about a dozen bytes.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace klatch::load {

// For text from anywhere, in HTML and in its attributes.
std::string Escaped(std::string_view text);

// The classes of the curve of this number: two of the first 36 differ in colour or in dashes.
std::string CurveClasses(size_t number);

class Axis {
 public:
  struct Tick {
    double at = 0;  // part of the axis, from 0 to 1
    std::string label;
  };

  // From 0, or from the lowest value if that is negative, to the first tick above `max`.
  static Axis Linear(double min, double max, std::string_view unit);
  // The same, but from the last tick below `min`.
  static Axis Within(double min, double max, std::string_view unit);
  // Over the decades of positive values; what is lower than `min` stands at its lower end.
  static Axis Log(double min, double max, std::string_view unit);
  // Log if the values' range is so wide that a linear one would show the greatest alone, else
  // Within.
  static Axis Fitting(double min, double max, std::string_view unit);
  // From 0 to this many seconds, whatever the ticks.
  static Axis Time(double seconds);
  // As HdrHistogram's plotter has it: 0, 90 %, 99 %, … up to one of `count` values.
  static Axis Percentiles(double count);

  // Part of the axis, within [0, 1].
  double At(double value) const;
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  enum class Scale { kLinear, kLog, kPercentiles };
  Axis(Scale scale, double min, double max) : scale_(scale), min_(min), max_(max) {}
  // Where a value would be if the axis were linear.
  double Transformed(double value) const;
  void AddTick(double value, std::string label);

  Scale scale_;
  double min_;  // transformed
  double max_;
  std::vector<Tick> ticks_;
};

struct Curve {
  std::string name;
  struct Point {
    double x = 0;
    std::optional<double> y;  // none: the curve has a gap
  };
  std::vector<Point> points;
};

struct Plot {
  enum class Kind { kLines, kPoints };

  std::string title;
  std::string description;  // for who can't see it
  Axis x;
  Axis y;
  std::string x_name;  // "seconds since the first post"
  Kind kind = Kind::kLines;
  std::vector<Curve> curves;
};

// `id` is one on the page, of letters and digits and dashes.
std::string PlotHtml(const Plot& plot, std::string_view id);

// Names of the curves, each beside a piece of it.
std::string LegendHtml(const Plot& plot);

}  // namespace klatch::load
