#pragma once
// Whole numbers that a test takes from the environment, such as its seed, or how much of it to do.
//
//   const uint64_t pairs = setting::Number("KLATCH_PAIRS", 2, 1, 10'000);
//
// What is no number, or would have the test prove nothing, ends the program with 2 and a line that
// names the variable: taken for 0, it would pass.

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace klatch::setting {

// `otherwise` if the variable is not set.
inline uint64_t Number(const char* name, uint64_t otherwise, uint64_t least, uint64_t most) {
  const char* const text = std::getenv(name);
  if (text == nullptr) {
    return otherwise;
  }
  const std::string_view digits = text;
  const char* const end = digits.data() + digits.size();
  uint64_t value = 0;
  const auto [parsed, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || parsed != end || value < least || value > most) {
    std::fprintf(stderr, "%s is \"%s\", wants a whole number from %llu to %llu\n", name, text,
                 static_cast<unsigned long long>(least), static_cast<unsigned long long>(most));
    std::exit(2);
  }
  return value;
}

}  // namespace klatch::setting
