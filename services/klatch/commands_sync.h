#pragma once
// `klatch group sync`: makes a group's members those of a list.
//
// One thread. Blocks for one call, which is repeated as Client does.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/klatch/session.h"

namespace klatch::cli {

struct SyncOptions {
  std::string group;
  uint64_t version = 0;
  std::vector<v1::Member> members;
};

// What was changed, for stdout.
absl::StatusOr<std::string> SyncMembers(const Session& session, const SyncOptions& options);

}  // namespace klatch::cli
