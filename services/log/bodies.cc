#include "services/log/bodies.h"

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

// Kept no longer, or deleted: an empty one stands for that.
bool IsNoBody(redis::ReplyView reply) {
  return reply.is_nil() || (reply.is_string() && reply.text().empty());
}

// A target of one of several bodies that is not decided, by its places.
struct OpenTarget {
  size_t body;
  size_t target;
};

using Found = std::vector<std::shared_ptr<const Body>>;

std::vector<OpenTarget> OpenTargetsOf(const Found& bodies) {
  std::vector<OpenTarget> open;
  for (size_t i = 0; i < bodies.size(); ++i) {
    if (bodies[i] == nullptr) {
      continue;
    }
    const std::vector<Target>& targets = bodies[i]->header().targets;
    for (size_t k = 0; k < targets.size(); ++k) {
      if (!targets[k].carry.is_decided()) {
        open.push_back({i, k});
      }
    }
  }
  return open;
}

const GroupId& GroupOf(const Found& bodies, const OpenTarget& target) {
  return bodies[target.body]->header().targets[target.target].group;
}

// All carries of the bodies with open targets, by the body's place.
std::map<size_t, std::vector<Carry>> CarriesOf(const Found& bodies,
                                               const std::vector<OpenTarget>& open) {
  std::map<size_t, std::vector<Carry>> carries;
  for (const OpenTarget& target : open) {
    std::vector<Carry>& own = carries[target.body];
    if (own.empty()) {
      for (const Target& each : bodies[target.body]->header().targets) {
        own.push_back(each.carry);
      }
    }
  }
  return carries;
}

absl::StatusOr<std::vector<UpdateId>> DecodeFeed(redis::ReplyView reply, const std::string& key) {
  const absl::Status status = redis::ToStatus(reply);
  if (!status.ok()) {
    return base::Annotate(status, key);
  }
  const std::string_view ring = reply.text();
  if (ring.size() % sizeof(uint64_t) != 0) {
    return UnreadableKey(key, "holds no feed");
  }
  std::vector<UpdateId> ids;
  ids.reserve(ring.size() / sizeof(uint64_t));
  for (size_t offset = 0; offset < ring.size(); offset += sizeof(uint64_t)) {
    const UpdateId id(base::LoadLittleEndian<uint64_t>(ring, offset));
    if (!id.is_zero()) {
      ids.push_back(id);
    }
  }
  return ids;
}

}  // namespace

Bodies::Bodies(redis::Pipeline& pipeline, const Layout& layout)
    : pipeline_(pipeline), layout_(layout), keys_(layout), error_lines_(kErrorLinesPerSecond) {}

base::Task<absl::StatusOr<std::vector<UpdateId>>> Bodies::ReadFeed(GroupId group) {
  std::vector<GroupId> groups(1, std::move(group));
  auto reading = ReadFeeds(std::move(groups));
  absl::StatusOr<std::vector<std::vector<UpdateId>>> feeds = co_await std::move(reading);
  if (!feeds.ok()) {
    co_return feeds.status();
  }
  co_return std::move(feeds->front());
}

base::Task<absl::StatusOr<std::vector<std::vector<UpdateId>>>> Bodies::ReadFeeds(
    std::vector<GroupId> groups) {
  std::vector<redis::Command> commands;
  commands.reserve(groups.size());
  for (const GroupId& group : groups) {
    commands.push_back(redis::Command{"GET", keys_.Feed(group)});
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  const redis::Pipeline::Replies replies = co_await call;
  if (!replies.ok()) {
    co_return base::Annotate(replies.status(), keys_.Feed(groups.front()));
  }
  std::vector<std::vector<UpdateId>> feeds;
  for (size_t i = 0; i < groups.size(); ++i) {
    absl::StatusOr<std::vector<UpdateId>> feed =
        DecodeFeed((*replies)[i].view(), keys_.Feed(groups[i]));
    if (!feed.ok()) {
      co_return feed.status();
    }
    feeds.push_back(*std::move(feed));
  }
  co_return feeds;
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
  if (IsNoBody(reply->view())) {
    co_return std::shared_ptr<const Body>();
  }
  std::shared_ptr<const Body> body = DecodeBody(reply->view());
  if (body == nullptr) {
    co_return UnreadableKey(key, "holds no body");
  }
  if (body->is_decided()) {
    co_return body;
  }
  const std::vector<UpdateId> ids(1, id);
  Found found(1, std::move(body));
  base::Task<absl::Status> deciding = Decide(ids, found);
  const absl::Status decided = co_await std::move(deciding);
  if (!decided.ok()) {
    co_return decided;
  }
  co_return std::move(found.front());
}

base::Task<absl::Status> Bodies::Decide(const std::vector<UpdateId>& ids, Found& bodies) {
  const std::vector<OpenTarget> open = OpenTargetsOf(bodies);
  std::map<ShardIndex, std::vector<OpenTarget>> by_shard;
  for (const OpenTarget& target : open) {
    by_shard[layout_.ShardOf(GroupOf(bodies, target))].push_back(target);
  }
  if (by_shard.empty()) {
    co_return absl::OkStatus();
  }
  std::vector<redis::Command> commands;
  for (const auto& [shard, targets] : by_shard) {
    redis::Command& command = commands.emplace_back();
    command.args.push_back("MGET");
    for (const OpenTarget& target : targets) {
      command.args.push_back(keys_.Carry(GroupOf(bodies, target), ids[target.body]));
    }
  }
  redis::Pipeline::CallAllAwaiter call = pipeline_.CallAll(std::move(commands));
  redis::Pipeline::Replies replies = co_await call;
  if (!replies.ok()) {
    co_return base::Annotate(replies.status(), "read carries");
  }
  std::map<size_t, std::vector<Carry>> carries = CarriesOf(bodies, open);
  size_t next = 0;
  for (const auto& [shard, targets] : by_shard) {
    const redis::ReplyView reply = (*replies)[next++].view();
    if (reply.is_error()) {
      co_return base::Annotate(redis::ToStatus(reply), "read carries");
    }
    for (size_t i = 0; i < targets.size(); ++i) {
      // What is no carry is none: the group is not shown to have the update.
      carries[targets[i].body][targets[i].target] = DecodeCarry(reply[i].text()).value_or(Carry{});
    }
  }
  for (const auto& [index, decided] : carries) {
    bodies[index] = std::make_shared<const Body>(bodies[index]->WithCarries(decided));
  }
  co_return absl::OkStatus();
}

base::Task<absl::StatusOr<std::vector<std::shared_ptr<const Body>>>> Bodies::ReadBodies(
    std::vector<UpdateId> ids, std::vector<UpdateId>* kept_no_longer) {
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
      if (reply[i].is_nil() && kept_no_longer != nullptr) {
        kept_no_longer->push_back(ids[indexes[i]]);
      }
      if (IsNoBody(reply[i])) {
        continue;
      }
      bodies[indexes[i]] = DecodeBody(reply[i]);
      if (bodies[indexes[i]] == nullptr) {
        NoteUndecodable(ids[indexes[i]]);
      }
    }
  }
  base::Task<absl::Status> deciding = Decide(ids, bodies);
  const absl::Status decided = co_await std::move(deciding);
  if (!decided.ok()) {
    co_return decided;
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
