#pragma once
// Whether bytes are UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above
// U+10FFFF.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace klatch::base {

namespace internal {

// The length of the well-formed character at the start of `bytes`, or 0. REQUIRES: not empty.
constexpr size_t Utf8CharacterBytes(std::string_view bytes) {
  auto byte = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  auto continues = [&](size_t i) { return i < bytes.size() && (byte(i) & 0xC0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xC2 && lead <= 0xDF) {
    return continues(1) ? 2 : 0;
  }
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!continues(1) || !continues(2)) {
      return 0;
    }
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) {
      return 0;
    }
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool beyond = lead == 0xF4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

}  // namespace internal

constexpr bool IsValidUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = internal::Utf8CharacterBytes(bytes);
    if (length == 0) {
      return false;
    }
    bytes.remove_prefix(length);
  }
  return true;
}

// The longest beginning of `bytes` that is valid UTF-8 and at most `bytes_max` long.
constexpr std::string_view Utf8Prefix(std::string_view bytes, size_t bytes_max) {
  size_t end = 0;
  while (end < bytes.size()) {
    const size_t length = internal::Utf8CharacterBytes(bytes.substr(end));
    if (length == 0 || end + length > bytes_max) {
      break;
    }
    end += length;
  }
  return bytes.substr(0, end);
}

}  // namespace klatch::base
