#pragma once
// What the fuzzers share: their input by pieces, and what must hold.
//
// Thread safety: a fuzzer has one thread.

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace klatch::fuzz {

// Ends the program, which the fuzzer takes for a finding: a parser has told what is not so.
inline void Require(bool holds, std::string_view what) {
  if (!holds) {
    fmt::print(stderr, "does not hold: {}\n", what);
    std::abort();
  }
}

// Chooses by its first bytes, and parses the rest.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  // Below `count`; 0 when there is nothing left.
  uint32_t Choose(uint32_t count) {
    if (rest_.empty()) {
      return 0;
    }
    const uint32_t chosen = static_cast<uint8_t>(rest_[0]) % count;
    rest_.remove_prefix(1);
    return chosen;
  }
  // Up to the next line feed, which is passed over.
  std::string_view Line() {
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return line;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace klatch::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
