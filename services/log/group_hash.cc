#include "services/log/group_hash.h"

#include <string>

#include "common/base/bytes.h"
#include "common/base/decimal.h"

namespace klatch::group_hash {
std::optional<StoredGroup> Decode(redis::ReplyView values) {
  const auto history = base::ParseDecimal(values[3].text());
  const auto audience = base::ParseDecimal(values[4].text());
  const auto members = base::ParseDecimal(values[5].text());
  const auto owners = base::ParseDecimal(values[6].text());
  const auto feed = base::ParseDecimal(values[7].text());
  if (!history || *history < 1 || *history > 2 || !audience || *audience < 1 || *audience > 2 ||
      !members || !owners || !feed || values[8].text().size() != 8) {
    return std::nullopt;
  }
  StoredGroup stored;
  stored.fields.display_name = std::string(values[1].text());
  stored.fields.description = std::string(values[2].text());
  stored.fields.history = static_cast<History>(*history);
  stored.fields.default_audience = static_cast<AudienceRule>(*audience);
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
