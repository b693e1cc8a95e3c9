// What an answer promises of copies: with replicas, without, with one that is frozen, and after the
// master has become another.

#include <atomic>
#include <chrono>
#include <list>
#include <thread>

#include "common/redis/info.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;

constexpr milliseconds kWaitMax{400};

MATCHER_P(IsUnknown, why, "") {
  *result_listener << arg.ToString();
  return absl::IsUnavailable(arg) && base::ReasonOf(arg) == "OUTCOME_UNKNOWN" &&
         base::MessageOf(arg).find(why) != std::string::npos;
}
MATCHER(IsNotOffered, "") {
  *result_listener << arg.ToString();
  return absl::IsFailedPrecondition(arg) && base::ReasonOf(arg) == "ACK_NOT_OFFERED" &&
         FieldOf(arg) == "ack";
}

class LogAcksRedisTest : public LogRedisTest {
 protected:
  LogAcksRedisTest() : LogAcksRedisTest(FreePort()) {}
  explicit LogAcksRedisTest(int port) : port_(port) {}

  void SetUp() override {
    LogRedisTest::SetUp();
    Redis({"CONFIG", "SET", "port", std::to_string(port_)});
    Redis({"CONFIG", "SET", "repl-diskless-sync-delay", "0"});
    Open({});
    MakeGroup("ann", "hiking");
  }

  // An appender that asks for copies.
  void Open(Acks::Options options) {
    appender_.reset();
    options.wait_max = kWaitMax;
    options.slice = milliseconds(50);
    lanes_ = std::make_unique<Lanes>(server_.address(), layout_, options);
    RedisAppender::Options of_appender;
    of_appender.acks = &lanes_->acks;
    appender_ = std::make_unique<RedisAppender>(*pipeline_, layout_, log_clock_, of_appender);
  }

  // A replica in sync.
  RedisServer& AddReplica() {
    RedisServer& replica = replicas_.emplace_back(
        RedisServer::Options{.arguments = {"--replicaof", "127.0.0.1", std::to_string(port_)}});
    AwaitReplicas(static_cast<uint32_t>(replicas_.size()));
    return replica;
  }

  uint32_t InSync() {
    return redis::ReadReplication(Redis({"INFO", "replication"}).text()).in_sync;
  }
  void AwaitReplicas(uint32_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (InSync() != count) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "replicas do not come";
      std::this_thread::sleep_for(milliseconds(10));
    }
    // What Redis said of itself is asked for anew once it is a second old.
    std::this_thread::sleep_for(milliseconds(1'100));
  }

  static PublishCommand PostFor(AckClass ack, std::string request_id) {
    PublishCommand command = Post("ann", "hiking", std::move(request_id));
    command.ack = ack;
    return command;
  }

  void FlushAlways() {
    Redis({"CONFIG", "SET", "appendonly", "yes"});
    Redis({"CONFIG", "SET", "appendfsync", "always"});
  }

  struct Lanes {
    Lanes(const redis::Address& address, const Layout& layout, const Acks::Options& options)
        : one(address, {}),
          all(address, {}),
          acks(one, all, layout, has_seen_replicas, clock, options) {}

    base::SystemClock clock;
    std::atomic<bool> has_seen_replicas{false};
    redis::SocketPipeline one;
    redis::SocketPipeline all;
    Acks acks;
  };

  const int port_;
  std::unique_ptr<Lanes> lanes_;
  std::list<RedisServer> replicas_;
};

TEST_F(LogAcksRedisTest, WithoutReplicasOnlyTheMastersCopyIsOffered) {
  const auto before = Contents();
  EXPECT_THAT(Publish(PostFor(AckClass::kReplicated, "r1")).status(), IsNotOffered());
  EXPECT_THAT(Publish(PostFor(AckClass::kStrict, "r2")).status(), IsNotOffered());
  auto after = Contents();
  after.erase(keys_.CopyMark());
  EXPECT_EQ(after, before);
  EXPECT_THAT(Publish(PostFor(AckClass::kLocal, "r3")), IsOk());
  EXPECT_THAT(Remove("ann", "hiking", {"ann"}, "x"),
              FailsWith(StatusCode::kFailedPrecondition, "persons"));  // not for want of copies
  EXPECT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a"), IsOk());
  EXPECT_THAT(Remove("ann", "hiking", {"ben"}, "y"), IsOk());
}

TEST_F(LogAcksRedisTest, StrictIsOfferedWhereRedisWritesToItsDiskFirst) {
  FlushAlways();
  EXPECT_THAT(Publish(PostFor(AckClass::kStrict, "r1")), IsOk());
  Open({.strict_replicas_min = 1});
  const absl::Status refused = Publish(PostFor(AckClass::kStrict, "r2")).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_EQ(base::ReasonOf(refused), "NOT_SENT");
  EXPECT_TRUE(base::RetryAfterOf(refused).has_value());
  AddReplica();
  EXPECT_THAT(Publish(PostFor(AckClass::kStrict, "r2")), IsOk());
}

TEST_F(LogAcksRedisTest, WhatIsAnsweredIsInAReplica) {
  auto replica = AddReplica().Connect();
  for (int i = 0; i < 200; ++i) {
    const auto published = Publish(PostFor(AckClass::kReplicated, "r" + std::to_string(i)));
    ASSERT_THAT(published, IsOk());
    const auto there = replica->Call({"EXISTS", keys_.Update(published->position)});
    ASSERT_THAT(there, IsOk());
    EXPECT_EQ(there->integer(), 1) << i;
  }
}

TEST_F(LogAcksRedisTest, AReplicaThatIsFrozenMakesOutcomesUnknownUntilItComesBack) {
  RedisServer& replica = AddReplica();
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}}, "a"), IsOk());
  ASSERT_THAT(Publish(PostFor(AckClass::kReplicated, "r1")), IsOk());
  replica.Freeze();
  const auto begin = std::chrono::steady_clock::now();
  const auto unknown = Publish(PostFor(AckClass::kReplicated, "r2"));
  EXPECT_THAT(unknown.status(), IsUnknown("0 of 1 replica"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kWaitMax + milliseconds(600));
  EXPECT_THAT(Publish(PostFor(AckClass::kLocal, "r3")), IsOk());
  // A removal wants all the copies that there can be.
  EXPECT_THAT(Remove("ann", "hiking", {"ben"}, "x").status(), IsUnknown("0 of 1 replica"));
  replica.Thaw();
  const auto again = Publish(PostFor(AckClass::kReplicated, "r2"));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  const auto removed = Remove("ann", "hiking", {"ben"}, "x");
  ASSERT_THAT(removed, IsOk());
  EXPECT_TRUE(removed->replayed);
}

TEST_F(LogAcksRedisTest, OneOfTwoIsEnoughForReplicatedAndNotForStrict) {
  FlushAlways();
  AddReplica();
  RedisServer& second = AddReplica();
  ASSERT_THAT(Publish(PostFor(AckClass::kStrict, "r1")), IsOk());
  second.Freeze();
  EXPECT_THAT(Publish(PostFor(AckClass::kStrict, "r2")).status(), IsUnknown("1 of 2 replicas"));
  EXPECT_THAT(Publish(PostFor(AckClass::kReplicated, "r3")), IsOk());
  second.Kill();
  AwaitReplicas(1);
  EXPECT_THAT(Publish(PostFor(AckClass::kStrict, "r2")), IsOk());
}

TEST_F(LogAcksRedisTest, ABatchWaitsOnceAndEachUpdateForItsOwn) {
  RedisServer& replica = AddReplica();
  ASSERT_THAT(Publish(PostFor(AckClass::kReplicated, "r0")), IsOk());
  replica.Freeze();
  const auto results = Await(
      appender_->Publish({PostFor(AckClass::kLocal, "r1"), PostFor(AckClass::kReplicated, "r2"),
                          PostFor(AckClass::kStrict, "r3")}));
  ASSERT_EQ(results.size(), 3u);
  EXPECT_THAT(results[0], IsOk());
  EXPECT_THAT(results[1].status(), IsUnknown("replica"));
  EXPECT_THAT(results[2].status(), IsNotOffered());
  replica.Thaw();
}

TEST_F(LogAcksRedisTest, ManyShareRounds) {
  AddReplica();
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 100; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        done += Publish(PostFor(AckClass::kReplicated, id)).ok() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(done.load(), 800);
  EXPECT_EQ(lanes_->acks.waits(), 800u);
  EXPECT_EQ(lanes_->acks.unknown(), 0u);
}

TEST_F(LogAcksRedisTest, WhatTheNewMasterLacksIsUnknown) {
  AddReplica();
  const auto published = Publish(PostFor(AckClass::kLocal, "r1"));
  ASSERT_THAT(published, IsOk());
  // The same address serves what a failover has left: all but the newest record.
  Redis({"XDEL", keys_.Log(published->position.shard()), published->position.ToStreamId()});
  EXPECT_THAT(Await(lanes_->acks.AwaitRecords(AckClass::kReplicated, {published->position})),
              IsUnknown("has it no longer"));
  Redis({"DEL", keys_.Log(published->position.shard())});
  EXPECT_THAT(Await(lanes_->acks.AwaitRecords(AckClass::kReplicated, {published->position})),
              IsUnknown("has it no longer"));
}

TEST_F(LogAcksRedisTest, WhatWasTrimmedIsKnown) {
  AddReplica();
  const auto published = Publish(PostFor(AckClass::kLocal, "r1"));
  const auto newer = Publish(PostFor(AckClass::kLocal, "r2"));
  ASSERT_THAT(newer, IsOk());
  Redis({"XTRIM", keys_.Log(newer->position.shard()), "MINID", newer->position.ToStreamId()});
  EXPECT_THAT(Publish(PostFor(AckClass::kReplicated, "r1")), IsOk());
}

TEST_F(LogAcksRedisTest, AMasterThatBecameAReplicaPromisesNothing) {
  RedisServer& replica = AddReplica();
  const auto published = Publish(PostFor(AckClass::kReplicated, "r1"));
  ASSERT_THAT(published, IsOk());
  const int port = FreePort();
  auto promoted = replica.Connect();
  ASSERT_THAT(promoted->Call({"CONFIG", "SET", "port", std::to_string(port)}), IsOk());
  ASSERT_THAT(promoted->Call({"REPLICAOF", "NO", "ONE"}), IsOk());
  Redis({"REPLICAOF", "127.0.0.1", std::to_string(port)});
  EXPECT_FALSE(Await(lanes_->acks.AwaitRecords(AckClass::kReplicated, {published->position})).ok());
}

TEST_F(LogAcksRedisTest, AMasterThatIsOutOfMemoryIsStillAsked) {
  AddReplica();
  const auto published = Publish(PostFor(AckClass::kReplicated, "r1"));
  ASSERT_THAT(published, IsOk());
  Redis({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_THAT(Publish(PostFor(AckClass::kReplicated, "r1")), IsOk());
  EXPECT_TRUE(Await(lanes_->acks.AwaitRecords(AckClass::kStrongest, {published->position})).ok());
}

TEST_F(LogAcksRedisTest, OutOfMemoryWithoutAMarkRemovalsAreAnsweredStill) {
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}, {"cat", Role::kMember}}, "a"), IsOk());
  Redis({"DEL", keys_.CopyMark()});
  Redis({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_THAT(Remove("ann", "hiking", {"ben"}, "x"), IsOk());
  std::this_thread::sleep_for(milliseconds(1'200));
  EXPECT_THAT(Remove("ann", "hiking", {"cat"}, "y"), IsOk());
}

TEST_F(LogAcksRedisTest, WithoutReplicasForTheMomentCallersAreToldToComeBack) {
  RedisServer& replica = AddReplica();
  ASSERT_THAT(Publish(PostFor(AckClass::kReplicated, "r1")), IsOk());
  FlushAlways();
  replica.Kill();
  AwaitReplicas(0);
  for (const AckClass ack : {AckClass::kReplicated, AckClass::kStrict}) {
    const absl::Status refused = Publish(PostFor(ack, "r2")).status();
    EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
    EXPECT_EQ(base::ReasonOf(refused), "NOT_SENT");
  }
  // There may be a next master: whether what is asked has the removal is looked at.
  const auto published = Publish(PostFor(AckClass::kLocal, "r3"));
  ASSERT_THAT(published, IsOk());
  EXPECT_TRUE(Await(lanes_->acks.AwaitRecords(AckClass::kStrongest, {published->position})).ok());
  Redis({"XDEL", keys_.Log(published->position.shard()), published->position.ToStreamId()});
  EXPECT_THAT(Await(lanes_->acks.AwaitRecords(AckClass::kStrongest, {published->position})),
              IsUnknown("has it no longer"));
}

TEST_F(LogAcksRedisTest, AMarkThatWentIsSetAnew) {
  AddReplica();
  ASSERT_THAT(Publish(PostFor(AckClass::kReplicated, "r1")), IsOk());
  Redis({"DEL", keys_.CopyMark()});
  EXPECT_THAT(Publish(PostFor(AckClass::kReplicated, "r2")), IsOk());
}

TEST_F(LogAcksRedisTest, ARedisThatIsGoneMakesOutcomesUnknown) {
  AddReplica();
  const auto published = Publish(PostFor(AckClass::kReplicated, "r1"));
  ASSERT_THAT(published, IsOk());
  server_.Kill();
  EXPECT_THAT(Await(lanes_->acks.AwaitRecords(AckClass::kReplicated, {published->position})),
              IsUnknown(""));
}

}  // namespace
}  // namespace klatch::testing
