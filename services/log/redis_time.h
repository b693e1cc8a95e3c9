#pragma once
// What time it is where the log is written: what ages in Redis is measured by its clock.
//
// Thread safety: the connection's.

#include <cstdint>

#include "common/base/status.h"
#include "common/redis/connection.h"

namespace klatch {

// Whole milliseconds since 1970. The connection's errors; INTERNAL for an answer that is no time.
absl::StatusOr<int64_t> ReadRedisUnixMs(redis::Connection& redis);

}  // namespace klatch
