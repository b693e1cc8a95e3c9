#pragma once
// The ids of a timeline: decoding what is stored, and merging it with what is in memory. Pure
// functions.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "services/model/position.h"

namespace klatch {

struct TimelineIds {
  // Newest first, each once, at most the cap.
  std::vector<UpdateId> ids;
  // Older ones exist or existed.
  bool is_cut = false;
};

// The ids of a stored ring, in the order of its slots, empty slots left out. Bytes behind the last
// whole slot are ignored.
std::vector<UpdateId> DecodeStoredRing(std::string_view packed);

// The union, newest first, each id once, cut to the `cap` newest if there are more.
TimelineIds MergeIds(std::span<const UpdateId> a, std::span<const UpdateId> b, size_t cap);

// The part of `ids` that is less than `below`. REQUIRES: newest first.
std::span<const UpdateId> IdsBelow(std::span<const UpdateId> ids, UpdateId below);

}  // namespace klatch
