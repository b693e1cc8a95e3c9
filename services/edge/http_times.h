#pragma once
// How long a client of HTTP may take for each step. A value.

#include <chrono>

#include "services/model/limits.h"

namespace klatch {

struct HttpTimes {
  std::chrono::milliseconds head{limits::kHttpHeadTime};
  std::chrono::milliseconds body{limits::kHttpBodyTime};
  std::chrono::milliseconds idle{limits::kHttpIdleTime};
  std::chrono::milliseconds write{limits::kHttpWriteTime};
  std::chrono::milliseconds event{limits::kWatchStallMax};
  std::chrono::milliseconds linger{limits::kHttpLingerTime};
};

}  // namespace klatch
