#pragma once
// What versus measures: the keys, and one figure for each with where it comes from.
//
// Lifetime: plain values; the table of keys is a constant of the program. Any thread.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace klatch::versus {

// What is measured together, in one set-up.
enum class Family { kRedisPeers, kCore, kCalls, kLive, kLastMember, kGrowth, kRestart };

// Programs that a key needs beside klatchd and redis-server.
enum class Needs { kNothing, kKlatchd, kNats };

struct KeySpec {
  std::string_view key;
  Family family;
  Needs needs;
  std::string_view unit;  // "times" of a ratio
  // What is above the line and below it.
  std::string_view meaning;
  // A figure that is better when it is smaller.
  bool less_is_better = false;
};

// In the order in which they are printed.
std::span<const KeySpec> AllKeys();
// Null if there is no such key.
const KeySpec* FindKey(std::string_view key);

// One side of a ratio, or what a single figure was made of.
struct Side {
  std::string what;
  double value = 0;
  std::string unit;
};

// One key's result.
struct Figure {
  std::string key;
  // Nothing: not measured, for this reason.
  std::optional<double> value;
  std::string reason;
  // In this order: what was divided by what. Empty where nothing was measured.
  std::vector<Side> sides;
  // The same figure in each slice, where both sides alternate.
  std::vector<double> slices;
  // How long each side was timed, all slices together.
  double seconds = 0;
  std::vector<std::string> notes;
};

Figure NotMeasured(std::string_view key, std::string reason);

// Of two series measured in alternation: the median of the slices' ratios, sides at their medians.
// REQUIRES: the same number of slices in both, at least one.
Figure RatioFigure(std::string_view key, Side numerator, std::span<const double> numerators,
                   Side denominator, std::span<const double> denominators, double seconds);

// What a run was, for the head of its result.
struct RunFacts {
  bool quick = false;
  // Timed for less than a minute a side: too short to be believed.
  bool is_short = false;
  uint64_t seed = 0;
  uint32_t persons = 0;
  // No oracle of a load found a fault.
  bool green = true;
};

// One object on one line, without its line feed: each key with its value or null, then how it came
// about.
std::string ToJson(const RunFacts& facts, std::span<const Figure> figures);
// Several lines, each with its line feed.
std::string ForPeople(const RunFacts& facts, std::span<const Figure> figures);

}  // namespace klatch::versus
