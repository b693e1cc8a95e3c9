#pragma once
// A stored update: the string under `update:<id>`. A fixed header that scripts can read, then the
// update as serialised klatch.v1.Update without the fields that the header or the id tells.
//
//   offset  bytes  field
//   0       1      format version, 1
//   1       1      audience (klatch.v1.Audience); 0 until the script fills in the group's default
//   2       4      revision: how often it was edited
//   6       1      length of author, A
//   7       1      length of group, G
//   8       A      author
//   8+A     G      group
//   8+A+G   …      serialised klatch.v1.Update: all that the header and the id don't tell
//
// Example, "hi" by "al" in "g": 01 02 00000000 02 01 'al' 'g' 1a02'al' 2201'g' 2a02'hi'.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "services/model/ids.h"

namespace klatch {

enum class AudienceRule : uint8_t { kGroupDefault = 0, kMembersAtPosting = 1, kMembersNow = 2 };

struct BodyHeader {
  AudienceRule audience = AudienceRule::kGroupDefault;
  uint32_t revision = 0;
  PersonId author;
  GroupId group;
};

std::string EncodeBody(const BodyHeader& header, std::string_view update_bytes);

// One update as it is held in memory: the stored string, its header decoded once. Immutable.
class Body {
 public:
  // Nothing if `stored` is cut short or of another version.
  static std::optional<Body> Decode(std::string stored);

  const BodyHeader& header() const { return header_; }
  // The serialised klatch.v1.Update.
  std::string_view update_bytes() const { return std::string_view(stored_).substr(update_offset_); }
  const std::string& stored() const { return stored_; }

 private:
  Body(BodyHeader header, std::string stored, size_t update_offset)
      : header_(std::move(header)), stored_(std::move(stored)), update_offset_(update_offset) {}

  BodyHeader header_;
  std::string stored_;
  size_t update_offset_;
};

}  // namespace klatch
