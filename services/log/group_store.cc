#include "services/log/group_store.h"

#include <fmt/format.h>

#include <charconv>

#include "common/base/bytes.h"
#include "common/redis/connection.h"
#include "services/log/group_hash.h"

namespace klatch {
namespace {

using absl::StatusCode;

absl::Status DataLoss(const std::string& key, std::string_view what) {
  return base::Error(StatusCode::kDataLoss, fmt::format("key {} {}", key, what));
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// Nothing if a field is missing or of a shape that the scripts don't write.
std::optional<StoredGroup> DecodeGroup(redis::ReplyView values, const GroupId& group) {
  const auto history = ParseNumber(values[3].text());
  const auto audience = ParseNumber(values[4].text());
  const auto members = ParseNumber(values[5].text());
  const auto owners = ParseNumber(values[6].text());
  const auto feed = ParseNumber(values[7].text());
  if (!history || *history < 1 || *history > 2 || !audience || *audience < 1 || *audience > 2 ||
      !members || !owners || !feed || values[8].text().size() != 8) {
    return std::nullopt;
  }
  StoredGroup stored;
  stored.fields = {group, std::string(values[1].text()), std::string(values[2].text()),
                   static_cast<History>(*history), static_cast<AudienceRule>(*audience)};
  stored.state =
      values[0].text() == group_hash::kActive ? GroupState::kActive : GroupState::kDeleted;
  stored.member_count = *members;
  stored.owner_count = *owners;
  stored.feed_count = *feed;
  stored.created = Position(base::LoadLittleEndian<uint64_t>(values[8].text(), 0));
  if (values[9].text().size() == 8) {
    stored.deleted = Position(base::LoadLittleEndian<uint64_t>(values[9].text(), 0));
  }
  return stored;
}

absl::StatusOr<MemberScan> DecodeScan(redis::ReplyView reply, const std::string& key) {
  MemberScan scan;
  const auto cursor = ParseNumber(reply[0].text());
  const redis::ReplyView pairs = reply[1];
  if (!cursor || pairs.size() % 2 != 0) {
    return DataLoss(key, "was scanned with an answer of unknown shape");
  }
  scan.next_cursor = *cursor;
  for (size_t i = 0; i < pairs.size(); i += 2) {
    std::optional<Stay> stay = DecodeStay(pairs[i + 1].text());
    if (!stay) {
      return DataLoss(key, "holds a stay that can't be decoded");
    }
    scan.members.push_back({PersonId(pairs[i].text()), *stay});
  }
  return scan;
}

}  // namespace

GroupStore::GroupStore(redis::Pipeline& pipeline, const Layout& layout)
    : pipeline_(pipeline), keys_(layout) {}

base::Task<absl::StatusOr<StoredGroup>> GroupStore::ReadGroup(GroupId group) {
  const std::string key = keys_.Group(group);
  redis::Command command{"HMGET",
                         key,
                         group_hash::kState,
                         group_hash::kDisplayName,
                         group_hash::kDescription,
                         group_hash::kHistory,
                         group_hash::kAudience,
                         group_hash::kMemberCount,
                         group_hash::kOwnerCount,
                         group_hash::kFeedCount,
                         group_hash::kCreated,
                         group_hash::kDeleted};
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  if ((*reply)[0].is_nil()) {
    co_return base::FieldError(StatusCode::kNotFound, "group", "does not exist");
  }
  std::optional<StoredGroup> stored = DecodeGroup(reply->view(), group);
  if (!stored) {
    co_return DataLoss(key, "holds a group that can't be decoded");
  }
  co_return std::move(*stored);
}

base::Task<absl::StatusOr<std::optional<Stay>>> GroupStore::ReadStay(PersonId person,
                                                                     GroupId group) {
  const std::string key = keys_.Members(group);
  redis::Command command{"HGET", key, person.value()};
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  std::optional<Stay> stay;
  if (!reply->is_nil()) {
    stay = DecodeStay(reply->text());
    if (!stay) {
      co_return DataLoss(key, "holds a stay that can't be decoded");
    }
  }
  co_return stay;
}

base::Task<absl::StatusOr<MemberScan>> GroupStore::ScanMembers(GroupId group, uint64_t cursor,
                                                               size_t count) {
  const std::string key = keys_.Members(group);
  redis::Command command{"HSCAN", key, std::to_string(cursor), "COUNT", std::to_string(count)};
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  co_return DecodeScan(reply->view(), key);
}

}  // namespace klatch
