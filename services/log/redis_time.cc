#include "services/log/redis_time.h"

#include "common/base/decimal.h"

namespace klatch {

absl::StatusOr<int64_t> ReadRedisUnixMs(redis::Connection& redis) {
  KLATCH_ASSIGN_OR_RETURN(const redis::Reply time, redis.Call(redis::Command{"TIME"}));
  const auto seconds = base::ParseDecimal(time[0].text());
  const auto micros = base::ParseDecimal(time[1].text());
  if (!seconds || !micros) {
    return base::Error(absl::StatusCode::kInternal, "Redis told no time");
  }
  return static_cast<int64_t>(*seconds * 1'000 + *micros / 1'000);
}

}  // namespace klatch
