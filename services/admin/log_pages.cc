#include "services/admin/log_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/redis/connection.h"
#include "services/log/redis_log_reader.h"

namespace klatch {
namespace {

redis::Command Question(const std::string& stream) { return {"XINFO", "STREAM", stream}; }

}  // namespace

absl::StatusOr<LogFacts> DecodeLogFacts(redis::ReplyView reply, ShardIndex shard,
                                        std::string_view stream) {
  LogFacts facts;
  if (reply.is_error() && reply.text().starts_with("ERR no such key")) {
    return facts;
  }
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply), stream));
  uint64_t added = 0;
  for (size_t i = 0; i + 1 < reply.size(); i += 2) {
    const std::string_view name = reply[i].text();
    const redis::ReplyView value = reply[i + 1];
    if (name == "length") {
      facts.records = static_cast<uint64_t>(value.integer());
    } else if (name == "entries-added") {
      added = static_cast<uint64_t>(value.integer());
    } else if (name == "last-generated-id") {
      facts.end = Position::FromStreamId(value.text(), shard).value_or(Position());
    } else if (name == "first-entry") {
      facts.oldest = Position::FromStreamId(value[0].text(), shard).value_or(Position());
    }
  }
  facts.removed = std::max(added, facts.records) - facts.records;
  return facts;
}

LogPages::LogPages(redis::Pipeline& pipeline, const Layout& layout)
    : pipeline_(pipeline), layout_(layout), keys_(layout) {}

base::Task<absl::StatusOr<std::vector<LogFacts>>> LogPages::ReadFacts() {
  std::vector<redis::Command> commands;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const std::string stream = keys_.Log(ShardIndex(i));
    commands.push_back(Question(stream));
    commands.push_back(redis::Command{"MEMORY", "USAGE", stream});
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  const redis::Pipeline::Replies replies = co_await call;
  if (!replies.ok()) {
    co_return base::Annotate(replies.status(), "read the logs' facts");
  }
  std::vector<LogFacts> facts;
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    const ShardIndex shard(i);
    absl::StatusOr<LogFacts> one =
        DecodeLogFacts((*replies)[2 * i].view(), shard, keys_.Log(shard));
    if (!one.ok()) {
      co_return one.status();
    }
    one->bytes = static_cast<uint64_t>((*replies)[2 * i + 1].integer());
    facts.push_back(*one);
  }
  co_return facts;
}

// The facts are asked for behind the records: what was removed before these were read is then known
// to be, so that a gap is never passed over.
base::Task<absl::StatusOr<LogPage>> LogPages::Read(ShardIndex shard, Position after, size_t count) {
  const std::string stream = keys_.Log(shard);
  std::vector<redis::Command> commands;
  commands.push_back(redis::Command{"XREAD", "COUNT", std::to_string(count), "STREAMS", stream,
                                    after.ToStreamId()});
  commands.push_back(Question(stream));
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  const redis::Pipeline::Replies replies = co_await call;
  absl::Status status = replies.ok() ? redis::ToStatus((*replies)[0].view()) : replies.status();
  if (!status.ok()) {
    co_return base::Annotate(status, stream);
  }
  LogPage page;
  const redis::ReplyView records = (*replies)[0][0][1];
  for (size_t i = 0; i < records.size(); ++i) {
    absl::StatusOr<LogEntry> entry = DecodeLogEntry(records[i], shard, stream);
    if (!entry.ok()) {
      co_return entry.status();
    }
    page.entries.push_back(*std::move(entry));
  }
  absl::StatusOr<LogFacts> facts = DecodeLogFacts((*replies)[1].view(), shard, stream);
  if (!facts.ok()) {
    co_return facts.status();
  }
  page.facts = *facts;
  const Position oldest = facts->oldest.is_zero() ? facts->end : facts->oldest;
  page.trimmed = facts->removed > 0 && after < oldest;
  co_return page;
}

}  // namespace klatch
