#pragma once
// Little-endian integers in byte strings: how stored rings, checkpoints and body headers are
// packed. No alignment is assumed. Readers take a position and check the length themselves.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace klatch::base {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed formats are little-endian");

template <typename Integer>
void AppendLittleEndian(std::string& out, Integer value) {
  char bytes[sizeof(Integer)];
  std::memcpy(bytes, &value, sizeof(Integer));
  out.append(bytes, sizeof(Integer));
}

// REQUIRES: offset + sizeof(Integer) <= bytes.size().
template <typename Integer>
Integer LoadLittleEndian(std::string_view bytes, size_t offset) {
  Integer value;
  std::memcpy(&value, bytes.data() + offset, sizeof(Integer));
  return value;
}

}  // namespace klatch::base
