#include "services/log/group_hash.h"

#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/decimal.h"
#include "services/model/limits.h"

namespace klatch::group_hash {
namespace {

// An enumerator that is stored as a decimal between `least` and `most`.
template <typename Enum>
std::optional<Enum> DecodeEnum(std::string_view text, Enum least, Enum most) {
  const auto value = base::ParseDecimal(text);
  if (!value || *value < static_cast<uint64_t>(least) || *value > static_cast<uint64_t>(most)) {
    return std::nullopt;
  }
  return static_cast<Enum>(*value);
}

// A decimal number; 0 if there is none.
std::optional<uint64_t> DecodeBound(redis::ReplyView value) {
  return value.is_nil() ? 0 : base::ParseDecimal(value.text());
}

}  // namespace

std::optional<GroupRetention> DecodeRetention(redis::ReplyView age, redis::ReplyView count,
                                              redis::ReplyView bytes) {
  const auto age_ms = DecodeBound(age);
  const auto count_bound = DecodeBound(count);
  const auto bytes_bound = DecodeBound(bytes);
  constexpr uint64_t kAgeMsMax = std::chrono::milliseconds(limits::kKeepAgeMax).count();
  if (!age_ms || *age_ms > kAgeMsMax || !count_bound || *count_bound > limits::kKeepCountMax ||
      !bytes_bound) {
    return std::nullopt;
  }
  return GroupRetention{std::chrono::milliseconds(*age_ms), static_cast<uint32_t>(*count_bound),
                        *bytes_bound};
}

std::optional<StoredGroup> Decode(redis::ReplyView values) {
  const auto history = DecodeEnum(values[3].text(), History::kNone, History::kLast);
  const auto audience =
      DecodeEnum(values[4].text(), AudienceRule::kMembersAtPosting, AudienceRule::kMembersNow);
  const auto members = base::ParseDecimal(values[5].text());
  const auto owners = base::ParseDecimal(values[6].text());
  const auto feed = base::ParseDecimal(values[7].text());
  const auto post_role = DecodeEnum(values[10].text(), Role::kMember, Role::kOwner);
  const auto add_role = DecodeEnum(values[11].text(), Role::kMember, Role::kOwner);
  const auto joining = DecodeEnum(values[12].text(), Joining::kByInvitation, Joining::kOpen);
  const auto history_count = base::ParseDecimal(values[13].text());
  const std::string_view closed = values[14].text();
  const auto retention = DecodeRetention(values[PlaceOf(kKeepAge)], values[PlaceOf(kKeepCount)],
                                         values[PlaceOf(kKeepBytes)]);
  if (!history || !audience || !members || !owners || !feed || values[8].text().size() != 8 ||
      !post_role || !add_role || !joining || !history_count ||
      *history_count > limits::kTimelineCap || (closed != "0" && closed != "1") || !retention) {
    return std::nullopt;
  }
  StoredGroup stored;
  stored.fields.display_name = std::string(values[1].text());
  stored.fields.description = std::string(values[2].text());
  stored.fields.history = *history;
  stored.fields.default_audience = *audience;
  stored.fields.post_role = *post_role;
  stored.fields.add_role = *add_role;
  stored.fields.joining = *joining;
  stored.fields.history_count = static_cast<uint32_t>(*history_count);
  stored.fields.closed = closed == "1";
  stored.fields.retention = *retention;
  stored.is_pulled = values[PlaceOf(kPulled)].text() == "1";
  stored.state = values[0].text() == kActive ? GroupState::kActive : GroupState::kDeleted;
  stored.member_count = *members;
  stored.owner_count = *owners;
  stored.feed_count = *feed;
  stored.created = Position(base::LoadLittleEndian<uint64_t>(values[8].text(), 0));
  if (values[9].text().size() == 8) {
    stored.deleted = Position(base::LoadLittleEndian<uint64_t>(values[9].text(), 0));
  }
  return stored;
}

}  // namespace klatch::group_hash
