#include "services/log/log_end.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "common/redis/connection.h"

namespace klatch {

redis::Command LogEnd::Question(std::string stream) {
  return {"XREVRANGE", std::move(stream), "+", "-", "COUNT", "1"};
}

absl::StatusOr<Position> LogEnd::Decode(redis::ReplyView reply, ShardIndex shard,
                                        std::string_view stream) {
  KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(reply), stream));
  if (reply.size() == 0) {
    return Position();
  }
  const std::string_view id = reply[0][0].text();
  const std::optional<Position> position = Position::FromStreamId(id, shard);
  if (!position) {
    return base::Error(absl::StatusCode::kDataLoss,
                       fmt::format("log entry {} of {} is at no position", id, stream));
  }
  return *position;
}

base::Task<absl::StatusOr<Position>> LogEnd::Read(ShardIndex shard) {
  const std::string stream = keys_.Log(shard);
  redis::Command question = Question(stream);
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(question));
  const absl::StatusOr<redis::Reply> reply = co_await call;
  if (!reply.ok()) {
    co_return base::Annotate(reply.status(), "read the log's end");
  }
  co_return Decode(reply->view(), shard, stream);
}

}  // namespace klatch
