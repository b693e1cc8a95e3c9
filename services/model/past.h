#pragma once
// How far back the past of a group reaches by the ids of its updates. A post to several groups comes to
// a group after its id was given: usually by milliseconds, by more if the node that took it died.
//
// Thread safety: functions without state.

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "services/model/ids.h"
#include "services/model/limits.h"
#include "services/model/position.h"

namespace klatch {

// Who looks for updates of a group by their ids looks no further back than this.
constexpr uint64_t kCarriedLaterMsMax =
    std::chrono::duration_cast<std::chrono::milliseconds>(limits::kCarriedLaterMax).count();

// The lowest id that an update can have which a group took at a position or later. Never zero.
inline UpdateId OldestIdTakenFrom(Position position) {
  const uint64_t ms = position.ms() - std::min(position.ms(), kCarriedLaterMsMax);
  return std::max(UpdateId(ms, ShardIndex(0), 0), UpdateId(1));
}

}  // namespace klatch
