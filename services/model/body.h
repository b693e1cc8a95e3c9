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
//
// Of a post to several groups, version 2: a table of its targets in the place of the group. Entries
// keep their size, so that settle.lua overwrites them where they stand.
//
//   0       1      format version, 2
//   1       1      audience in all groups; 0: in each the one of its carry
//   2       4      revision
//   6       1      length of author, A
//   7       1      number of targets, 1 to 100
//   8       A      author
//   8+A     …      per target: length of group 1, group, carry 9 (carry.h)
//   …       …      serialised klatch.v1.Update, without groups: who reads it is told only of those
//                  through which they see it

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/model/carry.h"
#include "services/model/ids.h"

namespace klatch {

// Later than any time: of what never expires by itself.
constexpr int64_t kNeverUnixMs = std::numeric_limits<int64_t>::max();

struct BodyHeader {
  AudienceRule audience = AudienceRule::kGroupDefault;
  uint32_t revision = 0;
  PersonId author;
  GroupId group;  // empty if there are targets
  // Of a post to several groups; empty for a post to one.
  std::vector<Target> targets = {};
  // From then on the update is gone, in milliseconds since 1970. Decode reads it off the update; it
  // is no part of the stored header.
  int64_t expire_unix_ms = kNeverUnixMs;

  bool is_of_several() const { return !targets.empty(); }
  // Of a carried target: who in its group may see the update.
  AudienceRule AudienceIn(const Target& target) const {
    return audience == AudienceRule::kGroupDefault ? target.carry.audience : audience;
  }
};

// REQUIRES: at most limits::kGroupsPerUpdateMax targets.
std::string EncodeBody(const BodyHeader& header, std::string_view update_bytes);

// Whether a stored body, or its first bytes, are of a post to several groups.
bool IsOfSeveral(std::string_view stored);

// One update as it is held in memory: the stored string, its header decoded once. Immutable.
class Body {
 public:
  // Nothing if `stored` is cut short or of another version.
  static std::optional<Body> Decode(std::string stored);

  const BodyHeader& header() const { return header_; }
  // The serialised klatch.v1.Update.
  std::string_view update_bytes() const { return std::string_view(stored_).substr(update_offset_); }
  const std::string& stored() const { return stored_; }

  // Whether it is known of every target if it was carried. Always of a post to one group.
  bool is_decided() const;
  // The same with these carries in the place of its targets' own, in their order. It is provisional:
  // good for the moment, not for keeping, since the stored body doesn't say so yet.
  // REQUIRES: one carry per target.
  Body WithCarries(std::span<const Carry> carries) const;
  bool is_provisional() const { return is_provisional_; }

 private:
  Body(BodyHeader header, std::string stored, size_t update_offset)
      : header_(std::move(header)), stored_(std::move(stored)), update_offset_(update_offset) {}

  BodyHeader header_;
  std::string stored_;
  size_t update_offset_;
  bool is_provisional_ = false;
};

}  // namespace klatch
