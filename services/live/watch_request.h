#pragma once
// What a client asks of a watch, checked: done where the request comes in, so that the live thread
// gets nothing that it would have to look at twice.
//
// Thread safety: functions without state; any thread.
// Errors: INVALID_ARGUMENT with the field; NOT_FOUND ("namespace").

#include <chrono>
#include <memory>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/model/ids.h"
#include "services/model/layout.h"
#include "services/model/position.h"
#include "services/model/watch_tokens.h"

namespace klatch {

// Persons to watch from one place on.
struct WatchAddition {
  std::vector<PersonId> persons;
  // Null: from now on. Shared by the persons, and with the thread that reads their timelines.
  std::shared_ptr<const WatchPlace> place;
  // To begin only when these are applied.
  std::vector<Token> tokens;
};

struct WatchChange {
  std::chrono::seconds heartbeat{};  // of the first change of a stream
  WatchAddition add;
  std::vector<PersonId> remove;
};

absl::StatusOr<WatchChange> CheckWatch(const v1::WatchHomeTimelineRequest& request,
                                       const Layout& layout, const WatchTokens& tokens);

// `is_first`: of its stream.
absl::StatusOr<WatchChange> CheckWatches(const v1::WatchHomeTimelinesRequest& request,
                                         bool is_first, const Layout& layout,
                                         const WatchTokens& tokens);

}  // namespace klatch
