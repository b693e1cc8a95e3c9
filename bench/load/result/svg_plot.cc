#include "bench/load/result/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "bench/load/result/value_text.h"

namespace klatch::load {
namespace {

constexpr double kWidth = 1000;
constexpr double kHeight = 500;
constexpr double kLinearTicks = 6;
constexpr double kTimeTicks = 7;
// More labels than these don't fit side by side on a phone.
constexpr size_t kLabelsMax = 6;
// A label this near to the end of the axis ends there, or it would stand out of the page.
constexpr double kEndPart = 0.02;
constexpr double kLogDecadesLabelled = 6;
// A linear axis shows what is a twentieth of it, less hardly.
constexpr double kLinearRangeMax = 20;
// What is smaller than this, beside the greatest, is nothing.
constexpr double kSmallestPart = 1e-9;
constexpr size_t kLooks = 6;
constexpr std::array<double, 3> kNice = {1, 2, 5};
constexpr double kMinute = 60;
constexpr double kHour = 3'600;
constexpr std::array<double, 16> kTimeSteps = {
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1'200, 1'800, 3'600, 7'200, 10'800, 21'600};

// The nearest of 1, 2, 5 · 10^n that is not below `value`. REQUIRES: value > 0.
double NiceAbove(double value) {
  const double decade = std::pow(10, std::floor(std::log10(value)));
  for (const double nice : kNice) {
    // A hair less is the same number, worked out another way.
    if (nice * decade >= value * (1 - 1e-9)) {
      return nice * decade;
    }
  }
  return 10 * decade;
}

double NiceBelow(double value) { return 1 / NiceAbove(1 / value); }

// What stands for a point of a curve that has no line: a dot, as the ends of a line of no length
// are round, or a bar, lying or upright.
std::string_view MarkOf(const Plot& plot, size_t number) {
  constexpr std::array<std::string_view, 3> kMarks = {"h0", "m-5 0h10", "m0 -9v18"};
  return plot.kind == Plot::Kind::kPoints ? kMarks[number % kMarks.size()] : kMarks[0];
}

std::string PathOf(const Plot& plot, size_t number) {
  const Curve& curve = plot.curves[number];
  std::string path;
  bool pen_is_down = false;
  for (const Curve::Point& point : curve.points) {
    if (!point.y) {
      pen_is_down = false;
      continue;
    }
    const double x = plot.x.At(point.x) * kWidth;
    const double y = (1 - plot.y.At(*point.y)) * kHeight;
    if (plot.kind == Plot::Kind::kLines && pen_is_down) {
      path += fmt::format("L{:.1f} {:.1f}", x, y);
    } else {
      path += fmt::format("M{:.1f} {:.1f}{}", x, y, MarkOf(plot, number));
    }
    pen_is_down = true;
  }
  return path;
}

std::string GridOf(const Plot& plot) {
  std::string path;
  for (const Axis::Tick& tick : plot.y.ticks()) {
    path += fmt::format("M0 {:.1f}H{:.0f}", (1 - tick.at) * kHeight, kWidth);
  }
  for (const Axis::Tick& tick : plot.x.ticks()) {
    path += fmt::format("M{:.1f} 0V{:.0f}", tick.at * kWidth, kHeight);
  }
  return fmt::format("<path class=\"grid\" d=\"{}\"/>", path);
}

// "10 ms" of "10.0 ms": ticks are round numbers.
std::string TickText(double value, std::string_view unit) {
  std::string text = ValueText(value, unit);
  const size_t point = text.find('.');
  if (point == std::string::npos) {
    return text;
  }
  const size_t end = std::min(text.find_first_not_of("0123456789", point + 1), text.size());
  const size_t last = text.find_last_not_of('0', end - 1);
  const size_t keep = last == point ? point : last + 1;
  return text.erase(keep, end - keep);
}

std::string TimeText(double seconds, double step) {
  if (seconds == 0 || step < kMinute) {
    return fmt::format("{:.0f} s", seconds);
  }
  return step < kHour ? fmt::format("{:.0f} min", seconds / kMinute)
                      : fmt::format("{:.0f} h", seconds / kHour);
}

std::string YLabels(const Axis& axis) {
  std::string text = "<div class=\"y\" aria-hidden=\"true\">";
  for (const Axis::Tick& tick : axis.ticks()) {
    text += fmt::format("<span style=\"top:{:.2f}%\">{}</span>", (1 - tick.at) * 100,
                        Escaped(tick.label));
  }
  return text + "</div>";
}

// Where there are many, every other one is left out where they don't fit.
std::string XLabels(const Axis& axis) {
  const std::vector<Axis::Tick>& ticks = axis.ticks();
  std::string text = "<div class=\"x\" aria-hidden=\"true\">";
  for (size_t i = 0; i < ticks.size(); ++i) {
    const bool spare = ticks.size() > kLabelsMax && i % 2 == 1;
    const bool at_end = ticks[i].at > 1 - kEndPart;
    text += fmt::format("<span{} style=\"left:{:.2f}%\">{}</span>",
                        spare    ? " class=\"spare\""
                        : at_end ? " class=\"end\""
                                 : "",
                        ticks[i].at * 100, Escaped(ticks[i].label));
  }
  return text + "</div>";
}

}  // namespace

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        // HTML has no place for most control characters.
        const bool control =
            (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == '\x7f';
        escaped += control ? "\xEF\xBF\xBD" : std::string(1, c);
    }
  }
  return escaped;
}

std::string CurveClasses(size_t number) {
  return fmt::format("c{} d{}", number % kLooks, (number + number / kLooks) % kLooks);
}

Axis Axis::Linear(double min, double max, std::string_view unit) {
  return Within(std::min(min, 0.0), max, unit);
}

Axis Axis::Within(double min, double max, std::string_view unit) {
  // Where all is the same there is a scale around it, and never more ticks than digits tell apart.
  const bool is_range = max - min > std::abs(min) * kSmallestPart;
  max = is_range ? max : min + std::max(std::abs(min) / kLinearRangeMax, 1.0);
  const double step = NiceAbove((max - min) / kLinearTicks);
  const double first = std::floor(min / step + 1e-9);
  const double last = std::ceil(max / step - 1e-9);
  Axis axis(Scale::kLinear, first * step, last * step);
  for (double i = first; i <= last; ++i) {
    axis.AddTick(i * step, TickText(i * step, unit));
  }
  return axis;
}

Axis Axis::Log(double min, double max, std::string_view unit) {
  if (!(max > kSmallestPart)) {
    return Linear(0, max, unit);
  }
  const double lowest = min > 0 ? std::min(min, max) : max / kLinearRangeMax;
  const double low = NiceBelow(std::max(lowest, max * kSmallestPart));
  const double high = std::max(NiceAbove(max), 2 * low);
  Axis axis(Scale::kLog, std::log10(low), std::log10(high));
  const double decades = axis.max_ - axis.min_;
  const double every = std::ceil(decades / kLogDecadesLabelled);
  for (double decade = std::floor(axis.min_); decade <= axis.max_; decade += every) {
    for (const double nice : kNice) {
      const double value = nice * std::pow(10, decade);
      const bool inside = value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9);
      if (inside && (nice == 1 || decades < 2)) {
        axis.AddTick(value, TickText(value, unit));
      }
    }
  }
  return axis;
}

Axis Axis::Fitting(double min, double max, std::string_view unit) {
  return min > 0 && max / min > kLinearRangeMax ? Log(min, max, unit) : Within(min, max, unit);
}

Axis Axis::Time(double seconds) {
  Axis axis(Scale::kLinear, 0, std::max(seconds, 1.0));
  const auto fits = [&axis](double step) { return axis.max_ / step <= kTimeTicks; };
  const auto* const found = std::ranges::find_if(kTimeSteps, fits);
  const double step = found != kTimeSteps.end() ? *found : kTimeSteps.back();
  for (double at = 0; at <= axis.max_; at += step) {
    axis.AddTick(at, TimeText(at, step));
  }
  return axis;
}

Axis Axis::Percentiles(double count) {
  Axis axis(Scale::kPercentiles, 0, std::max(1.0, std::ceil(std::log10(std::max(count, 1.0)))));
  axis.ticks_.push_back({0, "0 %"});
  double left = 10;  // per cent
  for (double nines = 1; nines <= axis.max_; ++nines, left /= 10) {
    const int digits = std::max(0, static_cast<int>(nines) - 2);
    axis.ticks_.push_back({nines / axis.max_, fmt::format("{:.{}f} %", 100 - left, digits)});
  }
  return axis;
}

double Axis::Transformed(double value) const {
  switch (scale_) {
    case Scale::kLinear:
      break;
    case Scale::kLog:
      return value > 0 ? std::log10(value) : min_;
    case Scale::kPercentiles:
      return value < 100 ? std::log10(100 / (100 - value)) : max_;
  }
  return value;
}

double Axis::At(double value) const {
  return std::clamp((Transformed(value) - min_) / (max_ - min_), 0.0, 1.0);
}

void Axis::AddTick(double value, std::string label) {
  ticks_.push_back({At(value), std::move(label)});
}

std::string PlotHtml(const Plot& plot, std::string_view id) {
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-labelledby=\"{}-title {}-desc\"><title id=\"{}-title\">{}</title><desc id=\"{}-desc\">"
      "{}</desc>{}",
      kWidth, kHeight, id, id, id, Escaped(plot.title), id, Escaped(plot.description),
      GridOf(plot));
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    svg += fmt::format("<path class=\"curve {}{}\" d=\"{}\"/>", CurveClasses(i),
                       plot.kind == Plot::Kind::kPoints ? " dots" : "", PathOf(plot, i));
  }
  return fmt::format(
      "<div class=\"plot\">{}<div class=\"area\">{}<path class=\"cursor\" d=\"\"/></svg></div>{}"
      "<div class=\"x-name\">{}</div></div>",
      YLabels(plot.y), svg, XLabels(plot.x), Escaped(plot.x_name));
}

std::string LegendHtml(const Plot& plot) {
  constexpr std::array<std::string_view, 3> kLegendMarks = {"h0", "m-3 0h6", "m0 -3v6"};
  std::string text = "<ul class=\"legend\">";
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    const bool dots = plot.kind == Plot::Kind::kPoints;
    text += fmt::format(
        "<li><svg viewBox=\"0 0 36 10\" aria-hidden=\"true\"><path class=\"curve {}{}\" "
        "d=\"{}\"/></svg>{}</li>",
        CurveClasses(i), dots ? " dots" : "",
        dots ? fmt::format("M8 5{0}M18 5{0}M28 5{0}", kLegendMarks[i % kLegendMarks.size()])
             : "M1 5H35",
        Escaped(plot.curves[i].name));
  }
  return text + "</ul>";
}

}  // namespace klatch::load
