#pragma once
// What differs between two sides of results, and whether more than the noise.
//
// A measure of a side is a mean with an interval around it that has the truth in 99 of 100 cases:
//
//   several results   Student's interval of the mean of their values
//   one result        of a series: the same over the means of ten equal stretches of its seconds,
//                     which are long enough to forget each other where seconds are not; of a
//                     percentile: the values between the ranks that it may have if each second,
//                     not each call, is one observation, as what delays a call delays its
//                     neighbours
//
// There is a verdict only where the two intervals have nothing in common. That is stricter than 99
// of 100 for the difference, so that a few dozen measures together rarely have one that is wrong.
// One result says nothing of how runs differ, which is most of the noise: give several of each
// side, played alternately.
//
// Pure; any thread.

#include <optional>
#include <string>
#include <vector>

#include "bench/load/result/result.h"

namespace klatch::load {

struct Estimate {
  double value = 0;
  // None: too few to tell.
  struct Interval {
    double low = 0;
    double high = 0;
  };
  std::optional<Interval> interval;
  size_t samples = 0;
};

// From the values of independent samples. REQUIRES: at least one.
Estimate EstimateOf(const std::vector<double>& samples);

enum class Change { kNone, kBetter, kWorse };

struct Comparison {
  std::string name;
  std::string unit;
  bool higher_is_better = false;
  Estimate a;
  Estimate b;
  double ratio = 0;  // b to a; NaN of nothing to nothing
  // Of b against a. kNone: no difference that the noise lets one see.
  Change change = Change::kNone;

  // How much worse b is, in per cent of a; 0 without a verdict that says so.
  double PercentWorse() const;
};

struct Side {
  std::vector<std::string> files;
  std::vector<Result> results;
};

struct Comparisons {
  std::vector<Comparison> measures;  // those that both sides have
  // Why they may not be comparable, one line each.
  std::vector<std::string> warnings;
};

// REQUIRES: both sides have results.
Comparisons Compare(const Side& a, const Side& b);

// Several lines for people, each with its line feed.
std::string CompareText(const Comparisons& comparisons, const Side& a, const Side& b);
// One object, on one line.
std::string CompareJson(const Comparisons& comparisons, const Side& a, const Side& b);

}  // namespace klatch::load
