#include "services/log/redis_log_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "services/log/log_end.h"

namespace klatch {
namespace {

using absl::StatusCode;

// A blocked XREAD must answer before the connection gives it up.
constexpr std::chrono::milliseconds kWaitMargin{500};
constexpr size_t kLooksAtOnce = 1'000;

absl::Status DataLoss(std::string_view stream, std::string_view id, std::string_view what) {
  return base::Error(StatusCode::kDataLoss, fmt::format("log entry {} of {} {}", id, stream, what));
}

}  // namespace

absl::StatusOr<LogEntry> DecodeLogEntry(redis::ReplyView reply, ShardIndex shard,
                                        std::string_view stream) {
  const std::string_view id = reply[0].text();
  std::optional<Position> position = Position::FromStreamId(id, shard);
  if (!position) {
    return DataLoss(stream, id, "is at no position");
  }
  LogEntry entry;
  entry.position = *position;
  const redis::ReplyView fields = reply[1];
  if (fields.size() != 2 || fields[0].text() != "r") {
    return DataLoss(stream, id, "holds something else than a record");
  }
  const std::string_view bytes = fields[1].text();
  if (!entry.record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DataLoss(stream, id, "can't be decoded");
  }
  if (entry.record.event_case() == klatch::v1::LogRecord::EVENT_NOT_SET) {
    return DataLoss(stream, id, "holds an event that this version does not know");
  }
  return entry;
}

RedisLogReader::RedisLogReader(redis::Address address, const redis::Connection::Options& options,
                               const Layout& layout, LogClock& clock)
    : RedisLogReader([address = std::move(address),
                      options] { return redis::Connection::Connect(address, options); },
                     std::max(options.call_timeout - kWaitMargin, options.call_timeout / 2), layout,
                     clock) {}

RedisLogReader::RedisLogReader(redis::Connector connect, std::chrono::milliseconds wait_max,
                               const Layout& layout, LogClock& clock)
    : connect_(std::move(connect)),
      wait_max_(wait_max),
      shard_count_(layout.shard_count),
      clock_(clock),
      busy_streams_(layout.shard_count) {
  const Keys keys(layout);
  for (uint32_t shard = 0; shard < shard_count_; ++shard) {
    streams_.push_back(keys.Log(ShardIndex(shard)));
  }
}

absl::Status RedisLogReader::EnsureConnected() {
  if (connection_ == nullptr) {
    KLATCH_ASSIGN_OR_RETURN(connection_, connect_());
    return absl::OkStatus();
  }
  return connection_->connected() ? absl::OkStatus() : connection_->Reconnect();
}

redis::Command RedisLogReader::ReadCommand(std::span<const Position> after, size_t count,
                                           std::chrono::milliseconds wait) const {
  std::vector<std::string> args = {"XREAD", "COUNT", std::to_string(count)};
  wait = std::min(wait, wait_max_);
  if (wait.count() > 0) {  // BLOCK 0 would wait for ever
    args.push_back("BLOCK");
    args.push_back(std::to_string(wait.count()));
  }
  args.push_back("STREAMS");
  args.insert(args.end(), streams_.begin(), streams_.end());
  for (const Position& position : after) {
    args.push_back(position.ToStreamId());
  }
  return redis::Command(std::move(args));
}

absl::Status RedisLogReader::TakeStream(redis::ReplyView stream, size_t size_max,
                                        std::vector<LogEntry>& entries) const {
  const std::string_view name = stream[0].text();
  auto found = std::find(streams_.begin(), streams_.end(), name);
  if (found == streams_.end()) {
    return base::Error(StatusCode::kInternal, "XREAD answered a stream that was not asked for");
  }
  const ShardIndex shard(static_cast<uint32_t>(found - streams_.begin()));
  const redis::ReplyView records = stream[1];
  for (size_t i = 0; i < records.size() && entries.size() < size_max; ++i) {
    KLATCH_ASSIGN_OR_RETURN(LogEntry entry, DecodeLogEntry(records[i], shard, name));
    entries.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::Status RedisLogReader::Read(std::span<const Position> after, size_t entries_max,
                                  std::chrono::milliseconds wait, std::vector<LogEntry>& entries) {
  if (entries_max == 0) {
    return absl::OkStatus();
  }
  KLATCH_RETURN_IF_ERROR(base::Annotate(EnsureConnected(), "read the log"));
  const size_t count = std::max<size_t>(1, entries_max / busy_streams_);
  const redis::Command command = ReadCommand(after, count, wait);
  absl::StatusOr<redis::Reply> reply = connection_->Call(command);
  if (!reply.ok()) {
    return base::Annotate(reply.status(), "read the log");
  }
  const redis::ReplyView streams = reply->view();
  if (streams.is_nil()) {
    return absl::OkStatus();
  }
  busy_streams_ = std::max<size_t>(1, streams.size());
  const size_t before = entries.size();
  for (size_t i = 0; i < streams.size(); ++i) {
    // Streams beyond the bound are asked again: `after` moves only by what was returned, and next
    // time each of so many busy streams gets its part.
    absl::Status taken = TakeStream(streams[i], before + entries_max, entries);
    if (!taken.ok()) {
      entries.resize(before);
      return taken;
    }
  }
  const auto furthest = std::ranges::max_element(entries.begin() + static_cast<ptrdiff_t>(before),
                                                 entries.end(), {}, &LogEntry::position);
  if (furthest != entries.end()) {
    clock_.Note(furthest->position);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LogLook>> RedisLogReader::LookAt(std::span<const LogMark> marks) {
  KLATCH_RETURN_IF_ERROR(base::Annotate(EnsureConnected(), "look at the log"));
  std::vector<LogLook> looks;
  while (looks.size() < marks.size()) {
    const auto rest = marks.subspan(looks.size());
    KLATCH_RETURN_IF_ERROR(base::Annotate(
        LookAtSome(rest.first(std::min(rest.size(), kLooksAtOnce)), looks), "look at the log"));
  }
  return looks;
}

absl::Status RedisLogReader::LookAtSome(std::span<const LogMark> marks,
                                        std::vector<LogLook>& looks) {
  std::vector<redis::Command> commands;
  for (const LogMark& mark : marks) {
    const std::string& stream = streams_[mark.position.shard().value()];
    const std::string id = mark.position.ToStreamId();
    commands.push_back(redis::Command{"XREVRANGE", stream, id, id});
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> records, connection_->CallAll(commands));
  const size_t before = looks.size();
  std::vector<size_t> absent;
  commands.clear();
  for (size_t i = 0; i < marks.size(); ++i) {
    const ShardIndex shard = marks[i].position.shard();
    const std::string& stream = streams_[shard.value()];
    const redis::ReplyView found = records[i].view();
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(found), stream));
    LogLook look;
    if (found.size() != 0) {
      KLATCH_ASSIGN_OR_RETURN(const LogEntry entry, DecodeLogEntry(found[0], shard, stream));
      look = {.is_there = true, .nonce = entry.record.nonce(), .first = {}, .last = {}};
    } else {
      absent.push_back(before + i);
      // Commands that a node needs anyway: what its user may run stays as it is.
      commands.push_back(redis::Command{"XREAD", "COUNT", "1", "STREAMS", stream, "0"});
      commands.push_back(LogEnd::Question(stream));
    }
    looks.push_back(look);
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<redis::Reply> ends, connection_->CallAll(commands));
  for (size_t i = 0; i < absent.size(); ++i) {
    const ShardIndex shard = marks[absent[i] - before].position.shard();
    const std::string& stream = streams_[shard.value()];
    KLATCH_ASSIGN_OR_RETURN(looks[absent[i]].first, DecodeFirst(ends[2 * i].view(), shard));
    KLATCH_ASSIGN_OR_RETURN(looks[absent[i]].last,
                            LogEnd::Decode(ends[2 * i + 1].view(), shard, stream));
  }
  return absl::OkStatus();
}

absl::StatusOr<Position> RedisLogReader::DecodeFirst(redis::ReplyView reply,
                                                     ShardIndex shard) const {
  const std::string& stream = streams_[shard.value()];
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply), stream));
  if (reply.is_nil()) {
    return Position();
  }
  const std::string_view id = reply[0][1][0][0].text();
  const std::optional<Position> position = Position::FromStreamId(id, shard);
  if (!position) {
    return DataLoss(stream, id, "is at no position");
  }
  return *position;
}

absl::StatusOr<std::vector<Position>> RedisLogReader::LastPositions() {
  KLATCH_RETURN_IF_ERROR(base::Annotate(EnsureConnected(), "read the log's end"));
  std::vector<redis::Command> commands;
  for (const std::string& stream : streams_) {
    commands.push_back(LogEnd::Question(stream));
  }
  absl::StatusOr<std::vector<redis::Reply>> replies = connection_->CallAll(commands);
  if (!replies.ok()) {
    return base::Annotate(replies.status(), "read the log's end");
  }
  std::vector<Position> positions(shard_count_);
  for (uint32_t shard = 0; shard < shard_count_; ++shard) {
    KLATCH_ASSIGN_OR_RETURN(positions[shard], LogEnd::Decode((*replies)[shard].view(),
                                                             ShardIndex(shard), streams_[shard]));
    clock_.Note(positions[shard]);
  }
  return positions;
}

}  // namespace klatch
