#include "services/model/carry.h"

#include <limits>

#include "common/base/bytes.h"

namespace klatch {
namespace {

constexpr uint64_t kRefusedBase = std::numeric_limits<uint64_t>::max();
// Positions have 63 bits.
constexpr uint64_t kRefusedBit = uint64_t{1} << 63;

}  // namespace

std::string EncodeCarry(const Carry& carry) {
  const uint64_t value = carry.refusal == CarryRefusal::kNone
                             ? carry.position.value()
                             : kRefusedBase - static_cast<uint64_t>(carry.refusal);
  std::string bytes;
  base::AppendLittleEndian<uint64_t>(bytes, value);
  bytes.push_back(static_cast<char>(carry.audience));
  return bytes;
}

std::optional<Carry> DecodeCarry(std::string_view bytes) {
  if (bytes.size() != kCarryBytes) {
    return std::nullopt;
  }
  const uint64_t value = base::LoadLittleEndian<uint64_t>(bytes, 0);
  const uint8_t audience = static_cast<uint8_t>(bytes[8]);
  if ((value & kRefusedBit) != 0) {
    const uint64_t reason = kRefusedBase - value;
    if (reason < 1 || reason > static_cast<uint64_t>(CarryRefusal::kClosed) || audience != 0) {
      return std::nullopt;
    }
    return Carry{.position = {},
                 .audience = AudienceRule::kGroupDefault,
                 .refusal = static_cast<CarryRefusal>(reason)};
  }
  // What is carried has an audience, what is not decided has none.
  if ((audience == 0) != (value == 0) ||
      audience > static_cast<uint8_t>(AudienceRule::kMembersNow)) {
    return std::nullopt;
  }
  return Carry{Position(value), static_cast<AudienceRule>(audience), CarryRefusal::kNone};
}

}  // namespace klatch
