#pragma once
// The few sums that versus makes of what it has measured. Pure functions; any thread.

#include <cstddef>
#include <span>
#include <vector>

namespace klatch::versus {

// The value in the middle; of an even number the mean of both. 0 if there are none.
double Median(std::vector<double> values);

struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};
// 0 throughout if there are no values.
Spread SpreadOf(std::span<const double> values);

// numerators[i] / denominators[i] for each pair; a pair whose denominator is 0 is left out. What is
// longer is cut.
std::vector<double> RatiosOf(std::span<const double> numerators,
                             std::span<const double> denominators);

// The value at or below which `percent` of the values lie (nearest rank). 0 if there are none.
// REQUIRES: 0 <= percent <= 100.
double Percentile(std::vector<double> values, double percent);

struct Point {
  double size = 0;  // n
  double cost = 0;
};
struct Line {
  double per_post = 0;      // a
  double per_delivery = 0;  // b
};
// cost = a + b * size, the sum of the squares of the relative errors being least: sizes that differ by
// powers of ten count alike. Fewer than two different sizes: a line through the origin.
Line FitCost(std::span<const Point> points);

}  // namespace klatch::versus
