#pragma once
// Times as messages have them and as Klatch counts them.
//
// Thread safety: functions without state.

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

namespace klatch {

// Whether it is one of the years 1 to 9999, as the type wants it.
inline bool IsValidTime(const google::protobuf::Timestamp& time) {
  constexpr int64_t kSecondsMin = -62'135'596'800;
  constexpr int64_t kSecondsMax = 253'402'300'799;
  constexpr int32_t kNanosMax = 999'999'999;
  return time.seconds() >= kSecondsMin && time.seconds() <= kSecondsMax && time.nanos() >= 0 &&
         time.nanos() <= kNanosMax;
}

// Whether it is one of at most 10,000 years, as the type wants it: nanoseconds have the seconds' sign.
inline bool IsValidDuration(const google::protobuf::Duration& duration) {
  constexpr int64_t kSecondsMax = 315'576'000'000;
  constexpr int32_t kNanosMax = 999'999'999;
  const bool is_of_one_sign = (duration.seconds() <= 0 || duration.nanos() >= 0) &&
                              (duration.seconds() >= 0 || duration.nanos() <= 0);
  return duration.seconds() >= -kSecondsMax && duration.seconds() <= kSecondsMax &&
         duration.nanos() >= -kNanosMax && duration.nanos() <= kNanosMax && is_of_one_sign;
}

// In whole milliseconds since 1970, rounded down. REQUIRES: a valid time.
inline int64_t UnixMsOf(const google::protobuf::Timestamp& time) {
  constexpr int64_t kMsPerSecond = 1'000;
  constexpr int64_t kNsPerMs = 1'000'000;
  return time.seconds() * kMsPerSecond + time.nanos() / kNsPerMs;
}

}  // namespace klatch
