// The part of Loader that reads how groups deliver (services/log/scripts/delivery.lua writes it).

#include <fmt/format.h>

#include <optional>

#include "common/base/bytes.h"
#include "services/materialize/loader.h"

namespace klatch {
namespace {

constexpr size_t kPositionOffset = 1;
constexpr size_t kEntryBytesMin = kPositionOffset + sizeof(uint64_t) + 1;

struct StoredDelivery {
  bool is_pulled = false;
  Position switched;
};

// Nothing if it is nothing that the script writes.
std::optional<StoredDelivery> Decode(std::string_view entry) {
  if (entry.size() < kEntryBytesMin || (entry[0] != '1' && entry[0] != '2')) {
    return std::nullopt;
  }
  return StoredDelivery{entry[0] == '1',
                        Position(base::LoadLittleEndian<uint64_t>(entry, kPositionOffset))};
}

}  // namespace

absl::Status Loader::LoadDeliveries(const TellDelivery& tell) {
  std::vector<redis::Command> commands;
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    commands.push_back(redis::Command{"HGETALL", keys_.Pulled(ShardIndex(shard))});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> replies, redis_.CallAll(commands));
  for (size_t i = 0; i < replies.size(); ++i) {
    const std::string& key = commands[i].args[1];
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), key));
    for (size_t field = 0; field + 1 < replies[i].size(); field += 2) {
      const std::optional<StoredDelivery> stored = Decode(replies[i][field + 1].text());
      if (!stored) {
        return base::Error(absl::StatusCode::kDataLoss,
                           fmt::format("key {} holds a delivery that can't be decoded", key));
      }
      const auto group = groups_.FindOrAdd(GroupId(replies[i][field].text()));
      if (!group) {
        return NoRoomForGroup();
      }
      groups_.NoteDelivery(*group, stored->switched, stored->is_pulled);
      tell(*group, stored->is_pulled);
    }
  }
  return absl::OkStatus();
}

}  // namespace klatch
