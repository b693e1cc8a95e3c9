// AdminService against a real klatchd: its figures are true, rebuilds and scrubs mend what is planted
// in Redis, the log reads whole and says where it does not.

#include <algorithm>
#include <set>

#include "common/base/bytes.h"
#include "services/materialize/stored_ring.h"
#include "services/model/keys.h"
#include "services/model/membership.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;
using Stub = v1::AdminService::Stub;

constexpr uint32_t kShards = 4;
constexpr uint32_t kPartitions = 4;

class KlatchdAdminTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
    ASSERT_THAT(client_.CreateGroup("ann", "chess"), Succeeds());
    joined_ = client_.Add("ann", "hiking", {"bob", "cat"})->tokens();
    for (int i = 0; i < 5; ++i) {
      const auto posted = client_.Publish("ann", "hiking", "up " + std::to_string(i));
      ASSERT_THAT(posted, Succeeds());
      ids_.push_back(posted->update_id());
      posted_ = posted->tokens();
    }
    ASSERT_THAT(client_.Home("bob", posted_), Succeeds());
  }

  v1::ScrubTimelinesResponse Scrub(v1::ScrubTimelinesRequest request) {
    v1::ScrubTimelinesResponse all;
    do {
      const auto page = client_.Admin(&Stub::ScrubTimelines, request);
      EXPECT_THAT(page, Succeeds());
      if (!page.ok()) {
        break;
      }
      const uint32_t persons = all.persons() + page->persons();
      all.MergeFrom(*page);
      all.set_persons(persons);
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return all;
  }
  v1::ScrubTimelinesResponse ScrubBob(bool repair = false) {
    v1::ScrubTimelinesRequest request;
    request.add_persons("bob");
    request.set_repair(repair);
    return Scrub(request);
  }
  // Of everybody, as `klatch admin scrub --all` does it.
  v1::ScrubTimelinesResponse ScrubOwnLists() {
    v1::ScrubTimelinesResponse all;
    v1::ScrubTimelinesRequest request;
    request.set_own_lists(true);
    for (uint32_t partition = 0; partition < kPartitions; ++partition) {
      request.set_partition(partition);
      all.MergeFrom(Scrub(request));
    }
    return all;
  }
  v1::ScrubTimelinesResponse ScrubMembers(bool repair = false) {
    v1::ScrubTimelinesResponse all;
    v1::ScrubTimelinesRequest request;
    request.set_repair(repair);
    const int shards = Status().shards_size();
    for (int shard = 0; shard < shards; ++shard) {
      request.set_members_of_shard(static_cast<uint32_t>(shard));
      const v1::ScrubTimelinesResponse some = Scrub(request);
      const uint32_t persons = all.persons() + some.persons();
      all.MergeFrom(some);
      all.set_persons(persons);
    }
    return all;
  }
  // "VIEW_MISSING hiking", sorted.
  static std::vector<std::string> Names(const v1::ScrubTimelinesResponse& response) {
    std::vector<std::string> names;
    for (const v1::Finding& finding : response.findings()) {
      std::string name = v1::FindingKind_Name(finding.kind()).substr(sizeof("FINDING_KIND"));
      name += " " + (finding.key().empty() ? finding.group() : finding.key());
      names.push_back(finding.update_id() == 0 ? name
                                               : name + " " + std::to_string(finding.update_id()));
    }
    std::ranges::sort(names);
    return names;
  }

  // Until nothing waits to be written: a scrub of nobody's damage settles.
  void Settle() { ASSERT_THAT(Names(ScrubBob()), IsEmpty()); }

  void Must(const redis::Command& command) {
    const auto reply = redis_->Call(command);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  std::string Get(const std::string& key) {
    const auto reply = redis_->Call({"GET", key});
    return reply.ok() ? std::string(reply->text()) : "";
  }
  std::string Field(const std::string& key, const std::string& field) {
    const auto reply = redis_->Call({"HGET", key, field});
    return reply.ok() ? std::string(reply->text()) : "";
  }
  // Takes an id out of the stored ring, its slot emptied.
  void TakeOut(const std::string& key, uint64_t id) {
    std::string ring = Get(key);
    for (size_t at = 0; at + kSlotBytes <= ring.size(); at += kSlotBytes) {
      if (base::LoadLittleEndian<uint64_t>(ring, at) == id) {
        ring.replace(at, kSlotBytes, std::string(kSlotBytes, '\0'));
      }
    }
    Must({"SET", key, ring});
  }
  static bool Holds(const std::string& ring, uint64_t id) {
    const std::vector<uint64_t> ids = UnpackIds(ring);
    return std::ranges::find(ids, id) != ids.end();
  }

  // A position before which everything is older.
  static uint64_t Before(uint64_t id) {
    const Position position(id);
    return Position(position.ms() - 1, position.shard(), 0xfff).value();
  }

  v1::GetStatusResponse Status() {
    const auto status = client_.Admin(&Stub::GetStatus, {});
    EXPECT_THAT(status, Succeeds());
    return status.response;
  }
  Answer<v1::ReadLogResponse> ReadLog(uint32_t shard, uint64_t after, int size = 1'000,
                                      bool with_bodies = false) {
    v1::ReadLogRequest request;
    request.set_shard(shard);
    request.set_after(after);
    request.set_page_size(size);
    request.set_with_bodies(with_bodies);
    return client_.Admin(&Stub::ReadLog, request);
  }

  Klatchd klatchd_{
      {.arguments = {"--shards", std::to_string(kShards), "--partitions",
                     std::to_string(kPartitions), "--workers", "2", "--log-retention", "1s"}}};
  Client client_{klatchd_.Channel()};
  const std::unique_ptr<redis::Connection> redis_ = klatchd_.ConnectRedis();
  const Layout layout_{"default", kShards, kPartitions};
  const Keys keys_{layout_};
  const PersonId bob_{"bob"};
  const GroupId hiking_{"hiking"};
  const GroupId chess_{"chess"};
  Tokens joined_;
  Tokens posted_;
  std::vector<uint64_t> ids_;
};

TEST_F(KlatchdAdminTest, StatusTellsWhatIsThere) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const v1::GetStatusResponse status = Status();
  EXPECT_EQ(status.version(), "0.1.0");
  EXPECT_FALSE(status.node_id().empty());
  EXPECT_EQ(status.namespace_(), "default");
  EXPECT_THAT(status.reasons(), IsEmpty());
  EXPECT_EQ(status.partition_count(), kPartitions);
  EXPECT_EQ(status.partitions_held(), kPartitions);
  EXPECT_GT(status.lease_left().seconds() * 1'000'000'000 + status.lease_left().nanos(), 0);
  EXPECT_LE(status.lease_left().seconds(), 3);
  EXPECT_EQ(status.persons(), 3u);
  EXPECT_EQ(status.groups(), 2u);
  EXPECT_EQ(status.unflushed_entries(), 0u);
  EXPECT_EQ(status.unflushed_memberships(), 0u);
  EXPECT_EQ(status.holes(), 0u);
  EXPECT_EQ(status.calls(), 1u);
  EXPECT_EQ(status.watches(), 0u);
  EXPECT_EQ(status.redis().version().substr(0, 2), "7.");
  EXPECT_GT(status.redis().memory_used(), 0u);
  ASSERT_THAT(status.shards(), SizeIs(kShards));
  for (const v1::Token& token : posted_) {
    const v1::ShardStatus& shard = status.shards(static_cast<int>(token.shard()));
    EXPECT_GE(shard.applied(), token.position());
    EXPECT_GE(shard.end(), token.position());
    EXPECT_EQ(shard.lag().seconds(), 0);
    EXPECT_GT(shard.oldest(), 0u);
    EXPECT_LE(shard.oldest(), shard.end());
    EXPECT_GT(shard.bytes(), 0u);
    EXPECT_GE(shard.records(), 7u);
  }
}

TEST_F(KlatchdAdminTest, StatusAnswersWithoutRedis) {
  const pid_t redis = klatchd_.RedisProcess();
  ASSERT_GT(redis, 0);
  ASSERT_EQ(kill(redis, SIGSTOP), 0);
  const auto status = client_.Admin(&Stub::GetStatus, {});
  EXPECT_EQ(kill(redis, SIGCONT), 0);
  ASSERT_THAT(status, Succeeds());
  EXPECT_EQ(status->persons(), 3u);
  EXPECT_EQ(status->redis().version(), "");
  EXPECT_GE(status->reasons_size(), 1);
}

TEST_F(KlatchdAdminTest, RebuildPutsBackWhatIsGone) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string key = keys_.Timeline(bob_);
  Must({"DEL", key});
  v1::RebuildTimelinesRequest request;
  request.add_persons("bob");
  request.add_persons("nobody");
  request.add_persons("cat");
  const auto rebuilt = client_.Admin(&Stub::RebuildTimelines, request);
  ASSERT_THAT(rebuilt, Succeeds());
  ASSERT_THAT(rebuilt->results(), SizeIs(3));
  EXPECT_EQ(rebuilt->results(0).outcome(), v1::REBUILD_OUTCOME_REBUILT);
  EXPECT_EQ(rebuilt->results(1).outcome(), v1::REBUILD_OUTCOME_UNKNOWN_PERSON);
  EXPECT_EQ(rebuilt->results(2).outcome(), v1::REBUILD_OUTCOME_REBUILT);
  EXPECT_THAT(UnpackIds(Get(key)), IsSupersetOf(ids_));
  EXPECT_EQ(Status().holes(), 0u);
  EXPECT_THAT(client_.Home("bob").response.updates(), SizeIs(5));
}

TEST_F(KlatchdAdminTest, ScrubOfWhatIsWellFindsNothing) {
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
  for (uint32_t partition = 0; partition < kPartitions; ++partition) {
    v1::ScrubTimelinesRequest request;
    request.set_partition(partition);
    EXPECT_THAT(Names(Scrub(request)), IsEmpty());
  }
}

TEST_F(KlatchdAdminTest, ScrubFindsAndMendsAMissingCopy) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  TakeOut(keys_.Timeline(bob_), ids_[2]);
  const std::string name = "COPY_MISSING hiking " + std::to_string(ids_[2]);
  EXPECT_THAT(Names(ScrubBob()), ElementsAre(name));
  EXPECT_FALSE(Holds(Get(keys_.Timeline(bob_)), ids_[2])) << "it was not asked to mend";
  const auto mended = ScrubBob(/*repair=*/true);
  ASSERT_THAT(Names(mended), ElementsAre(name));
  EXPECT_TRUE(mended.findings(0).repairing());
  EXPECT_TRUE(Holds(Get(keys_.Timeline(bob_)), ids_[2]));
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
}

TEST_F(KlatchdAdminTest, ScrubFindsAndMendsAViewThatLacksAMembership) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string key = keys_.PersonGroups(bob_);
  const std::string before = Field(key, "hiking");
  ASSERT_EQ(before.size(), kViewBytes);
  Must({"HDEL", key, "hiking"});
  EXPECT_THAT(Names(ScrubBob()), ElementsAre("VIEW_MISSING hiking"));
  EXPECT_THAT(Names(ScrubBob(/*repair=*/true)), ElementsAre("VIEW_MISSING hiking"));
  EXPECT_EQ(Field(key, "hiking"), before);
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
}

TEST_F(KlatchdAdminTest, ScrubFindsAndMendsAViewWithAStrayMembership) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string key = keys_.PersonGroups(bob_);
  Must({"HSET", key, "chess", Field(key, "hiking")});
  EXPECT_THAT(Names(ScrubBob()), ElementsAre("VIEW_STRAY chess"));
  EXPECT_THAT(Names(ScrubBob(/*repair=*/true)), ElementsAre("VIEW_STRAY chess"));
  // Until the checkpoint has passed the repair, Redis knows that bob is out of it.
  EXPECT_TRUE(Eventually([&] { return Field(key, "chess").empty(); }));
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
}

TEST_F(KlatchdAdminTest, ScrubFindsAndMendsAViewThatDiffersOrCanNotBeRead) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string key = keys_.PersonGroups(bob_);
  const std::string before = Field(key, "hiking");
  std::string promoted = before;
  promoted[0] = static_cast<char>(Role::kOwner);
  Must({"HSET", key, "hiking", promoted});
  EXPECT_THAT(Names(ScrubBob(/*repair=*/true)), ElementsAre("VIEW_DIFFERS hiking"));
  EXPECT_EQ(Field(key, "hiking"), before);
  Must({"HSET", key, "hiking", "?"});
  EXPECT_THAT(Names(ScrubBob(/*repair=*/true)), ElementsAre("UNREADABLE hiking"));
  EXPECT_EQ(Field(key, "hiking"), before);
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
}

TEST_F(KlatchdAdminTest, ScrubFindsAndMendsKeysOfAnotherType) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string view = Field(keys_.PersonGroups(bob_), "hiking");
  for (const std::string& key : {keys_.Timeline(bob_), keys_.PersonGroups(bob_)}) {
    SCOPED_TRACE(key);
    Must({"DEL", key});
    Must({"RPUSH", key, "x"});
    EXPECT_THAT(Names(ScrubBob()), ElementsAre("UNREADABLE " + key));
    EXPECT_THAT(Names(ScrubBob(/*repair=*/true)), ElementsAre("UNREADABLE " + key));
    EXPECT_THAT(Names(ScrubBob()), IsEmpty());
  }
  EXPECT_THAT(UnpackIds(Get(keys_.Timeline(bob_))), IsSupersetOf(ids_));
  EXPECT_EQ(Field(keys_.PersonGroups(bob_), "hiking"), view);
}

TEST_F(KlatchdAdminTest, ScrubTellsOfAGroupsKeysOfAnotherTypeButCanNotMendThem) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string feed = Get(keys_.Feed(hiking_));
  Must({"DEL", keys_.Feed(hiking_)});
  Must({"RPUSH", keys_.Feed(hiking_), "x"});
  const auto found = ScrubBob(/*repair=*/true);
  ASSERT_THAT(Names(found), ElementsAre("UNREADABLE " + keys_.Feed(hiking_)));
  EXPECT_FALSE(found.findings(0).repairing());
  EXPECT_EQ(found.findings(0).person(), "");
  Must({"SET", keys_.Feed(hiking_), feed});
}

// What the group says counts: here it is the group's own list that is changed, as if the node had
// lost records.
TEST_F(KlatchdAdminTest, ScrubBringsMemoryToWhatTheGroupSays) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string stay = Field(keys_.Members(hiking_), "bob");
  Must({"HDEL", keys_.Members(hiking_), "bob"});
  const auto gone = ScrubBob(/*repair=*/true);
  ASSERT_THAT(Names(gone), ElementsAre("VIEW_STRAY hiking")) << "its copies are not told of, too";
  EXPECT_TRUE(gone.findings(0).in_memory());
  EXPECT_THAT(client_.Home("bob").response.updates(), IsEmpty());
  EXPECT_TRUE(Eventually([&] { return Field(keys_.PersonGroups(bob_), "hiking").empty(); }));
  const auto missed = client_.Publish("ann", "hiking", "without bob");
  ASSERT_THAT(missed, Succeeds());
  ASSERT_THAT(client_.Home("bob", missed->tokens()).response.updates(), IsEmpty());

  // Neither of bob's lists knows of the group any more.
  Must({"HSET", keys_.Members(hiking_), "bob", stay});
  const auto back = ScrubBob(/*repair=*/true);
  ASSERT_THAT(Names(back), ElementsAre("VIEW_MISSING hiking"));
  EXPECT_TRUE(back.findings(0).in_memory());
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
  EXPECT_THAT(TextsOf(*client_.Home("bob")),
              ElementsAre("without bob", "up 4", "up 3", "up 2", "up 1", "up 0"));
  const auto next = client_.Publish("ann", "hiking", "with bob");
  ASSERT_THAT(next, Succeeds());
  EXPECT_EQ(TextsOf(*client_.Home("bob", next->tokens())).front(), "with bob");
}

TEST_F(KlatchdAdminTest, ScrubOfMembersFindsWhoseListsDoNotKnow) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  EXPECT_THAT(Names(ScrubMembers()), IsEmpty());
  const std::string stay = Field(keys_.Members(hiking_), "bob");
  Must({"HDEL", keys_.Members(hiking_), "bob"});
  ASSERT_THAT(Names(ScrubBob(/*repair=*/true)), ElementsAre("VIEW_STRAY hiking"));
  ASSERT_TRUE(Eventually([&] { return Field(keys_.PersonGroups(bob_), "hiking").empty(); }));
  Must({"HSET", keys_.Members(hiking_), "bob", stay});

  EXPECT_THAT(Names(ScrubOwnLists()), IsEmpty());
  const auto found = ScrubMembers();
  ASSERT_THAT(Names(found), ElementsAre("VIEW_MISSING hiking"));
  EXPECT_EQ(found.findings(0).person(), "bob");
  EXPECT_TRUE(found.findings(0).in_memory());
  EXPECT_FALSE(found.findings(0).repairing());
  const auto mended = ScrubMembers(/*repair=*/true);
  ASSERT_THAT(Names(mended), ElementsAre("VIEW_MISSING hiking"));
  EXPECT_TRUE(mended.findings(0).repairing());
  EXPECT_THAT(Names(ScrubMembers()), IsEmpty());
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
  EXPECT_THAT(client_.Home("bob").response.updates(), SizeIs(5));
}

TEST_F(KlatchdAdminTest, ScrubOfMembersTellsOfWhomNobodyKnows) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  Must({"HSET", keys_.Members(hiking_), "stranger", Field(keys_.Members(hiking_), "bob")});
  Must({"DEL", keys_.Members(GroupId("chess"))});
  Must({"SET", keys_.Members(GroupId("chess")), "foreign"});
  const auto found = ScrubMembers(/*repair=*/true);
  ASSERT_THAT(Names(found),
              ElementsAre("UNREADABLE " + keys_.Members(GroupId("chess")), "VIEW_MISSING hiking"));
  for (const v1::Finding& finding : found.findings()) {
    EXPECT_FALSE(finding.repairing()) << finding.group();
    EXPECT_EQ(finding.person(), finding.kind() == v1::FINDING_KIND_VIEW_MISSING ? "stranger" : "");
  }
}

TEST_F(KlatchdAdminTest, ScrubOfMembersLooksAtAllOfThem) {
  std::vector<std::string> members;
  for (int i = 0; i < 150; ++i) {
    members.push_back("member-" + std::to_string(i));
  }
  ASSERT_THAT(client_.Add("ann", "chess", members), Succeeds());
  ASSERT_NO_FATAL_FAILURE(Settle());
  const auto found = ScrubMembers();
  EXPECT_THAT(Names(found), IsEmpty());
  // ann in both, bob, cat.
  EXPECT_EQ(found.persons(), members.size() + 4);
}

TEST_F(KlatchdAdminTest, WhatIsMendedOutlivesARestart) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  Must({"HDEL", keys_.PersonGroups(bob_), "hiking"});
  TakeOut(keys_.Timeline(bob_), ids_[0]);
  ASSERT_THAT(Names(ScrubBob(/*repair=*/true)), SizeIs(1)) << "of the group the view is told of";
  ASSERT_THAT(Names(ScrubBob(/*repair=*/true)),
              ElementsAre("COPY_MISSING hiking " + std::to_string(ids_[0])));
  klatchd_.Kill();
  klatchd_.Start();
  client_.~Client();
  new (&client_) Client(klatchd_.Channel());
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
  EXPECT_THAT(client_.Home("bob").response.updates(), SizeIs(5));
}

TEST_F(KlatchdAdminTest, WhatIsUnderWayIsNoFinding) {
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      client_.Publish("ann", "hiking", "busy " + std::to_string(i));
      if (i % 8 == 0) {
        client_.Remove("ann", "hiking", {"cat"});
        client_.Add("ann", "hiking", {"cat"});
      }
    }
  });
  std::vector<std::string> found;
  for (int i = 0; i < 30; ++i) {
    v1::ScrubTimelinesRequest request;
    request.add_persons("bob");
    request.add_persons("cat");
    std::ranges::move(Names(Scrub(request)), std::back_inserter(found));
  }
  stop.store(true, std::memory_order_relaxed);
  writer.join();
  EXPECT_THAT(found, IsEmpty());
}

TEST_F(KlatchdAdminTest, TheLogReadsWholePageByPage) {
  const uint32_t shard = layout_.ShardOf(hiking_).value();
  std::vector<uint64_t> positions;
  std::vector<std::string> texts;
  for (uint64_t after = 0;;) {
    const auto page = ReadLog(shard, after, 2, /*with_bodies=*/true);
    ASSERT_THAT(page, Succeeds());
    EXPECT_FALSE(page->trimmed());
    EXPECT_LE(page->entries_size(), 2);
    for (const v1::LogEntry& entry : page->entries()) {
      positions.push_back(entry.position());
      if (entry.record().has_published()) {
        texts.push_back(entry.update().text());
        EXPECT_EQ(entry.update().author(), "ann");
        EXPECT_EQ(entry.update().id(), entry.position());
      }
    }
    if (page->entries().empty()) {
      EXPECT_EQ(page->next_after(), after);
      EXPECT_EQ(page->end(), after);
      break;
    }
    after = page->next_after();
    EXPECT_EQ(after, positions.back());
  }
  EXPECT_TRUE(std::ranges::is_sorted(positions));
  EXPECT_THAT(std::set<uint64_t>(positions.begin(), positions.end()), SizeIs(positions.size()));
  EXPECT_THAT(positions, IsSupersetOf(ids_));
  EXPECT_THAT(texts, IsSupersetOf({"up 0", "up 1", "up 2", "up 3", "up 4"}));
}

TEST_F(KlatchdAdminTest, BodiesAreAsTheyAreNowAndGoneWhenDeleted) {
  ASSERT_THAT(client_.Edit("ann", ids_[0], "changed"), Succeeds());
  ASSERT_THAT(client_.Delete("ann", ids_[1]), Succeeds());
  const auto page = ReadLog(layout_.ShardOf(hiking_).value(), Before(ids_[0]), 1'000, true);
  ASSERT_THAT(page, Succeeds());
  ASSERT_GE(page->entries_size(), 2);
  EXPECT_EQ(page->entries(0).update().text(), "changed");
  EXPECT_FALSE(page->entries(1).has_update());
  const auto without = ReadLog(layout_.ShardOf(hiking_).value(), Before(ids_[0]));
  EXPECT_FALSE(without->entries(0).has_update());
}

TEST_F(KlatchdAdminTest, ATrimmedLogSaysSo) {
  const uint32_t shard = layout_.ShardOf(hiking_).value();
  Must({"XTRIM", keys_.Log(ShardIndex(shard)), "MINID", "=", Position(ids_[3]).ToStreamId()});
  const auto from_the_beginning = ReadLog(shard, 0);
  ASSERT_THAT(from_the_beginning, Succeeds());
  EXPECT_TRUE(from_the_beginning->trimmed());
  EXPECT_EQ(from_the_beginning->oldest(), ids_[3]);
  EXPECT_EQ(from_the_beginning->entries(0).position(), ids_[3]);
  EXPECT_TRUE(ReadLog(shard, ids_[1])->trimmed());
  EXPECT_FALSE(ReadLog(shard, ids_[3])->trimmed());
  EXPECT_FALSE(ReadLog(shard, ids_[4])->trimmed());
}

TEST_F(KlatchdAdminTest, LargeBodiesCutAPageNotTheAnswer) {
  const std::string text(10'000, 'x');
  for (int i = 0; i < 150; ++i) {
    ASSERT_THAT(client_.Publish("ann", "hiking", text), Succeeds());
  }
  const uint32_t shard = layout_.ShardOf(hiking_).value();
  int texts = 0;
  int pages = 0;
  for (uint64_t after = ids_.back(); true; ++pages) {
    const auto page = ReadLog(shard, after, 1'000, true);
    ASSERT_THAT(page, Succeeds());
    EXPECT_LE(page->ByteSizeLong(), size_t{1 << 20} + 100);
    if (page->entries().empty()) {
      break;
    }
    for (const v1::LogEntry& entry : page->entries()) {
      texts += entry.update().text() == text ? 1 : 0;
    }
    after = page->next_after();
  }
  EXPECT_EQ(texts, 150);
  EXPECT_GE(pages, 2);
}

TEST_F(KlatchdAdminTest, PostsToSeveralGroupsAreNoFindingsAndHaveTheirBodies) {
  ASSERT_THAT(client_.Add("ann", "chess", {"bob"}), Succeeds());
  v1::PublishUpdateRequest request = Client::Post("ann", "hiking", "to both");
  request.mutable_update()->add_groups("chess");
  const auto posted = client_.Publish(request);
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(Names(ScrubBob()), IsEmpty());
  TakeOut(keys_.Timeline(bob_), posted->update_id());
  EXPECT_THAT(Names(ScrubBob(/*repair=*/true)), SizeIs(1));
  EXPECT_TRUE(Holds(Get(keys_.Timeline(bob_)), posted->update_id()));
  const uint32_t home = Position(posted->update_id()).shard().value();
  const auto page = ReadLog(home, Before(posted->update_id()), 1, true);
  ASSERT_THAT(page, Succeeds());
  ASSERT_THAT(page->entries(), SizeIs(1));
  EXPECT_EQ(page->entries(0).update().text(), "to both");
  EXPECT_THAT(page->entries(0).update().groups(),
              ::testing::UnorderedElementsAre("hiking", "chess"));
}

// Copies that nobody is to have are not missing: of groups that are read from their feeds, and of
// persons who don't read.
TEST(KlatchdScrubTest, WhatIsNotCopiedByDesignIsNoFinding) {
  Klatchd klatchd({.arguments = {"--shards", "4", "--partitions", "1", "--workers", "1",
                                 "--pull-above", "3", "--quiet-after", "1s"}});
  Client client(klatchd.Channel());
  const auto found = [&client] {
    v1::ScrubTimelinesRequest request;
    const auto page = client.Admin(&Stub::ScrubTimelines, request);
    EXPECT_EQ(page->next_page_token(), "");
    return page->findings_size();
  };
  for (const char* group : {"crowd", "pair"}) {
    ASSERT_THAT(client.CreateGroup("ann", group), Succeeds());
    ASSERT_THAT(client.Add("ann", group, {"bob"}), Succeeds());
  }
  ASSERT_THAT(client.Publish("ann", "crowd", "copied"), Succeeds());
  ASSERT_THAT(client.Add("ann", "crowd", {"cat", "dan"}), Succeeds());
  const auto metric = [&klatchd](const std::string& line) {
    return klatchd.Get("/metrics").second.find("\n" + line + "\n") != std::string::npos;
  };
  ASSERT_TRUE(Eventually([&] { return metric("klatch_pulled_groups 1"); }));
  for (const char* group : {"crowd", "pair"}) {
    ASSERT_THAT(client.Publish("ann", group, "more"), Succeeds());
  }
  EXPECT_EQ(found(), 0);
  ASSERT_TRUE(Eventually([&] { return metric("klatch_quiet_persons 4"); }));
  ASSERT_THAT(client.Publish("ann", "pair", "nobody looks"), Succeeds());
  EXPECT_EQ(found(), 0);
}

}  // namespace
}  // namespace klatch::testing
