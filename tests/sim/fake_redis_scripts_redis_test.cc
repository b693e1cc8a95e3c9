// Klatch's own code against a FakeRedis and a real one at once: every script, the transactions, the
// loaders' questions, with the arguments that they really have. Every reply is the same, and so is
// everything that is stored.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>

#include "common/redis/info.h"
#include "common/redis/probe.h"
#include "services/klatchd/redis_rights.h"
#include "services/log/namespace_facts.h"
#include "services/log/retention_keeper.h"
#include "services/log/scripts.h"
#include "services/materialize/flush_ranges.h"
#include "services/materialize/flush_scripts.h"
#include "services/model/time.h"
#include "services/personal/personal_scripts.h"
#include "services/persons/lease_keeper.h"
#include "tests/integration/log_fixture.h"
#include "tests/sim/redis_twin_server.h"

namespace klatch::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// Beside those of the log: of leases, flushers, persons' state, rights.
constexpr size_t kOtherScripts = 9;
constexpr size_t kDifferencesShownMax = 5;

class FakeRedisScriptsRedisTest : public LogRedisTest {
 protected:
  void SetUp() override {
    if (!twins_.is_comparable()) {
      GTEST_SKIP() << "the real one is no Redis 7.0";
    }
    pipeline_ =
        std::make_unique<redis::SocketPipeline>(server()->address(), redis::Pipeline::Options());
    while (!pipeline_->connected()) {
      std::this_thread::yield();
    }
    appender_ =
        std::make_unique<RedisAppender>(*pipeline_, layout_, log_clock_, RedisAppender::Options());
    connection_ = ToTwins();
    twins_.fake().facts.directory = server_.directory();
    // Ahead of Redis's clock, so that positions don't depend on that.
    const auto now = std::chrono::duration_cast<milliseconds>(
        system_clock_.Wall().time_since_epoch() + hours(1));
    log_clock_.Note(Position(static_cast<uint64_t>(now.count() - kEpochUnixMs), ShardIndex(0), 0));
  }

  void TearDown() override {
    appender_.reset();
    pipeline_.reset();
    connection_.reset();
    twin_server_.reset();
    const auto link = twins_.Connect();
    twins_.CompareContents(*link);
    for (size_t i = 0; i < std::min(kDifferencesShownMax, twins_.differences().size()); ++i) {
      ADD_FAILURE() << twins_.differences()[i];
    }
  }

  RedisTwinServer* server() { return twin_server_.get(); }

  std::unique_ptr<redis::Connection> ToTwins() {
    auto connection = redis::Connection::Connect(server()->address(), {});
    EXPECT_THAT(connection, IsOk());
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  void SetMemory(bool is_short) {
    twin_server_->With([this, is_short](RedisTwins& twins) {
      const redis::Reply set =
          twins.CallReal(*control_, {"CONFIG", "SET", "maxmemory", is_short ? "1" : "0"});
      EXPECT_EQ(set.text(), "OK");
      twins.fake().facts.is_out_of_memory = is_short;
    });
  }

  void SetReplica(bool is_replica) {
    twin_server_->With([this, is_replica](RedisTwins& twins) {
      using Args = RedisTwins::Args;
      twins.CallReal(*control_, is_replica ? Args{"REPLICAOF", "127.0.0.1", "1"}
                                           : Args{"REPLICAOF", "NO", "ONE"});
      twins.fake().facts.role =
          is_replica ? sim::FakeRedis::Role::kReplica : sim::FakeRedis::Role::kMaster;
    });
  }

  // Groups with members and posts: as many as make a feed grow twice, by script and by transaction.
  void Gather();
  void ChangePosts();
  void ChangeGroups();
  void PostToSeveral();
  void Synchronise();
  void Keep();
  void Lease();
  void Flush();
  void ChangePersonal();

  UpdateId PublishOne(const char* actor, const char* group) {
    const auto published =
        Publish(Post(actor, group, fmt::format("r{}", requests_), fmt::format("t{}", requests_)));
    ++requests_;
    EXPECT_THAT(published, IsOk());
    return published.ok() ? published->position : UpdateId();
  }

  RedisTwins twins_{server_.address()};
  std::unique_ptr<RedisTwins::Link> control_ = twins_.Connect();
  std::unique_ptr<RedisTwinServer> twin_server_ = std::make_unique<RedisTwinServer>(twins_);
  int requests_ = 0;
};

void FakeRedisScriptsRedisTest::Gather() {
  MakeGroup("ann", "plain");
  MakeGroup("ann", "open", History::kAll);
  CreateGroupCommand last = NewGroup("ann", "last", History::kLast);
  last.group.history_count = 3;
  last.group.joining = Joining::kOpen;
  last.group.retention.count = 4;
  EXPECT_THAT(Await(appender_->CreateGroup(last)), IsOk());
  EXPECT_TRUE(Await(appender_->CreateGroup(last))->replayed);
  last.request_id = "another";
  EXPECT_FALSE(Await(appender_->CreateGroup(last)).ok());
  EXPECT_THAT(Add("ann", "plain", {{"bob", Role::kMember}, {"mod", Role::kModerator}}, "1"),
              IsOk());
  EXPECT_THAT(Add("ann", "plain", {{"bob", Role::kMember}, {"eve", Role::kReader}}, "2"), IsOk());
  EXPECT_TRUE(Add("ann", "plain", {{"bob", Role::kMember}, {"eve", Role::kReader}}, "2")->replayed);
  EXPECT_FALSE(Add("bob", "plain", {{"zoe", Role::kMember}}, "3").ok());
  EXPECT_FALSE(Add("ann", "nowhere", {{"zoe", Role::kMember}}, "4").ok());
  for (int i = 0; i < 120; ++i) {
    PublishOne(i % 2 == 0 ? "ann" : "bob", "plain");
  }
  for (int i = 0; i < 6; ++i) {
    PublishOne("ann", "last");
  }
  EXPECT_THAT(Add("zoe", "last", {{"zoe", Role::kMember}}, "5"), IsOk());
  EXPECT_THAT(Add("ann", "open", {{"zoe", Role::kMember}}, "6"), IsOk());
  EXPECT_TRUE(Publish(Post("ann", "plain", "r0", "t0"))->replayed);
  EXPECT_FALSE(Publish(Post("ann", "plain", "r0", "other")).ok());
  EXPECT_FALSE(Publish(Post("eve", "plain", "x")).ok());
  EXPECT_THAT(Import(Post("bob", "plain", "old")), IsOk());
  EXPECT_TRUE(Import(Post("bob", "plain", "old"))->replayed);
  PublishCommand expiring = Post("ann", "plain", "expiring");
  expiring.expire_unix_ms =
      std::chrono::duration_cast<milliseconds>(system_clock_.Wall().time_since_epoch() + hours(2))
          .count();
  EXPECT_THAT(Publish(expiring), IsOk());
}

void FakeRedisScriptsRedisTest::ChangePosts() {
  const UpdateId id = PublishOne("bob", "plain");
  const auto edit = [&](const char* actor, uint32_t revision, const char* text) {
    return Await(appender_->Edit({PersonId(actor), id, revision,
                                  BodyOf(PersonId(actor), GroupId("plain"), text, revision + 1,
                                         AudienceRule::kMembersAtPosting)}));
  };
  EXPECT_THAT(edit("bob", 0, "new"), IsOk());
  EXPECT_TRUE(edit("bob", 0, "new")->replayed);
  EXPECT_FALSE(edit("bob", 0, "newer").ok());
  EXPECT_FALSE(edit("ann", 1, "newer").ok());
  const auto remove = [&](const char* actor) {
    return Await(appender_->Delete({PersonId(actor), id, GroupId("plain"), PersonId("bob")}));
  };
  EXPECT_FALSE(remove("eve").ok());
  EXPECT_THAT(remove("mod"), IsOk());
  EXPECT_TRUE(remove("mod")->replayed);
  EXPECT_FALSE(edit("bob", 1, "gone").ok());
}

void FakeRedisScriptsRedisTest::ChangeGroups() {
  UpdateGroupCommand update;
  update.actor = PersonId("ann");
  update.group = GroupId("open");
  update.display_name = "Another";
  update.keep_count = 7;
  EXPECT_THAT(Await(appender_->UpdateGroup(update)), IsOk());
  update.actor = PersonId("zoe");
  EXPECT_FALSE(Await(appender_->UpdateGroup(update)).ok());
  EXPECT_THAT(SetRole("ann", "plain", "eve", Role::kModerator), IsOk());
  EXPECT_TRUE(SetRole("ann", "plain", "eve", Role::kModerator)->replayed);
  EXPECT_FALSE(SetRole("ann", "plain", "ann", Role::kMember).ok());
  EXPECT_FALSE(Remove("ann", "plain", {"ann"}, "leave 1").ok());
  EXPECT_FALSE(Remove("eve", "plain", {"mod"}, "leave 2").ok());
  EXPECT_THAT(Remove("ann", "plain", {"eve", "nobody"}, "leave 3"), IsOk());
  EXPECT_THAT(Remove("ann", "plain", {"nobody"}, "leave 4"), IsOk());
  for (const uint32_t above : {2u, 2u, 0u, 0u}) {
    EXPECT_THAT(Await(appender_->DecideDelivery(GroupId("plain"), {above})), IsOk());
  }
  EXPECT_THAT(Await(appender_->DecideDelivery(GroupId("nowhere"), {2})), IsOk());
  EXPECT_FALSE(Await(appender_->DeleteGroup(PersonId("zoe"), GroupId("open"))).ok());
  EXPECT_THAT(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("open"))), IsOk());
  EXPECT_TRUE(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("open")))->replayed);
  for (uint32_t i = 0; i < layout_.shard_count; ++i) {
    EXPECT_THAT(Await(appender_->Tick(ShardIndex(i))), IsOk());
  }
}

void FakeRedisScriptsRedisTest::PostToSeveral() {
  BodyHeader header;
  header.author = PersonId("bob");
  const std::array<const char*, 3> groups = {"plain", "last", "nowhere"};
  for (const char* const group : groups) {
    header.targets.push_back({GroupId(group), Carry{}});
  }
  PublishSeveralCommand command;
  command.actor = PersonId("bob");
  command.request_id = "several";
  command.payload_digest = Digest("several");
  command.body = EncodeBody(header, v1::Update().SerializeAsString());
  const auto home = Await(appender_->PublishSeveral(command));
  ASSERT_THAT(home, IsOk());
  EXPECT_TRUE(Await(appender_->PublishSeveral(command))->replayed);
  EXPECT_TRUE(Await(appender_->AwaitSettling(home->id)).ok());
  SettleCommand settle{home->id, PersonId("bob"), "several", std::vector<Carry>(groups.size())};
  EXPECT_THAT(Await(appender_->Settle(settle)), IsOk());
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < groups.size(); ++i) {
      const auto carry = Await(appender_->CarryTo({home->id, PersonId("bob"), GroupId(groups[i])}));
      ASSERT_THAT(carry, IsOk());
      settle.carries[i] = *carry;
    }
  }
  EXPECT_THAT(Await(appender_->TakePending(home->id.shard(), milliseconds(0), 10)), IsOk());
  EXPECT_EQ(Await(appender_->Settle(settle))->carried, 1u);

  EXPECT_FALSE(Await(appender_->RemoveUpdate(PersonId("bob"), GroupId("plain"), home->id)).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(Await(appender_->RemoveUpdate(PersonId("mod"), GroupId("plain"), home->id)),
                IsOk());
  }
  const auto edit = [&](uint32_t revision) {
    header.revision = revision + 1;
    return Await(appender_->EditSeveral({PersonId("bob"),
                                         home->id,
                                         revision,
                                         EncodeBody(header, v1::Update().SerializeAsString()),
                                         {GroupId("plain")}}));
  };
  EXPECT_THAT(edit(0), IsOk());
  EXPECT_FALSE(edit(5).ok());
  EXPECT_THAT(Await(appender_->DeleteSeveral(PersonId("bob"), home->id, {GroupId("plain")})),
              IsOk());
  EXPECT_THAT(Await(appender_->Settle(settle)), IsOk());

  // Nobody takes this one.
  settle.carries.assign(1, {Position(), AudienceRule::kGroupDefault, CarryRefusal::kNoGroup});
  header.targets.assign(1, {GroupId("nowhere"), Carry{}});
  command.request_id = settle.request_id = "nowhere";
  command.body = EncodeBody(header, v1::Update().SerializeAsString());
  const auto refused = Await(appender_->PublishSeveral(command));
  ASSERT_THAT(refused, IsOk());
  settle.update = refused->id;
  EXPECT_EQ(Await(appender_->Settle(settle))->carried, 0u);
}

void FakeRedisScriptsRedisTest::Synchronise() {
  MembersList list{GroupId("plain"), 7, Digest("list"), std::string(8, 'c')};
  EXPECT_THAT(Await(appender_->BeginSync(list)), IsOk());
  const std::vector<PersonRole> members = {{PersonId("bob"), Role::kOwner},
                                           {PersonId("new"), Role::kReader},
                                           {PersonId("mod"), Role::kNone}};
  EXPECT_THAT(Await(appender_->SyncMembers(list, members)), IsOk());
  EXPECT_THAT(Await(appender_->SyncMembers(list, members)), IsOk());
  MembersList older = list;
  older.version = 6;
  EXPECT_FALSE(Await(appender_->BeginSync(older)).ok());
  EXPECT_FALSE(Await(appender_->SyncMembers(older, members)).ok());
  list.payload_digest = Digest("other");
  EXPECT_FALSE(Await(appender_->BeginSync(list)).ok());
}

void FakeRedisScriptsRedisTest::Keep() {
  RetentionKeeper keeper(layout_, {}, ToTwins(), system_clock_);
  EXPECT_TRUE(keeper.KeepAll().ok());
  PublishOne("ann", "last");
  EXPECT_TRUE(keeper.KeepAll().ok());
  EXPECT_GT(keeper.trims(), 0u);
  // Later pages of a log.
  RedisLogReader reader(server()->address(), redis::Connection::Options(), layout_, log_clock_);
  std::vector<LogEntry> entries;
  EXPECT_TRUE(
      reader.Read(std::vector<Position>(layout_.shard_count), 10, milliseconds(1), entries).ok());
  EXPECT_FALSE(entries.empty());
}

void FakeRedisScriptsRedisTest::Lease() {
  const auto takes = [this](LeaseKeeper& keeper) {
    return keeper.TakeAll(*connection_, system_clock_.Monotonic(), [] { return false; }).ok();
  };
  OthersLeases others(layout_.partition_count);
  LeaseKeeper one(layout_, "one", hours(1), system_clock_, others);
  LeaseKeeper two(layout_, "two", milliseconds(1), system_clock_, others);
  EXPECT_TRUE(takes(one));
  EXPECT_FALSE(takes(two));
  EXPECT_TRUE(takes(one));
  EXPECT_TRUE(one.Release(*connection_).ok());
  EXPECT_TRUE(takes(two));
  EXPECT_TRUE(one.Release(*connection_).ok());
  // Of somebody who does not renew.
  EXPECT_FALSE(takes(one));
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_TRUE(takes(one));
}

void FakeRedisScriptsRedisTest::Flush() {
  const PartitionIndex partition(3);
  const std::string nonce = "mine";
  Redis({"HSET", keys_.Lease(partition), "nonce", nonce});
  FlushScripts scripts(keys_, [&](PartitionIndex) -> const std::string& { return nonce; });
  FlushScripts::Findings findings;
  EXPECT_TRUE(scripts.Fence(*connection_, {partition}, findings).ok());
  const std::string ring = keys_.Timeline(PersonId("p"));
  const auto write = [&] {
    scripts.Set(partition, ring, std::string("\0\1\2", 3));
    scripts.Grow(partition, ring, 64);
    scripts.SetCheckpoint(partition, "checkpoint");
    scripts.HashSet(partition, keys_.Holes(partition), {"p", "1", "q", "2"});
    scripts.HashDelete(partition, keys_.Holes(partition), "q");
    scripts.SetAdd(partition, keys_.Persons(partition), "p");
    scripts.HashReplace(partition, keys_.PersonGroups(PersonId("p")), {"a", "1", "b", "2"});
    scripts.SetReplace(partition, keys_.Personal(partition), {"x", "y"});
    return scripts.Run(*connection_, findings).ok();
  };
  EXPECT_TRUE(write());
  Redis({"DEL", keys_.Holes(partition)});
  Redis({"SET", keys_.Holes(partition), "no hash"});
  EXPECT_TRUE(write());
  EXPECT_FALSE(findings.wrong_type.empty());
  SetMemory(true);
  EXPECT_TRUE(write());  // memory is looked at before its first write only, and that needs none
  scripts.Set(partition, ring, "more");
  EXPECT_FALSE(scripts.Run(*connection_, findings).ok());
  SetMemory(false);

  FlushRanges ranges(
      keys_, [&](PartitionIndex) -> const std::string& { return nonce; }, scripts);
  ranges.SetRange(partition, ring, 16, "middle");
  ranges.Set(partition, keys_.Posts(PersonId("p")), "posts");
  EXPECT_TRUE(ranges.Run(*connection_, findings).ok());
  Redis({"HSET", keys_.Lease(partition), "fence", "another"});
  EXPECT_FALSE(write());
}

void FakeRedisScriptsRedisTest::ChangePersonal() {
  const PartitionIndex partition(4);
  const PersonId person("p");
  Redis({"HSET", keys_.Lease(partition), "nonce", "mine"});
  std::vector<redis::Command> commands = {
      personal::SetFence(keys_.Lease(partition), "other", "fence"),
      personal::SetFence(keys_.Lease(partition), "mine", "fence")};
  const auto call = [&](const personal::ScriptCall& script, const char* fence = "fence") {
    commands.push_back(personal::CommandOf(script, "mine", fence));
  };
  using personal::SetKey;
  call(personal::ChangeSet(keys_, partition, person, {SetKey::kBlocks, {">a", "<b"}, {}}));
  call(personal::ChangeSet(keys_, partition, person, {SetKey::kMutes, {"gx"}, {"gy"}}));
  call(personal::ChangeSet(keys_, partition, person, {SetKey::kBlocks, {}, {">a", "<b"}, true}));
  call(personal::ChangeSet(keys_, partition, person, {SetKey::kMutes, {}, {"gx"}}));
  call(personal::ChangeSet(keys_, partition, person, {SetKey::kMutes, {"gx"}, {}}), "wrong");
  call(personal::SetProfile(keys_, partition, person, "profile"));
  call(personal::SetProfile(keys_, partition, person, ""));
  for (const uint64_t marker : {5, 9, 7}) {
    call(personal::RaiseMarker(keys_, partition, person, GroupId("g"), UpdateId(marker)));
  }
  EXPECT_TRUE(connection_->CallAll(commands).ok());
}

TEST_F(FakeRedisScriptsRedisTest, EveryScriptHasTheRepliesAndTheEffectsThatItHasInARealOne) {
  EXPECT_THAT(OpenNamespace(*connection_, layout_), IsOk());
  EXPECT_THAT(OpenNamespace(*connection_, layout_), IsOk());
  EXPECT_TRUE(CheckRights(*connection_, layout_).ok());
  Gather();
  ChangePosts();
  ChangeGroups();
  PostToSeveral();
  Synchronise();
  Keep();
  Lease();
  Flush();
  ChangePersonal();

  const std::set<std::string> run = server()->scripts();
  size_t of_log = 0;
  for (const auto& script :
       {scripts::Publish,       scripts::Edit,          scripts::Delete,
        scripts::CreateGroup,   scripts::UpdateGroup,   scripts::DeleteGroup,
        scripts::AddMembers,    scripts::RemoveMembers, scripts::UpdateMember,
        scripts::Tick,          scripts::OpenNamespace, scripts::PublishSeveral,
        scripts::Carry,         scripts::Settle,        scripts::TakePending,
        scripts::AwaitSettling, scripts::EditSeveral,   scripts::DeleteSeveral,
        scripts::RemoveUpdate,  scripts::Import,        scripts::BeginSync,
        scripts::SyncMembers,   scripts::Keep,          scripts::Delivery}) {
    EXPECT_TRUE(run.contains(script().source())) << script().name();
    ++of_log;
  }
  EXPECT_EQ(run.size(), of_log + kOtherScripts);
}

TEST_F(FakeRedisScriptsRedisTest, ScriptsFailAsTheyDoInARealOne) {
  Gather();
  SetMemory(true);
  EXPECT_FALSE(Publish(Post("ann", "plain", "full")).ok());
  EXPECT_FALSE(Add("ann", "plain", {{"zoe", Role::kMember}}, "full").ok());
  EXPECT_THAT(Remove("ann", "plain", {"eve"}, "full"), IsOk());
  EXPECT_THAT(Remove("ann", "plain", {"eve"}, "full again"), IsOk());
  SetMemory(false);
  SetReplica(true);
  EXPECT_FALSE(Publish(Post("ann", "plain", "replica")).ok());
  EXPECT_FALSE(Remove("ann", "plain", {"bob"}, "replica").ok());
  SetReplica(false);
  Redis({"HSET", keys_.Group(GroupId("plain")), "a", "7", "f", "many"});
  Redis({"DEL", keys_.Feed(GroupId("last"))});
  Redis({"SADD", keys_.Feed(GroupId("last")), "no feed"});
  EXPECT_FALSE(Publish(Post("ann", "plain", "corrupt")).ok());
  EXPECT_FALSE(Publish(Post("ann", "last", "corrupt")).ok());
  EXPECT_FALSE(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("last"))).ok());
  // A log that ends where no position is, and one that is full of this millisecond.
  Redis({"XADD", keys_.Log(layout_.ShardOf(GroupId("plain"))), "2199023255551-0", "r", "x"});
  EXPECT_FALSE(Publish(Post("ann", "plain", "end")).ok());
  EXPECT_FALSE(Await(appender_->Tick(layout_.ShardOf(GroupId("plain")))).ok());
  Redis({"SCRIPT", "FLUSH"});
  EXPECT_FALSE(Await(appender_->Tick(layout_.ShardOf(GroupId("plain")))).ok());
}

TEST_F(FakeRedisScriptsRedisTest, InfoHasTheFactsThatKlatchReads) {
  EXPECT_THAT(redis::Probe(*connection_), IsOk());
  twin_server_->With([this](RedisTwins& twins) {
    const redis::Reply real_info = twins.CallReal(*control_, {"INFO"});
    const redis::Reply fake_info = twins.CallFake(*control_, {"INFO"});
    const redis::Info real = redis::ParseInfo(real_info.text());
    const redis::Info fake = redis::ParseInfo(fake_info.text());
    for (const char* const name :
         {"redis_mode", "role", "loading", "maxmemory", "maxmemory_policy", "aof_enabled"}) {
      EXPECT_EQ(redis::InfoText(fake, name), redis::InfoText(real, name)) << name;
    }
    for (const char* const name : {"redis_version", "run_id", "process_id", "used_memory"}) {
      EXPECT_FALSE(redis::InfoText(fake, name).empty()) << name;
    }
    twins.fake().facts.in_sync_replicas = 2;
    const redis::Reply replication = twins.CallFake(*control_, {"INFO", "replication"});
    EXPECT_EQ(redis::ReadReplication(replication.text()).in_sync, 2u);
  });
}

}  // namespace
}  // namespace klatch::testing
