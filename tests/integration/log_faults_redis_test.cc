// What the log's scripts do when Redis holds something else than they left there, has no memory, or
// has forgotten them: nothing is half done.

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <sstream>
#include <thread>

#include "common/base/clock.h"
#include "services/log/log_end.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;

struct Operation {
  std::string name;
  std::vector<std::string> keys;  // that its script reads or writes
  std::function<absl::Status()> run;
};

class LogFaultsRedisTest : public LogRedisTest {
 protected:
  void SetUp() override {
    LogRedisTest::SetUp();
    MakeGroup("ann", "hiking");
    ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a1"), IsOk());
    auto published = Publish(Post("ann", "hiking", "r1", "old"));
    ASSERT_THAT(published, IsOk());
    update_ = published->position;
    ASSERT_THAT(Await(appender_->BeginSync(List())), IsOk());
  }

  static MembersList List() { return {GroupId("hiking"), 1, Digest("list"), "12345678"}; }

  std::string Once(const char* group, const char* request_id) {
    return keys_.Once(PersonId("ann"), GroupId(group), request_id);
  }

  // A group that does not exist yet, in the same shard as "hiking".
  std::string FreshGroup() {
    for (int i = 0;; ++i) {
      std::string group = fmt::format("fresh{}", i);
      if (layout_.ShardOf(GroupId(group)) == update_.shard()) {
        return group;
      }
    }
  }

  // Each takes what stands there already and would succeed.
  std::vector<Operation> Operations() {
    const GroupId hiking("hiking");
    const std::string log = keys_.Log(update_.shard());
    const std::string groups = keys_.Groups(update_.shard());
    const std::string kept = keys_.Kept(update_.shard());
    const std::string group = keys_.Group(hiking);
    const std::string members = keys_.Members(hiking);
    const std::string feed = keys_.Feed(hiking);
    const std::string update = keys_.Update(update_);
    fresh_ = FreshGroup();
    const GroupId fresh(fresh_);
    return {
        {"publish",
         {log, Once("hiking", "r2"), group, members, feed},
         [this] { return Publish(Post("ann", "hiking", "r2")).status(); }},
        {"import",
         {log, keys_.Imported(PersonId("ann"), hiking, "r2"), group, members, feed},
         [this] { return Import(Post("ann", "hiking", "r2")).status(); }},
        {"edit",
         {log, update, members},
         [this] {
           return Await(appender_->Edit({PersonId("ann"), update_, 0,
                                         BodyOf(PersonId("ann"), GroupId("hiking"), "new", 1)}))
               .status();
         }},
        {"delete",
         {log, update, members},
         [this] {
           return Await(appender_->Delete(
                            {PersonId("ann"), update_, GroupId("hiking"), PersonId("ann")}))
               .status();
         }},
        {"create group",
         {log, Once(fresh_.c_str(), "create"), keys_.Group(fresh), keys_.Members(fresh),
          keys_.Feed(fresh), groups, kept},
         [this] {
           return Await(appender_->CreateGroup(NewGroup("ann", fresh_.c_str()))).status();
         }},
        {"update group", {log, group, members, kept}, [this] { return Rename(); }},
        {"add members",
         {log, Once("hiking", "a2"), group, members},
         [this] {
           return Add("ann", "hiking", {{"cat", Role::kMember}}, "a2").status();
         }},
        {"begin sync",
         {log, group},
         [this] { return Await(appender_->BeginSync(List())).status(); }},
        {"sync members",
         {log, group, members},
         [this] {
           return Await(appender_->SyncMembers(List(), {{PersonId("dan"), Role::kMember}}))
               .status();
         }},
        {"update member",
         {log, group, members},
         [this] { return SetRole("ann", "hiking", "ben", Role::kReader).status(); }},
        {"remove members",
         {log, Once("hiking", "d1"), group, members},
         [this] { return Remove("ann", "hiking", {"ben"}, "d1").status(); }},
        {"tick", {log}, [this] { return Await(appender_->Tick(update_.shard())).status(); }},
        {"delete group",
         {log, group, members, feed, groups, kept},
         [this] {
           return Await(appender_->DeleteGroup(PersonId("ann"), GroupId("hiking"))).status();
         }},
    };
  }

  absl::Status Rename() {
    UpdateGroupCommand command;
    command.actor = PersonId("ann");
    command.group = GroupId("hiking");
    command.display_name = "New";
    return Await(appender_->UpdateGroup(command)).status();
  }

  // Puts a list where `key` is, runs, and puts back what was there.
  void RunWithWrongType(const Operation& operation, const std::string& key) {
    SCOPED_TRACE(operation.name + " with a list at " + key);
    redis::Reply dump = Redis({"DUMP", key});
    const std::string saved(dump.text());
    Redis({"DEL", key});
    Redis({"RPUSH", key, "planted"});
    const auto before = Contents();
    const absl::Status status = operation.run();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(base::MessageOf(status).find(key), std::string::npos) << status;
    EXPECT_EQ(Contents(), before);
    Redis({"DEL", key});
    if (!saved.empty()) {
      Redis({"RESTORE", key, "0", saved});
    }
  }

  void SetMemoryLimit(const char* bytes) { Redis({"CONFIG", "SET", "maxmemory", bytes}); }

  UpdateId update_;
  std::string fresh_;
};

TEST_F(LogFaultsRedisTest, WrongTypeAtEachKeyIsNamedAndNothingIsWritten) {
  for (const Operation& operation : Operations()) {
    for (const std::string& key : operation.keys) {
      // The author's own deletion does not ask for their role.
      if (operation.name == "delete" && key == keys_.Members(GroupId("hiking"))) {
        continue;
      }
      RunWithWrongType(operation, key);
    }
  }
  // And each would have succeeded.
  for (const Operation& operation : Operations()) {
    if (operation.name == "delete") {
      continue;  // tried below: it would leave nothing to edit
    }
    const absl::Status status = operation.run();
    EXPECT_TRUE(status.ok()) << operation.name << ": " << status;
  }
}

TEST_F(LogFaultsRedisTest, WrongTypeOfOneUpdateOfABatchLeavesTheOthers) {
  const std::string other = FreshGroup();
  MakeGroup("ann", other.c_str());
  Redis({"RPUSH", Once("hiking", "bad"), "planted"});
  auto results =
      Await(appender_->Publish({Post("ann", "hiking", "good1"), Post("ann", "hiking", "bad"),
                                Post("ann", other.c_str(), "good2")}));
  ASSERT_EQ(results.size(), 3u);
  EXPECT_THAT(results[0], IsOk());
  EXPECT_EQ(results[1].status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(results[2], IsOk());
}

TEST_F(LogFaultsRedisTest, GarbageOfTheRightTypeIsNamedAndNothingIsWritten) {
  const std::string members = keys_.Members(GroupId("hiking"));
  const std::string group = keys_.Group(GroupId("hiking"));
  const std::string saved(Redis({"HGET", members, "ann"}).text());
  auto expect_refused = [this](const absl::Status& status, const std::string& key) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(base::MessageOf(status).find(key), std::string::npos) << status;
  };
  Redis({"HSET", members, "ann", "garbage"});
  Redis({"SET", Once("hiking", "short"), "x"});
  Redis({"SET", keys_.Update(update_), "x"});
  auto before = Contents();
  expect_refused(Publish(Post("ann", "hiking", "r2")).status(), members);
  expect_refused(Publish(Post("ann", "hiking", "short")).status(), Once("hiking", "short"));
  for (const Operation& operation : Operations()) {
    if (operation.name == "edit" || operation.name == "delete") {
      expect_refused(operation.run(), keys_.Update(update_));
    }
  }
  EXPECT_EQ(Contents(), before);
  Redis({"HSET", members, "ann", saved});
  Redis({"HSET", group, "f", "many", "a", "7", "o", "x"});
  before = Contents();
  expect_refused(Publish(Post("ann", "hiking", "r2")).status(), group);
  expect_refused(Add("ann", "hiking", {{"cat", Role::kMember}}, "a2").status(), group);
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogFaultsRedisTest, OutOfMemoryRefusesAppendsWholeAndLetsRemovalsThrough) {
  const auto before = Contents();
  SetMemoryLimit("1");
  for (const Operation& operation : Operations()) {
    const bool removal = operation.name == "delete" || operation.name == "remove members" ||
                         operation.name == "update member" || operation.name == "delete group" ||
                         operation.name == "begin sync";
    if (!removal) {
      const absl::Status status = operation.run();
      EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << operation.name << ": " << status;
      EXPECT_TRUE(base::RetryAfterOf(status).has_value()) << operation.name << ": " << status;
    }
  }
  for (int i = 0; i < 1000; ++i) {
    auto results = Await(appender_->Publish({Post("ann", "hiking", fmt::format("one{}", i)),
                                             Post("ann", "hiking", fmt::format("two{}", i))}));
    for (const auto& result : results) {
      ASSERT_EQ(result.status().code(), StatusCode::kResourceExhausted) << result.status();
    }
  }
  EXPECT_EQ(Contents(), before);
  for (const Operation& operation : Operations()) {
    if (operation.name == "delete" || operation.name == "remove members" ||
        operation.name == "begin sync" || operation.name == "delete group") {
      const absl::Status status = operation.run();
      EXPECT_TRUE(status.ok()) << operation.name << ": " << status;
    }
  }
  SetMemoryLimit("0");
  EXPECT_EQ(Records("hiking").size(), 3u + 3u);
}

TEST_F(LogFaultsRedisTest, EveryScriptOnAReplicaChangesNothingAndMakesThePipelineConnectAnew) {
  // A replica of nobody: it answers reads and refuses writes.
  Redis({"REPLICAOF", "127.0.0.1", "1"});
  const auto before = Contents();
  const auto connection_id = [this] {
    // The pipeline's is the only other client.
    const std::string own(Redis({"CLIENT", "INFO"}).text());
    std::istringstream all(std::string(Redis({"CLIENT", "LIST", "TYPE", "normal"}).text()));
    for (std::string line; std::getline(all, line);) {
      const std::string id = line.substr(0, line.find(' ') + 1);
      if (!own.starts_with(id)) {
        return id;
      }
    }
    return std::string();
  };
  LogEnd log_end(*pipeline_, layout_);
  for (const Operation& operation : Operations()) {
    const std::string connected = connection_id();
    const absl::Status status = operation.run();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << operation.name << ": " << status;
    // A post's transaction is refused, and its script not sent any more.
    EXPECT_THAT(base::MessageOf(status),
                ::testing::ContainsRegex("READONLY|Redis is a replica now"))
        << operation.name;
    // The old connection answers nothing more; the new one is there after a pause.
    while (!Await(log_end.Read(update_.shard())).ok()) {
      std::this_thread::yield();
    }
    EXPECT_NE(connection_id(), connected) << operation.name;
  }
  EXPECT_EQ(Contents(), before);
  Redis({"REPLICAOF", "NO", "ONE"});
  EXPECT_THAT(Publish(Post("ann", "hiking", "r2")), IsOk());
}

TEST_F(LogFaultsRedisTest, ScriptFlushBetweenCallsIsNotNoticed) {
  for (int i = 0; i < 20; ++i) {
    Redis({"SCRIPT", "FLUSH"});
    ASSERT_THAT(Publish(Post("ann", "hiking", fmt::format("f{}", i))), IsOk());
  }
  EXPECT_EQ(Records("hiking").size(), 3u + 20u);
}

TEST_F(LogFaultsRedisTest, PositionsGoOnWhenTheClockIsBehindTheLog) {
  const std::string log = keys_.Log(update_.shard());
  // An hour ahead of the clock, at the last sequence of its millisecond.
  const Position ahead(update_.ms() + 3'600'000, update_.shard(), 4094);
  Redis({"XADD", log, ahead.ToStreamId(), "r", "x"});
  std::vector<Position> positions;
  for (int i = 0; i < 3; ++i) {
    auto published = Publish(Post("ann", "hiking", fmt::format("c{}", i)));
    ASSERT_THAT(published, IsOk());
    positions.push_back(published->position);
  }
  EXPECT_EQ(positions[0], Position(ahead.ms(), ahead.shard(), 4095));
  EXPECT_EQ(positions[1], Position(ahead.ms() + 1, ahead.shard(), 0));
  EXPECT_EQ(positions[2], Position(ahead.ms() + 1, ahead.shard(), 1));
  auto body = Redis({"EXISTS", keys_.Update(positions[0]), keys_.Update(positions[1]),
                     keys_.Update(positions[2])});
  EXPECT_EQ(body.integer(), 3);
}

TEST_F(LogFaultsRedisTest, FullMillisecondGoesOnInTheNext) {
  const std::string log = keys_.Log(update_.shard());
  const redis::Script fill("fill", R"(
      local time = redis.call('TIME')
      local ms = (time[1] - 1704067200) * 1000 + math.floor(time[2] / 1000)
      return redis.call('XADD', KEYS[1], string.format('%d-4095', ms), 'r', '')
  )");
  for (int i = 0; i < 200; ++i) {
    auto filled = connection_->Call(redis::Command::Eval(fill, {log}, {}));
    ASSERT_THAT(filled, IsOk());
    const auto full = Position::FromStreamId(filled->text(), update_.shard());
    ASSERT_TRUE(full.has_value());
    auto published = Publish(Post("ann", "hiking", fmt::format("full{}", i)));
    ASSERT_THAT(published, IsOk());
    EXPECT_GT(published->position, *full);
    EXPECT_GT(published->position.ms(), full->ms());
    redis::Reply newest = Redis({"XREVRANGE", log, "+", "-", "COUNT", "1"});
    EXPECT_EQ(newest[0][0].text(), published->position.ToStreamId());
    EXPECT_EQ(Redis({"EXISTS", keys_.Update(published->position)}).integer(), 1);
    // The next fill must come after it.
    while (base::SystemClock().Wall().time_since_epoch() <=
           std::chrono::milliseconds(published->position.unix_ms() + 1)) {
      std::this_thread::yield();
    }
  }
}

TEST_F(LogFaultsRedisTest, PositionsBeyondTheirBitsAreRefused) {
  Redis({"XADD", keys_.Log(update_.shard()), "2199023255551-0", "r", "x"});
  const auto before = Contents();
  const absl::Status status = Publish(Post("ann", "hiking", "c1")).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogFaultsRedisTest, PositionsAreExactInEveryBit) {
  // Milliseconds, sequences and shards whose packed forms have high bits set in both halves.
  layout_.shard_count = kShardCountMax;
  RedisAppender wide(*pipeline_, layout_, log_clock_, RedisAppender::Options());
  const Keys keys(layout_);
  for (uint64_t ms : {1099511627775ull, 2199023255549ull, 1099511628799ull}) {
    const ShardIndex shard(static_cast<uint32_t>(ms % 1024));
    const Position ahead(ms, shard, 4093);
    Redis({"DEL", keys.Log(shard)});
    Redis({"XADD", keys.Log(shard), ahead.ToStreamId(), "r", "x"});
    auto tick = Await(wide.Tick(shard));
    ASSERT_THAT(tick, IsOk());
    EXPECT_EQ(tick->position, Position(ms, shard, 4094));
    EXPECT_EQ(Redis({"XREVRANGE", keys.Log(shard), "+", "-", "COUNT", "1"})[0][0].text(),
              tick->position.ToStreamId());
  }
}

}  // namespace
}  // namespace klatch::testing
