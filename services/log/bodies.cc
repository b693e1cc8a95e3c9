#include "services/log/bodies.h"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "common/base/bytes.h"
#include "common/redis/connection.h"
#include "klatch/v1/resources.pb.h"

namespace klatch {
namespace {

constexpr uint32_t kErrorLinesPerSecond = 1;

// Null for what is no body. Pages send the update as it is stored, so it is parsed here, once: a
// broken one would make every page unreadable that it stands on.
std::shared_ptr<const Body> DecodeBody(redis::ReplyView reply) {
  std::optional<Body> body = Body::Decode(std::string(reply.text()));
  if (!body) {
    return nullptr;
  }
  const std::string_view bytes = body->update_bytes();
  klatch::v1::Update update;
  if (!update.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return nullptr;
  }
  return std::make_shared<const Body>(std::move(*body));
}

}  // namespace

Bodies::Bodies(redis::Pipeline& pipeline, const Layout& layout)
    : pipeline_(pipeline), layout_(layout), keys_(layout), error_lines_(kErrorLinesPerSecond) {}

base::Task<absl::StatusOr<std::vector<UpdateId>>> Bodies::ReadFeed(GroupId group) {
  const std::string key = keys_.Feed(group);
  redis::Command command{"GET", key};
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  absl::StatusOr<redis::Reply> reply = co_await call;
  absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  const std::string_view ring = reply->text();
  if (ring.size() % sizeof(uint64_t) != 0) {
    co_return base::Error(absl::StatusCode::kDataLoss, fmt::format("key {} holds no feed", key));
  }
  std::vector<UpdateId> ids;
  ids.reserve(ring.size() / sizeof(uint64_t));
  for (size_t offset = 0; offset < ring.size(); offset += sizeof(uint64_t)) {
    const UpdateId id(base::LoadLittleEndian<uint64_t>(ring, offset));
    if (!id.is_zero()) {
      ids.push_back(id);
    }
  }
  co_return ids;
}

base::Task<absl::StatusOr<std::shared_ptr<const Body>>> Bodies::ReadBody(UpdateId id) {
  if (id.shard().value() >= layout_.shard_count) {
    co_return std::shared_ptr<const Body>();
  }
  const std::string key = keys_.Update(id);
  redis::Command command{"GET", key};
  redis::Pipeline::CallAwaiter call = pipeline_.Call(std::move(command));
  const absl::StatusOr<redis::Reply> reply = co_await call;
  const absl::Status status = reply.ok() ? redis::ToStatus(reply->view()) : reply.status();
  if (!status.ok()) {
    co_return base::Annotate(status, key);
  }
  if (reply->is_nil()) {
    co_return std::shared_ptr<const Body>();
  }
  std::shared_ptr<const Body> body = DecodeBody(reply->view());
  if (body == nullptr) {
    co_return base::Error(absl::StatusCode::kDataLoss, fmt::format("key {} holds no body", key));
  }
  co_return body;
}

base::Task<absl::StatusOr<std::vector<std::shared_ptr<const Body>>>> Bodies::ReadBodies(
    std::vector<UpdateId> ids) {
  std::vector<std::shared_ptr<const Body>> bodies(ids.size());
  // Which of `ids` each shard's MGET asks for. An id of a shard that does not exist has no body.
  std::map<ShardIndex, std::vector<size_t>> by_shard;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i].shard().value() < layout_.shard_count) {
      by_shard[ids[i].shard()].push_back(i);
    }
  }
  if (by_shard.empty()) {
    co_return bodies;
  }
  std::vector<redis::Command> commands;
  for (const auto& [shard, indexes] : by_shard) {
    redis::Command& command = commands.emplace_back();
    command.args.push_back("MGET");
    for (size_t index : indexes) {
      command.args.push_back(keys_.Update(ids[index]));
    }
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  redis::Pipeline::Replies replies = co_await call;
  if (!replies.ok()) {
    co_return base::Annotate(replies.status(), "read bodies");
  }
  size_t next = 0;
  for (const auto& [shard, indexes] : by_shard) {
    const redis::ReplyView reply = (*replies)[next++].view();
    if (reply.is_error()) {
      co_return base::Annotate(redis::ToStatus(reply), "read bodies");
    }
    for (size_t i = 0; i < indexes.size(); ++i) {
      if (reply[i].is_nil()) {
        continue;
      }
      bodies[indexes[i]] = DecodeBody(reply[i]);
      if (bodies[indexes[i]] == nullptr) {
        NoteUndecodable(ids[indexes[i]]);
      }
    }
  }
  co_return bodies;
}

void Bodies::NoteUndecodable(UpdateId id) {
  undecodable_.fetch_add(1, std::memory_order_relaxed);
  if (const auto suppressed = error_lines_.Admit(std::chrono::steady_clock::now())) {
    obs::Log(obs::Level::kError, "bodies", "a stored update can't be decoded; it is not shown",
             {{"key", keys_.Update(id)}, {"suppressed", *suppressed}});
  }
}

}  // namespace klatch
