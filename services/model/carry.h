#pragma once
// What became of a post to several groups in one of them: its carry. The 9 bytes under
// `carry:<group>:<id>` and in the table of the body's targets (body.h), integers little-endian.
//
//   offset  bytes  field
//   0       8      position of the carry in the group's shard; 0: not decided yet; from
//                  0xffffffffffffff00 on: refused, 0xffffffffffffffff less the reason
//   8       1      audience (klatch.v1.Audience) of the update there; 0 if not carried
//
// Thread safety: values; functions without state.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

enum class AudienceRule : uint8_t { kGroupDefault = 0, kMembersAtPosting = 1, kMembersNow = 2 };

// Why a group did not take an update, or has it no longer. The numbers are stored; scripts
// (log/scripts/posting.lua) have the same.
enum class CarryRefusal : uint8_t {
  kNone = 0,
  kNoGroup = 1,
  kNotMember = 2,
  kRoleTooLow = 3,
  // It was carried, and a moderator has taken it out of the group.
  kRemoved = 4,
  kClosed = 5,
};

struct Carry {
  Position position;  // zero unless carried
  AudienceRule audience = AudienceRule::kGroupDefault;
  CarryRefusal refusal = CarryRefusal::kNone;

  bool is_carried() const { return !position.is_zero(); }
  bool is_decided() const { return is_carried() || refusal != CarryRefusal::kNone; }
  bool operator==(const Carry&) const = default;
};

constexpr size_t kCarryBytes = 9;

std::string EncodeCarry(const Carry& carry);
// Nothing if the bytes are no carry.
std::optional<Carry> DecodeCarry(std::string_view bytes);

// One of the groups that an update was posted to.
struct Target {
  GroupId group;
  Carry carry;
};

}  // namespace klatch
