#pragma once
// How many slots of 8 bytes a stored ring has, a person's or a group's: it is made whole in steps, since
// Redis allocates twice what a string needs that is lengthened in place. services/log/scripts/posting.lua
// says the same.
//
// Thread safety: pure.

#include <array>
#include <cstddef>
#include <cstdint>

#include "services/model/limits.h"

namespace klatch {

constexpr size_t kSlotBytes = 8;
inline constexpr std::array<uint32_t, 5> kStoredSlots = {40, 110, 220, 440,
                                                         limits::kStoredSlotsMax};

// The smallest step that holds `ids` ids; the last step if none does.
constexpr uint32_t StoredSlotsFor(size_t ids) {
  for (const uint32_t step : kStoredSlots) {
    if (ids <= step) {
      return step;
    }
  }
  return kStoredSlots.back();
}

}  // namespace klatch
