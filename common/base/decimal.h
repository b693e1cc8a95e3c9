#pragma once
// Numbers as Redis and its scripts write them.
//
// Thread safety: a function without state.

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace klatch::base {

// Nothing if `text` is not all digits, or its number doesn't fit.
inline std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace klatch::base
