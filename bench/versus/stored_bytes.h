#pragma once
// What a Redis that Klatch has filled holds, and what it spends on an entry of a timeline, bodies left
// out.

#include <cstdint>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// INTERNAL unless there are `persons` home timelines, and one in kSampleEvery of them has `cap` entries
// or more. Walks over all keys.
absl::Status CheckFull(const RedisHost& redis, uint64_t persons, uint32_t cap);

// `entries`: those of all home timelines, all full. Walks over all keys once; the memory of a kind of
// key is estimated from one in kSampleEvery. redis_bytes_per_entry.
absl::StatusOr<Figure> StoredBytesPerEntry(const RedisHost& redis, uint64_t entries);

// "timeline" of "{default:t3}:timeline:ann"; empty if the key is none of Klatch's.
std::string_view KindOfKey(std::string_view key);

}  // namespace klatch::versus
