#pragma once
// The commands that Klatch runs, in scripts and outside, and the check that the user of a
// connection may run them on Klatch's keys. Redis doesn't undo what a script wrote before it was
// refused a command, so a right that is missing must be found before the first post, not in the
// middle of it.
//
// Thread safety: any thread; blocking. Asked once per start.

#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/redis/connection.h"
#include "services/model/layout.h"

namespace klatch {

// PERMISSION_DENIED names the commands, or the keys, that the user lacks. The rights on keys are
// tried on one key of each kind.
absl::Status CheckRights(redis::Connection& connection, const Layout& layout);

// The names of the commands that are checked, sorted, each once. INFO is needed too, and asked for
// before (redis::Probe); CONFIG GET is used where it is allowed.
std::vector<std::string> NeededCommands(const Layout& layout);

}  // namespace klatch
