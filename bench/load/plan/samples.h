#pragma once
// Which posts of the plan are samples of visibility: one of every so many consecutive numbers,
// drawn by the seed beforehand, so that neither the server's speed nor the threads choose them.
//
// Thread safety: any thread; immutable.

#include <algorithm>
#include <cstdint>

#include "bench/load/plan/random.h"

namespace klatch::load {

class Samples {
 public:
  // `count` samples among about `posts` posts. REQUIRES: count <= posts.
  Samples(uint64_t count, uint64_t posts, uint64_t seed)
      : count_(count), every_(count == 0 ? 1 : std::max<uint64_t>(1, posts / count)), seed_(seed) {}

  uint64_t count() const { return count_; }
  // The number in the plan. REQUIRES: sample < count.
  uint64_t NumberOf(uint64_t sample) const {
    return sample * every_ + Random(Mix(seed_) ^ sample).Below(every_);
  }
  bool Contains(uint64_t number) const {
    uint64_t sample = number / every_;
    return sample < count_ && number == NumberOf(sample);
  }

 private:
  const uint64_t count_;
  const uint64_t every_;
  const uint64_t seed_;
};

}  // namespace klatch::load
