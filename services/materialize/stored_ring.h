#pragma once
// A timeline as Redis keeps it: a string of fixed slots of 8 bytes, each an update id
// (little-endian) or 0 for empty. Order in it means nothing; readers sort. It grows in steps, each
// into a string of its own: Redis allocates twice what a string needs that it lengthens in place
// (14,400 bytes of a full ring instead of 7,240). From the last step on it wraps around at a cursor
// that only the flusher knows.
//
//   slots:  [id][id][id][ 0][ 0]…     40, 110, 220, 440 or 880 slots
//                       ^ cursor
//
// Source of the sizes: the cap of 800 and a tenth more, so that ids that arrive a little out of
// order do not push a newer one out.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/model/stored_slots.h"

namespace klatch {

std::string PackIds(std::span<const uint64_t> ids);

// The ids in a stored ring, unsorted, empty slots left out; a remainder of less than a slot is
// ignored.
std::vector<uint64_t> UnpackIds(std::string_view stored);

// Sorts newest first, drops duplicates, keeps at most `cap`.
void KeepNewest(std::vector<uint64_t>& ids, size_t cap);

// A whole ring that holds `ids` (at most as many as its slots) in its first slots.
std::string PackRing(std::span<const uint64_t> ids, uint32_t slots);

}  // namespace klatch
