#include "services/klatchd/redis_rights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/model/keys.h"

namespace klatch {
namespace {

// ARGV: for each command the number of its words, then the words. Answers the numbers, from 1, of
// the commands that the caller may not run.
const redis::Script& Script() {
  static const redis::Script script("check_rights", R"lua(
local denied = {}
local a, number = 1, 0
while a <= #ARGV do
  local count = tonumber(ARGV[a])
  number = number + 1
  if not redis.acl_check_cmd(unpack(ARGV, a + 1, a + count)) then
    denied[#denied + 1] = number
  end
  a = a + 1 + count
end
return denied
)lua");
  return script;
}

using Words = std::vector<std::string>;

// What the log's scripts and readers run, in a shard's slot.
std::vector<Words> ShardCommands(const Keys& keys) {
  const ShardIndex shard(0);
  const PersonId person("p");
  const GroupId group("g");
  const std::string log = keys.Log(shard);
  const std::string hash = keys.Group(group);
  const std::string update = keys.Update(UpdateId(1));
  const std::string once = keys.Once(person, group, "k");
  const std::string feed = keys.Feed(group);
  return {
      {"XADD", log, "*", "r", ""},
      {"XDEL", log, "0-1"},
      {"XREAD", "COUNT", "1", "BLOCK", "1", "STREAMS", log, "0"},
      {"XREVRANGE", log, "+", "-", "COUNT", "1"},
      {"XINFO", "STREAM", log},
      {"XTRIM", log, "MINID", "~", "0-1"},
      {"MEMORY", "USAGE", log},
      {"PERSIST", log},
      {"WATCH", log},
      {"UNWATCH"},
      {"SADD", keys.Groups(shard), "g"},
      {"SREM", keys.Groups(shard), "g"},
      {"SISMEMBER", keys.Groups(shard), "g"},
      {"SSCAN", keys.Groups(shard), "0"},
      {"HGET", hash, "s"},
      {"HMGET", hash, "s"},
      {"HSET", hash, "s", ""},
      {"HDEL", keys.Members(group), "p"},
      {"HLEN", keys.Members(group)},
      {"HGET", keys.Pulled(shard), "g"},
      {"HSET", keys.Pulled(shard), "g", ""},
      {"HDEL", keys.Pulled(shard), "g"},
      {"HGETALL", keys.Pulled(shard)},
      {"HSCAN", keys.Members(group), "0"},
      {"HEXISTS", keys.Kept(shard), "g"},
      {"HSETNX", keys.Kept(shard), "g", ""},
      {"GET", once},
      {"SET", once, "", "PX", "1"},
      {"SETRANGE", feed, "0", ""},
      {"STRLEN", feed},
      {"UNLINK", feed},
      {"MGET", update},
      {"EXISTS", once},
      {"GETRANGE", update, "0", "1"},
      {"SET", update, "", "PX", "1"},
      {"DEL", update},
      {"ZADD", keys.Pending(shard), "0", ""},
      {"ZREM", keys.Pending(shard), ""},
      {"ZCARD", keys.Pending(shard)},
      {"ZSCORE", keys.Pending(shard), ""},
      {"ZRANGEBYSCORE", keys.Pending(shard), "-inf", "0"},
  };
}

// What flushers, loaders and leases run, in a partition's slot; and the namespace's facts.
std::vector<Words> PartitionCommands(const Keys& keys) {
  const PartitionIndex partition(0);
  const PersonId person("p");
  const std::string views = keys.PersonGroups(person);
  return {
      {"EXISTS", keys.Namespace()},
      {"HSET", keys.Namespace(), "format", ""},
      {"SET", keys.CopyMark(), "", "PX", "1"},
      {"PEXPIRE", keys.CopyMark(), "1"},
      {"WAIT", "0", "1"},
      {"TIME"},
      {"HSET", keys.Lease(partition), "nonce", ""},
      {"WATCH", keys.Lease(partition)},
      {"MULTI"},
      {"EXEC"},
      {"SET", keys.Checkpoint(partition), ""},
      {"SSCAN", keys.Persons(partition), "0"},
      {"SADD", keys.Persons(partition), "p"},
      {"HSET", keys.Holes(partition), "p", ""},
      {"HDEL", keys.Holes(partition), "p"},
      {"HSET", keys.Quiet(partition), "p", ""},
      {"HDEL", keys.Quiet(partition), "p"},
      {"SSCAN", keys.Personal(partition), "0"},
      {"SADD", keys.Personal(partition), "p"},
      {"SREM", keys.Personal(partition), "p"},
      {"SISMEMBER", keys.Blocks(person), "p"},
      {"SMISMEMBER", keys.Blocks(person), "p"},
      {"EXISTS", keys.Mutes(person)},
      {"HLEN", keys.PersonHash(person)},
      {"HGETALL", views},
      {"HSET", views, "g", ""},
      {"HDEL", views, "g"},
      {"SETRANGE", keys.Timeline(person), "0", ""},
      {"SET", keys.Posts(person), ""},
      {"GET", keys.Timeline(person)},
      {"EVAL", "", "1", keys.Lease(partition)},
      {"EVALSHA", "", "1", keys.Lease(partition)},
  };
}

std::vector<Words> Needed(const Layout& layout) {
  const Keys keys(layout);
  std::vector<Words> needed = ShardCommands(keys);
  std::ranges::move(PartitionCommands(keys), std::back_inserter(needed));
  return needed;
}

}  // namespace

std::vector<std::string> NeededCommands(const Layout& layout) {
  std::set<std::string> names;
  for (const Words& words : Needed(layout)) {
    names.insert(words.front());
  }
  return {names.begin(), names.end()};
}

absl::Status CheckRights(redis::Connection& connection, const Layout& layout) {
  const std::vector<Words> needed = Needed(layout);
  Words arguments;
  for (const Words& words : needed) {
    arguments.push_back(std::to_string(words.size()));
    arguments.insert(arguments.end(), words.begin(), words.end());
  }
  auto reply = connection.Call(redis::Command::Eval(Script(), {}, std::move(arguments)));
  if (redis::RefusesUser(reply.status())) {
    return base::Error(absl::StatusCode::kPermissionDenied,
                       "check the rights of the user: " + base::MessageOf(reply.status()));
  }
  if (!reply.ok()) {
    return base::Annotate(reply.status(), "check the rights of the user");
  }
  std::string denied;
  for (size_t i = 0; i < reply->size(); ++i) {
    const Words& words = needed.at(static_cast<size_t>((*reply)[i].integer()) - 1);
    denied += fmt::format("{}{}", denied.empty() ? "" : ", ", fmt::join(words, " "));
  }
  if (denied.empty()) {
    return absl::OkStatus();
  }
  return base::Error(
      absl::StatusCode::kPermissionDenied,
      fmt::format("{}: the user may not run: {}", connection.address().ToString(), denied));
}

}  // namespace klatch
