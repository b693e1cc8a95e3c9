#pragma once
// A person's stay in a group, and its packed form: the value of `members:<group>` (17 bytes) and,
// with the position of the last change behind it, of `groups:<person>` (25 bytes). Integers
// little-endian.
//
//   offset  bytes  field
//   0       1      role; 0: left (a tombstone, only in groups:<person>)
//   1       8      joined: position at which the current stay began
//   9       8      visible_from: position back to which the group's past is open; 0: all of it
//   17      8      position of the last change (groups:<person> only)

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "services/model/position.h"

namespace klatch {

// Values are klatch.v1.Role's.
enum class Role : uint8_t { kNone = 0, kReader = 1, kMember = 2, kModerator = 3, kOwner = 4 };

// Values are klatch.v1.History's.
enum class History : uint8_t { kNone = 1, kAll = 2, kLast = 3 };

struct Stay {
  Role role = Role::kNone;
  Position joined;
  Position visible_from;

  bool operator==(const Stay&) const = default;
};

constexpr size_t kStayBytes = 17;
constexpr size_t kViewBytes = 25;

inline std::string EncodeStay(const Stay& stay) {
  std::string out(1, static_cast<char>(stay.role));
  base::AppendLittleEndian<uint64_t>(out, stay.joined.value());
  base::AppendLittleEndian<uint64_t>(out, stay.visible_from.value());
  return out;
}

// Nothing if the bytes are too few or the role is unknown.
inline std::optional<Stay> DecodeStay(std::string_view bytes) {
  if (bytes.size() < kStayBytes || static_cast<uint8_t>(bytes[0]) > 4) {
    return std::nullopt;
  }
  return Stay{static_cast<Role>(bytes[0]), Position(base::LoadLittleEndian<uint64_t>(bytes, 1)),
              Position(base::LoadLittleEndian<uint64_t>(bytes, 9))};
}

}  // namespace klatch
