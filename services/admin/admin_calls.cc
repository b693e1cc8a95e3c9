#include "services/admin/admin_calls.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/hash.h"
#include "services/accept/update_message.h"
#include "services/accept/validate.h"
#include "services/admin/status.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

constexpr size_t kRunBytes = 16;
constexpr size_t kBodiesPerRead = 100;

// Whose body goes with the record; zero if none does.
UpdateId BodyOf(const v1::LogEntry& entry) {
  if (entry.record().has_published() || entry.record().has_homed()) {
    return UpdateId(entry.position());
  }
  return UpdateId(entry.record().has_edited() ? entry.record().edited().update_id() : 0);
}

// Not set if it can't be decoded, which Bodies has counted or a page will.
void SetUpdate(UpdateId id, const Body& body, v1::LogEntry& entry) {
  absl::StatusOr<v1::Update> update = UpdateMessage(id, body);
  if (!update.ok()) {
    return;
  }
  for (const Target& target : body.header().targets) {
    if (target.carry.is_carried()) {
      update->add_groups(target.group.value());
    }
  }
  *entry.mutable_update() = *std::move(update);
}

// Leaves off from the end of the page what would make it larger than a page may be.
void CutToBytes(v1::ReadLogResponse& response) {
  size_t bytes = 0;
  int kept = 0;
  while (kept < response.entries_size()) {
    bytes += response.entries(kept).ByteSizeLong();
    if (bytes > limits::kLogPageBytesMax && kept > 0) {
      break;
    }
    ++kept;
  }
  response.mutable_entries()->DeleteSubrange(kept, response.entries_size() - kept);
}

}  // namespace

AdminCalls::AdminCalls(Dependencies dependencies)
    : d_(std::move(dependencies)),
      keys_(d_.layout),
      page_tokens_(d_.layout.name, d_.cursor_key),
      run_(base::RandomBytes(kRunBytes)),
      log_pages_(d_.redis, d_.layout),
      reader_(d_.redis, d_.layout, d_.people, d_.groups, d_.executor),
      polls_(d_.executor, d_.clock) {}

absl::Status AdminCalls::CheckOwner(PartitionIndex partition) const {
  return d_.ownership.Holds(partition, d_.clock.Monotonic())
             ? absl::OkStatus()
             : NotOwner("this node may not answer for these persons now");
}

// Answers without Redis, too: what the node itself knows is wanted most when that is away.
AdminCalls::Answer<v1::GetStatusResponse> AdminCalls::GetStatus(v1::GetStatusRequest request,
                                                                base::MonotonicTime /*deadline*/) {
  const absl::Status checked = CheckNamespace(request.namespace_(), d_.layout);
  if (!checked.ok()) {
    co_return checked;
  }
  auto reading = log_pages_.ReadFacts();
  const absl::StatusOr<std::vector<LogFacts>> logs = co_await std::move(reading);
  redis::Command question{"INFO"};
  redis::Pipeline::CallAwaiter asking = d_.redis.Call(std::move(question));
  const absl::StatusOr<redis::Reply> info = co_await asking;
  co_await d_.executor.Schedule();
  v1::GetStatusResponse status = StatusMessage(d_.node.Facts(), d_.clock.Monotonic());
  status.set_namespace_(d_.layout.name);
  status.set_partition_count(d_.layout.partition_count);
  for (uint32_t i = 0; i < d_.layout.shard_count; ++i) {
    const Position applied = d_.progress.Applied(ShardIndex(i));
    *status.add_shards() = ShardMessage(ShardIndex(i), applied, logs.ok() ? &(*logs)[i] : nullptr);
  }
  if (info.ok()) {
    ReadServerInfo(info->text(), *status.mutable_redis());
  }
  if (!logs.ok()) {
    status.add_reasons("the logs can't be read: " + base::MessageOf(logs.status()));
  }
  co_return status;
}

AdminCalls::Answer<v1::ReadLogResponse> AdminCalls::ReadLog(v1::ReadLogRequest request,
                                                            base::MonotonicTime /*deadline*/) {
  absl::Status checked = CheckNamespace(request.namespace_(), d_.layout);
  const Position after(request.after());
  if (checked.ok() && request.shard() >= d_.layout.shard_count) {
    checked = base::FieldError(absl::StatusCode::kInvalidArgument, "shard",
                               fmt::format("must be below {}", d_.layout.shard_count));
  }
  if (checked.ok() && !after.is_zero() &&
      (after.shard().value() != request.shard() || request.after() >> 63 != 0)) {
    checked = base::FieldError(absl::StatusCode::kInvalidArgument, "after",
                               "is no position of this shard");
  }
  const absl::StatusOr<int> size =
      CheckPageSize(request.page_size(), limits::kLogPageDefault, limits::kLogPageMax);
  checked.Update(size.status());
  if (!checked.ok()) {
    co_return checked;
  }
  auto reading = log_pages_.Read(ShardIndex(request.shard()), after, static_cast<size_t>(*size));
  absl::StatusOr<LogPage> page = co_await std::move(reading);
  if (!page.ok()) {
    co_return page.status();
  }
  v1::ReadLogResponse response;
  for (LogEntry& entry : page->entries) {
    v1::LogEntry& added = *response.add_entries();
    added.set_position(entry.position.value());
    *added.mutable_record() = std::move(entry.record);
  }
  if (request.with_bodies()) {
    auto adding = AddBodies(response);
    checked = co_await std::move(adding);
    if (!checked.ok()) {
      co_return checked;
    }
  }
  co_await d_.executor.Schedule();
  CutToBytes(response);
  response.set_oldest(page->facts.oldest.value());
  response.set_end(page->facts.end.value());
  response.set_trimmed(page->trimmed);
  // Nothing is left of what stood behind `after`: it goes on behind what was removed.
  const Position none = page->trimmed ? page->facts.end : after;
  response.set_next_after(response.entries().empty() ? none.value()
                                                     : response.entries().rbegin()->position());
  co_return response;
}

base::Task<absl::Status> AdminCalls::AddBodies(v1::ReadLogResponse& response) {
  size_t bytes = 0;
  for (int first = 0; first < response.entries_size();) {
    std::vector<UpdateId> ids;
    std::vector<int> places;
    int next = first;
    for (; next < response.entries_size() && ids.size() < kBodiesPerRead; ++next) {
      const UpdateId id = BodyOf(response.entries(next));
      if (!id.is_zero()) {
        ids.push_back(id);
        places.push_back(next);
      }
    }
    auto reading = d_.bodies.ReadBodies(ids);
    const absl::StatusOr<std::vector<std::shared_ptr<const Body>>> bodies =
        co_await std::move(reading);
    if (!bodies.ok()) {
      co_return bodies.status();
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      if ((*bodies)[i] != nullptr) {
        SetUpdate(ids[i], *(*bodies)[i], *response.mutable_entries(places[i]));
        bytes += (*bodies)[i]->stored().size();
      }
    }
    first = next;
    if (bytes > limits::kLogPageBytesMax) {
      // What follows would be left off in any case.
      response.mutable_entries()->DeleteSubrange(first, response.entries_size() - first);
    }
  }
  co_return absl::OkStatus();
}

}  // namespace klatch
