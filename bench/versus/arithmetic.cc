#include "bench/versus/arithmetic.h"

#include <algorithm>
#include <cmath>

namespace klatch::versus {

double Median(std::vector<double> values) {
  if (values.empty()) {
    return 0;
  }
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Spread SpreadOf(std::span<const double> values) {
  if (values.empty()) {
    return {};
  }
  const auto [low, high] = std::ranges::minmax(values);
  return {Median({values.begin(), values.end()}), low, high};
}

std::vector<double> RatiosOf(std::span<const double> numerators,
                             std::span<const double> denominators) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(numerators.size(), denominators.size()); ++i) {
    if (denominators[i] != 0) {
      ratios.push_back(numerators[i] / denominators[i]);
    }
  }
  return ratios;
}

double Percentile(std::vector<double> values, double percent) {
  if (values.empty()) {
    return 0;
  }
  std::ranges::sort(values);
  const auto rank =
      static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
  return values[std::max<size_t>(rank, 1) - 1];
}

// With weights 1 / cost², the normal equations of a straight line.
Line FitCost(std::span<const Point> points) {
  double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
  for (const Point& point : points) {
    if (point.cost <= 0) {
      continue;
    }
    const double weight = 1 / (point.cost * point.cost);
    w += weight;
    wx += weight * point.size;
    wy += weight * point.cost;
    wxx += weight * point.size * point.size;
    wxy += weight * point.size * point.cost;
  }
  const double determinant = w * wxx - wx * wx;
  if (determinant <= 1e-12 * w * wxx) {
    return {0, wxx == 0 ? 0 : wxy / wxx};
  }
  return {(wy * wxx - wx * wxy) / determinant, (w * wxy - wx * wy) / determinant};
}

}  // namespace klatch::versus
