// Letting go what groups keep no longer, against a real redis-server: the records, the bodies, and what
// happens when it is broken off.

#include <fmt/format.h>

#include <chrono>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "services/log/retention_keeper.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class LogRetentionRedisTest : public LogRedisTest {
 protected:
  std::unique_ptr<RetentionKeeper> MakeKeeper(const GroupRetention& of_namespace = {}) {
    auto connection = redis::Connection::Connect(server_.address(), {});
    EXPECT_TRUE(connection.ok()) << connection.status();
    return std::make_unique<RetentionKeeper>(layout_,
                                             RetentionKeeper::Options{.of_namespace = of_namespace},
                                             *std::move(connection), clock_);
  }

  void MakeBounded(const char* group, const GroupRetention& retention) {
    CreateGroupCommand command = NewGroup("ann", group);
    command.group.retention = retention;
    ASSERT_THAT(Await(appender_->CreateGroup(command)), IsOk());
  }
  void Bound(const char* group, const GroupRetention& retention) {
    UpdateGroupCommand command;
    command.actor = PersonId("ann");
    command.group = GroupId(group);
    command.keep_age = retention.age;
    command.keep_count = retention.count;
    command.keep_bytes = retention.bytes;
    const auto updated = Await(appender_->UpdateGroup(command));
    ASSERT_THAT(updated, IsOk());
    EXPECT_EQ(updated->group.fields.retention, retention);
  }

  std::vector<UpdateId> Fill(const char* group, size_t count) {
    std::vector<UpdateId> ids;
    for (size_t i = 0; i < count; ++i) {
      const auto published = Publish(Post("ann", group, fmt::format("{}", posts_++)));
      EXPECT_THAT(published, IsOk());
      ids.push_back(published->position);
    }
    return ids;
  }
  // Brings a post to several groups to this one; its position there.
  Position CarryTo(const char* group, UpdateId update) {
    const auto carried = Await(
        appender_->CarryTo({update, PersonId("ann"), GroupId(group), AudienceRule::kMembersNow}));
    EXPECT_THAT(carried, IsOk());
    return carried->position;
  }

  // How many of the bodies are stored.
  size_t Stored(const std::vector<UpdateId>& ids) {
    size_t stored = 0;
    for (const UpdateId id : ids) {
      stored += Redis({"STRLEN", keys_.Update(id)}).integer() > 0 ? 1 : 0;
    }
    return stored;
  }
  Position KeptSinceOf(const char* group) {
    const redis::Reply kept = Redis({"HGET", keys_.Kept(layout_.ShardOf(GroupId(group))), group});
    return kept.is_nil() ? Position() : Position(base::LoadLittleEndian<uint64_t>(kept.text(), 0));
  }
  // The positions in the records of trims.
  std::vector<Position> TrimsOf(const char* group) {
    std::vector<Position> trims;
    for (const LogEntry& entry : Records(group)) {
      if (entry.record.has_updates_trimmed() && entry.record.group() == group) {
        trims.emplace_back(entry.record.updates_trimmed().kept_since());
      }
    }
    return trims;
  }

  const base::SystemClock clock_;
  int posts_ = 0;
};

TEST_F(LogRetentionRedisTest, KeepsTheNewestByCountAndTellsItInTheLogOnce) {
  MakeBounded("g", {.count = 3});
  MakeGroup("ann", "unbounded");
  const auto keeper = MakeKeeper();
  const std::vector<UpdateId> ids = Fill("g", 10);
  const std::vector<UpdateId> others = Fill("unbounded", 10);
  ASSERT_TRUE(keeper->KeepAll().ok());
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_THAT(TrimsOf("g"), ::testing::ElementsAre(ids[7]));
  EXPECT_EQ(KeptSinceOf("g"), ids[7]);
  EXPECT_EQ(Stored({ids.begin(), ids.begin() + 7}), 0u);
  EXPECT_EQ(Stored({ids.begin() + 7, ids.end()}), 3u);
  EXPECT_EQ(Stored(others), 10u);
  EXPECT_EQ(keeper->bodies_deleted(), 7u);

  const std::vector<UpdateId> more = Fill("g", 1);
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_THAT(TrimsOf("g"), ::testing::ElementsAre(ids[7], ids[8]));
  EXPECT_EQ(keeper->bodies_deleted(), 8u);
  EXPECT_EQ(keeper->trims(), 2u);
}

TEST_F(LogRetentionRedisTest, FeedThatWentAroundKeepsTheNewest) {
  MakeBounded("g", {.count = 5});
  const std::vector<UpdateId> ids = Fill("g", 900);
  const auto keeper = MakeKeeper();
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), ids[895]);
  EXPECT_EQ(Stored({ids.begin() + 20, ids.end()}), 5u);
  const std::vector<UpdateId> more = Fill("g", 2);
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), ids[897]);
}

TEST_F(LogRetentionRedisTest, KeepsWhatIsYoungEnough) {
  MakeBounded("old", {.age = milliseconds(1)});
  MakeBounded("young", {.age = hours(1)});
  const std::vector<UpdateId> old = Fill("old", 3);
  const std::vector<UpdateId> young = Fill("young", 3);
  const auto keeper = MakeKeeper();
  while (Stored(old) != 0) {
    ASSERT_TRUE(keeper->KeepAll().ok());
  }
  EXPECT_GT(KeptSinceOf("old"), old.back());
  EXPECT_EQ(Stored(young), 3u);
  EXPECT_THAT(TrimsOf("young"), ::testing::IsEmpty());
  // Without updates time makes no records.
  const size_t trims = TrimsOf("old").size();
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(TrimsOf("old").size(), trims);
}

TEST_F(LogRetentionRedisTest, KeepsTheNewestByBytes) {
  const std::string text(400, 'x');
  MakeBounded("g", {.bytes = 1'024});
  std::vector<UpdateId> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(Publish(Post("ann", "g", std::to_string(i), text))->position);
  }
  ASSERT_TRUE(MakeKeeper()->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), ids[3]);
  EXPECT_EQ(Stored(ids), 2u);
}

TEST_F(LogRetentionRedisTest, TheNamespacesBoundsHoldForEveryGroupAndAGroupCanOnlyTightenThem) {
  MakeGroup("ann", "usual");
  MakeBounded("tighter", {.count = 2});
  MakeBounded("looser", {.count = 100});
  const auto keeper = MakeKeeper({.count = 4});
  for (const char* group : {"usual", "tighter", "looser"}) {
    Fill(group, 6);
  }
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(keeper->bodies_deleted(), 2u + 4u + 2u);
}

TEST_F(LogRetentionRedisTest, BodiesOfPostsToSeveralGroupsStayAndTheirPositionHereCounts) {
  MakeBounded("g", {.count = 2});
  const UpdateId several(1'000'000, layout_.ShardOf(GroupId("g")), 7);
  const UpdateId elsewhere(1'000'000, ShardIndex((several.shard().value() + 1) % 4), 7);
  BodyHeader header{AudienceRule::kMembersNow, 0, PersonId("ann"), GroupId()};
  header.targets.push_back({GroupId("g"), Carry{}});
  for (const UpdateId id : {several, elsewhere}) {
    Redis({"SET", keys_.Update(id), EncodeBody(header, "")});
  }
  const std::vector<UpdateId> first = Fill("g", 1);
  CarryTo("g", several);
  const Position kept = CarryTo("g", elsewhere);
  const std::vector<UpdateId> last = Fill("g", 1);
  ASSERT_TRUE(MakeKeeper()->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), kept);
  EXPECT_EQ(Stored(first), 0u);
  EXPECT_EQ(Stored({several, elsewhere}), 2u);
}

TEST_F(LogRetentionRedisTest, WhatWasBrokenOffBehindTheRecordIsDoneByTheNextKeeper) {
  MakeBounded("g", {.count = 2});
  const std::vector<UpdateId> ids = Fill("g", 5);
  // As a keeper leaves it that dies between the record and the deletions.
  std::string packed;
  base::AppendLittleEndian<uint64_t>(packed, ids[3].value());
  Redis({"HSET", keys_.Kept(layout_.ShardOf(GroupId("g"))), "g", packed});
  ASSERT_TRUE(MakeKeeper()->KeepAll().ok());
  EXPECT_EQ(Stored(ids), 2u);
  EXPECT_THAT(TrimsOf("g"), ::testing::IsEmpty());
}

TEST_F(LogRetentionRedisTest, LooserAndNoBoundsLeaveThePastWhereItBegins) {
  MakeGroup("ann", "g");
  const auto keeper = MakeKeeper();
  const std::vector<UpdateId> ids = Fill("g", 6);
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(Stored(ids), 6u);
  Bound("g", {.count = 2});
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), ids[4]);
  Bound("g", {.age = hours(1), .count = 5, .bytes = 1 << 20});
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), ids[4]);
  Bound("g", {});
  ASSERT_TRUE(keeper->KeepAll().ok());
  Fill("g", 10);
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(KeptSinceOf("g"), ids[4]);
  EXPECT_EQ(TrimsOf("g").size(), 1u);
}

TEST_F(LogRetentionRedisTest, GroupWhoseKeysHoldSomethingElseKeepsNoOtherWaiting) {
  MakeBounded("broken", {.count = 1});
  MakeBounded("g", {.count = 1});
  const std::vector<UpdateId> ids = Fill("g", 3);
  Redis({"DEL", keys_.Feed(GroupId("broken"))});
  Redis({"SADD", keys_.Feed(GroupId("broken")), "no feed"});
  Redis({"HSET", keys_.Group(GroupId("broken")), "f", "7"});
  ASSERT_TRUE(MakeKeeper()->KeepAll().ok());
  EXPECT_EQ(Stored(ids), 1u);
}

TEST_F(LogRetentionRedisTest, DeletedGroupIsForgotten) {
  MakeBounded("g", {.count = 1});
  const ShardIndex shard = layout_.ShardOf(GroupId("g"));
  EXPECT_EQ(Redis({"HEXISTS", keys_.Kept(shard), "g"}).integer(), 1);
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("g"))), IsOk());
  EXPECT_EQ(Redis({"HEXISTS", keys_.Kept(shard), "g"}).integer(), 0);
  ASSERT_TRUE(MakeKeeper()->KeepAll().ok());
}

TEST_F(LogRetentionRedisTest, GroupsThatAlwaysHaveNewPostsKeepNoOtherWaiting) {
  constexpr size_t kGroups = limits::kKeeperGroupsPerPass * 5 / 2;
  std::vector<std::string> groups;
  for (size_t i = 0; i < kGroups; ++i) {
    groups.push_back(fmt::format("g{}", i));
    MakeBounded(groups.back().c_str(), {.count = 1});
  }
  const auto keeper = MakeKeeper();
  for (size_t looked_at = 0; looked_at < kGroups; looked_at += limits::kKeeperGroupsPerPass) {
    for (const std::string& group : groups) {
      Fill(group.c_str(), 2);
    }
    ASSERT_TRUE(keeper->KeepAll().ok());
  }
  for (const std::string& group : groups) {
    EXPECT_NE(KeptSinceOf(group.c_str()), Position()) << group;
  }
  EXPECT_EQ(keeper->trims(), kGroups);
}

TEST_F(LogRetentionRedisTest, DeletedGroupIsNotRemembered) {
  MakeBounded("g", {.count = 1});
  MakeBounded("other", {.count = 1});
  const auto keeper = MakeKeeper();
  ASSERT_TRUE(keeper->KeepAll().ok());
  EXPECT_EQ(keeper->groups_remembered(), 2u);
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("g"))), IsOk());
  for (int scan = 0; scan < 3; ++scan) {
    ASSERT_TRUE(keeper->KeepAll().ok());
  }
  EXPECT_EQ(keeper->groups_remembered(), 1u);
}

}  // namespace
}  // namespace klatch::testing
