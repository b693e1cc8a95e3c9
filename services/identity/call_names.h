#pragma once
// The calls of the API as a policy names them, "FeedService" for a whole service and
// "FeedService/PublishUpdate" for one, and as a set of them is kept. Read from the descriptors that are
// compiled in; each call has a request of its own type, named after it, which finds it.
//
// Thread safety: pure.

#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "google/protobuf/descriptor.h"

namespace klatch {

constexpr size_t kCallsMax = 64;
using CallSet = std::bitset<kCallsMax>;

// One call of the API.
struct CallName {
  size_t index = 0;  // in a CallSet
  std::string name;  // "FeedService/PublishUpdate"
  std::string path;  // "/klatch.v1.FeedService/PublishUpdate"
  const google::protobuf::Descriptor* request = nullptr;
  // Whoever makes it is one person, or several each named as an actor; else it acts for anybody.
  bool names_its_actor = false;
};

// All there are, by their index.
const std::vector<CallName>& AllCalls();

// REQUIRES: `request` is the request of a call.
const CallName& CallOf(const google::protobuf::Descriptor& request);

// The calls that `name` means; INVALID_ARGUMENT, reading after a field's name, if it means none.
absl::StatusOr<CallSet> CallsNamed(std::string_view name);

// The name of the first call of `calls` that acts for anybody; empty if all name who acts.
std::string FirstForAnybody(const CallSet& calls);

}  // namespace klatch
