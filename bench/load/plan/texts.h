#pragma once
// Short status updates as people write them, from word lists of our own, so that a demo's timelines
// read like somebody's. The same seed and number give the same text, so nothing is kept to compare
// later.

#include <cstdint>
#include <string>

namespace klatch::load {

// Thread-safe.
std::string StatusText(uint64_t seed, uint64_t number);

}  // namespace klatch::load
