#pragma once
// One shown timeline against what was due: the pure part of the checker.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "bench/load/oracle/model.h"

namespace klatch::load {

// What an id is that was shown but is none of the posts that concern this timeline.
enum class Stray {
  kForeign,    // from before this run, of somebody else, or of a call that stayed undecided
  kDuplicate,  // the same post a second time, under another id
  kLeak,       // a post that the viewer must not see, or one that was refused
};
using ClassifyStray = std::function<Stray(uint64_t id)>;

struct Shown {
  std::span<const uint64_t> ids;  // in the order shown
  // The page says that older updates lie beyond what is kept.
  bool says_trimmed = false;
};

struct Differences {
  std::vector<uint64_t> lost;
  std::vector<uint64_t> duplicated;
  std::vector<uint64_t> leaked;
  // Visible, older than the newest `cap` due, and not shown; the page says so. If it does not, they
  // are lost.
  uint64_t trimmed = 0;
  bool out_of_order = false;
};

// `due` is newest first. Required are those of its newest `cap` that are visible; copies of what
// the viewer may no longer see count towards the cap, since a ring is filled when a post is
// delivered. Updates of others that are shown among them count as well.
Differences Compare(std::span<const DueUpdate> due, const Shown& shown, size_t cap,
                    const ClassifyStray& classify);

}  // namespace klatch::load
