#pragma once
// The result of a run: for people a short table and a verdict, for programs one JSON object.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/oracle/violations.h"

namespace klatch::load {

// What one path showed wrongly; a pair counts once for each that did.
struct PathCounts {
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t leaked = 0;
};

// The keys of the JSON object, as DESIGN "Contracts" defines them; behind them what watches went
// through, and the counts by path.
struct Summary {
  uint64_t persons = 0;
  uint64_t groups = 0;
  uint64_t published = 0;
  uint64_t unknown = 0;
  uint64_t trimmed = 0;
  uint64_t deliveries = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t leaked = 0;
  uint64_t publish_p50_us = 0;
  uint64_t publish_p99_us = 0;
  uint64_t visible_p50_us = 0;
  uint64_t visible_p99_us = 0;
  double seconds = 0;
  // Of watches: places where events may be missing, and goings on from a token.
  uint64_t gaps = 0;
  uint64_t resumes = 0;
  std::array<PathCounts, kSurfaces> paths = {};

  double DeliveriesPerSecond() const {
    return seconds > 0 ? static_cast<double>(deliveries) / seconds : 0;
  }
};

// What people want to know besides.
struct Circumstances {
  uint64_t memberships = 0;
  uint64_t seed = 0;
  uint32_t connections = 0;
  uint64_t departures = 0;
  uint64_t returns = 0;
  uint64_t revisions = 0;
  uint64_t refused_rightly = 0;
  uint64_t retries = 0;
  uint64_t shed = 0;  // refused as the node had too much to do, and given up
  uint64_t node_kills = 0;
  uint64_t several = 0;  // posts to several groups
  uint64_t quarrels = 0;
  uint64_t quiet = 0;  // persons who read nothing before the check
  uint64_t groups_to_flip = 0;
  uint64_t flips = 0;
  uint64_t watched = 0;
  uint64_t watch_shown = 0;
  uint64_t watch_paged = 0;  // came by a page behind a gap instead
  uint64_t visible_samples = 0;
  bool flushed = false;  // waited until everything was in Redis
  bool checked = false;  // false: interrupted, or nobody to read from
  // How many were read through the API, of how many.
  struct Share {
    uint64_t read = 0;
    uint64_t all = 0;
  };
  Share home_timelines;
  Share group_timelines;
  Share profiles;
  Share single_updates;
  Share departed;      // pairs of a group and somebody who left it
  Share stored_rings;  // in Redis
  uint64_t http_pages = 0;
  uint64_t other_violations = 0;
  std::vector<std::string> examples;
};

// One line, without its line feed.
std::string ToJson(const Summary& summary);

// The key of a path's counts in JSON: "home", "resumed_watch" …
std::string_view KeyOf(Surface surface);

// "1,234,567".
std::string WithThousands(uint64_t number);

// 950 µs, 1.23 ms, 4.5 s.
std::string LatencyText(uint64_t microseconds);

// A line of ForPeople; what is too long for it goes on in the next, indented.
std::string Row(std::string_view name, std::string_view text);

// Whether the promises were kept, in one line without its line feed.
std::string VerdictSentence(const Summary& summary, const Circumstances& circumstances);

// Several lines, each with its line feed. `measured` are lines of rates and latencies.
std::string ForPeople(const Summary& summary, const Circumstances& circumstances,
                      std::string_view measured);

}  // namespace klatch::load
