#pragma once
// Klatch's whole way of a post, from gRPC to timelines in Redis, against those who write each
// follower's timeline to Redis one command after the other.
//
//   slice 1:  Klatch  list  sorted set  Mastodon  Misskey     one after the other, nothing beside
//   slice 2:  Klatch  list  …                                 what is not measured idles
//
// Rules: the same groups of 400 on both sides; every timeline full before the clock starts; the same
// redis-server with the same append-only file; the last answer, and Klatch's drain into Redis, inside
// the clock. Klatch's loads run with all their checks, behind the clock.
//
// Thread safety: one thread at a time.

#include <vector>

#include "bench/versus/figure.h"
#include "bench/versus/lab.h"

namespace klatch::versus {

// Of the keys of Family::kRedisPeers that the options want. RESOURCE_EXHAUSTED: too little memory.
absl::StatusOr<std::vector<Figure>> MeasureRedisPeers(Lab& lab);

}  // namespace klatch::versus
