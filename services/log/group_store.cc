#include "services/log/group_store.h"

#include "common/base/decimal.h"
#include "common/redis/connection.h"
#include "services/log/group_hash.h"

namespace klatch {
namespace {

using absl::StatusCode;

absl::StatusOr<MemberScan> DecodeScan(redis::ReplyView reply, const std::string& key) {
  MemberScan scan;
  const auto cursor = base::ParseDecimal(reply[0].text());
  const redis::ReplyView pairs = reply[1];
  if (!cursor || pairs.size() % 2 != 0) {
    return UnreadableKey(key, "was scanned with an answer of unknown shape");
  }
  scan.next_cursor = *cursor;
  for (size_t i = 0; i < pairs.size(); i += 2) {
    std::optional<Stay> stay = DecodeStay(pairs[i + 1].text());
    if (!stay) {
      return UnreadableKey(key, "holds a stay that can't be decoded");
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
  redis::Command command{"HMGET", key};
  command.args.insert(command.args.end(), group_hash::kAll.begin(), group_hash::kAll.end());
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  if ((*reply)[0].is_nil()) {
    co_return base::FieldError(StatusCode::kNotFound, "group", "does not exist");
  }
  std::optional<StoredGroup> stored = group_hash::Decode(reply->view());
  if (!stored) {
    co_return UnreadableKey(key, "holds a group that can't be decoded");
  }
  stored->fields.id = std::move(group);
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
      co_return UnreadableKey(key, "holds a stay that can't be decoded");
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
