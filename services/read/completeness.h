#pragma once
// What a page says about how much of the truth it holds (DESIGN: "Nothing is short in silence").
//
// Thread safety: functions over thread-safe parts.

#include <chrono>
#include <span>

#include "common/base/clock.h"
#include "klatch/v1/resources.pb.h"
#include "services/deliver/progress.h"
#include "services/model/position.h"
#include "services/read/applied_prefix.h"

namespace klatch {

// When the record at `position` was appended, in whole milliseconds.
google::protobuf::Timestamp TimeOf(Position position);

// complete_until and stale_shards of a page over `shards`. Call it before anything is looked at,
// with the prefix that was applied by then: what is applied later may be on the page, but is not
// promised. With no shards nothing is known, so nothing is said.
klatch::v1::Completeness CompletenessOf(std::span<const ShardIndex> shards,
                                        const AppliedPrefix& applied, const Progress& progress,
                                        const base::Clock& clock,
                                        std::chrono::milliseconds stale_limit);

// A hole's beginning as others than the owner of the timeline may know it: to the millisecond, with
// nothing in it of the update that was dropped, which they may not see. 0 stays 0.
uint64_t HoleForOthers(uint64_t since);

// The older one of two reports of "hole since", where 0 is none.
uint64_t OlderHole(uint64_t a, uint64_t b);

}  // namespace klatch
