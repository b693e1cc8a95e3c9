#pragma once
// The servers that calls are measured against: one whose calls are empty, and one that answers
// ListHomeTimeline from a page that is ready as a protobuf message.

#include <atomic>
#include <string>

#include "common/base/status.h"

namespace klatch::versus {

constexpr char kServeEmpty[] = "empty";
// Followed by the path of a file with a serialised ListHomeTimelineResponse.
constexpr char kServePage[] = "page:";

// Serves until `interrupted`. INVALID_ARGUMENT: nothing of that name, or no such page. UNAVAILABLE: the
// address can't be listened on.
absl::Status ServePeer(const std::string& what, const std::string& listen,
                       const std::atomic<bool>& interrupted);

}  // namespace klatch::versus
