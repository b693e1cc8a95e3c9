// What a node reads before it serves, from a real Redis that was filled by hand: persons page by page, and what the
// groups say where a log does not go on.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "services/materialize/gap_loader.h"
#include "services/materialize/person_pages.h"
#include "services/materialize/stored_ring.h"
#include "services/model/body.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Position At(uint64_t ms, uint32_t shard) { return {ms, ShardIndex(shard), 0}; }

std::string View(const Stay& stay, Position changed) {
  std::string bytes = EncodeStay(stay);
  base::AppendLittleEndian<uint64_t>(bytes, changed.value());
  return bytes;
}

class LoadersRedisTest : public RedisTest {
 protected:
  void Do(redis::Command command) {
    const auto reply = redis_->Call(command);
    ASSERT_TRUE(reply.ok() && redis::ToStatus(reply->view()).ok()) << command.args[0];
  }

  // Members of `groups` each since 5 ms.
  void StorePerson(const std::string& name, const std::vector<std::string>& groups) {
    const PersonId person(name);
    Do({"SADD", keys_.Persons(layout_.PartitionOf(person)), name});
    for (const std::string& group : groups) {
      const Position joined = At(5, layout_.ShardOf(GroupId(group)).value());
      Do({"HSET", keys_.PersonGroups(person), group,
          View({Role::kMember, joined, joined}, joined)});
    }
  }

  Layout layout_ = [] {
    Layout layout;
    layout.partition_count = 3;
    layout.shard_count = 2;
    return layout;
  }();
  Keys keys_{layout_};
  std::unique_ptr<redis::Connection> redis_ = Connect();
  GroupDirectory groups_{layout_, 100};
};

TEST_F(LoadersRedisTest, AllPersonsComeOnceOrMoreWithWhatIsStored) {
  // More than a page of each partition, and more than wait to be taken.
  constexpr int kPersons = 20'000;
  std::vector<redis::Command> commands;
  std::map<std::string, uint32_t> partitions;
  for (int i = 0; i < kPersons; ++i) {
    const std::string name = "p" + std::to_string(i);
    const PartitionIndex partition = layout_.PartitionOf(PersonId(name));
    partitions[name] = partition.value();
    commands.push_back({"SADD", keys_.Persons(partition), name});
    const Position joined = At(5 + i, 1);
    commands.push_back({"HSET", keys_.PersonGroups(PersonId(name)), "g" + std::to_string(i % 7),
                        View({Role::kMember, joined, Position()}, joined)});
  }
  ASSERT_TRUE(redis_->CallAll(commands).ok());
  Do({"HSET", keys_.Holes(layout_.PartitionOf(PersonId("p3"))), "p3", "77", "nobody", "78"});
  Do({"HSET", keys_.Quiet(layout_.PartitionOf(PersonId("p4"))), "p4", "79"});
  std::string checkpoint;
  base::AppendLittleEndian<uint64_t>(checkpoint, At(100, 0).value());
  base::AppendLittleEndian<uint64_t>(checkpoint, At(90, 1).value());
  Do({"SET", keys_.Checkpoint(PartitionIndex(1)), checkpoint});

  PersonPages pages(layout_, *redis_, groups_);
  std::set<std::string> seen;
  while (true) {
    const auto page = pages.Next();
    ASSERT_TRUE(page.ok()) << page.status();
    if (!*page) {
      break;
    }
    const bool is_second = (*page)->partition == PartitionIndex(1);
    EXPECT_EQ((*page)->floor, is_second ? At(100, 0) : Position());
    EXPECT_EQ((*page)->checkpoint[1], is_second ? At(90, 1) : Position());
    for (const RestoredPerson& person : (*page)->persons) {
      seen.insert(person.id);
      EXPECT_EQ(partitions.at(person.id), (*page)->partition.value());
      const int number = std::stoi(person.id.substr(1));
      ASSERT_EQ(person.memberships.size(), 1);
      EXPECT_EQ(groups_.At(person.memberships[0].group).key(), "g" + std::to_string(number % 7));
      EXPECT_EQ(person.memberships[0].stay.joined, At(5 + number, 1));
      EXPECT_EQ(person.memberships[0].position, At(5 + number, 1));
      EXPECT_EQ(person.hole_since, number == 3 ? 77 : 0);
      EXPECT_EQ(person.quiet_since, number == 4 ? 79 : 0);
    }
  }
  EXPECT_EQ(seen.size(), kPersons);
}

TEST_F(LoadersRedisTest, WhoTakesNoMorePagesLeavesTheConnectionFit) {
  for (int i = 0; i < 5'000; ++i) {
    StorePerson("p" + std::to_string(i), {});
  }
  {
    PersonPages pages(layout_, *redis_, groups_);
    ASSERT_TRUE(pages.Next().ok());
  }
  EXPECT_EQ(redis_->Call({"ECHO", "still here"})->text(), "still here");
}

TEST_F(LoadersRedisTest, WhatCannotBeReadIsNamed) {
  StorePerson("ann", {"g", "h"});
  Do({"HSET", keys_.PersonGroups(PersonId("ann")), "h", "short"});
  const auto read_all = [this] {
    PersonPages pages(layout_, *redis_, groups_);
    auto page = pages.Next();
    while (page.ok() && *page) {
      page = pages.Next();
    }
    return page.status();
  };
  absl::Status status = read_all();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(keys_.PersonGroups(PersonId("ann"))));

  Do({"DEL", keys_.PersonGroups(PersonId("ann"))});
  Do({"SET", keys_.PersonGroups(PersonId("ann")), "no hash"});
  status = read_all();
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("WRONGTYPE"), HasSubstr(keys_.PersonGroups(PersonId("ann")))));

  Do({"DEL", keys_.PersonGroups(PersonId("ann"))});
  Do({"SET", keys_.Checkpoint(PartitionIndex(2)), "12345678"});
  status = read_all();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(keys_.Checkpoint(PartitionIndex(2))));
}

class GapLoaderRedisTest : public LoadersRedisTest {
 protected:
  // A group of shard 0, and one of shard 1.
  std::string GroupOf(uint32_t shard) const {
    for (int i = 0;; ++i) {
      const std::string name = "group-" + std::to_string(i);
      if (layout_.ShardOf(GroupId(name)) == ShardIndex(shard)) {
        return name;
      }
    }
  }

  void StoreUpdate(UpdateId id, const std::string& author, const std::string& group) {
    BodyHeader header;
    header.author = PersonId(author);
    header.group = GroupId(group);
    Do({"SET", keys_.Update(id), EncodeBody(header, "")});
  }

  static std::string Packed(const std::vector<UpdateId>& ids) {
    std::vector<uint64_t> values;
    for (const UpdateId id : ids) {
      values.push_back(id.value());
    }
    return PackIds(values);
  }

  const std::string first_ = GroupOf(0);
  const std::string second_ = GroupOf(1);
  const LogGap gap_{ShardIndex(0), At(10, 0), At(20, 0)};
};

TEST_F(GapLoaderRedisTest, MembersAreTheGroupsOwnWordAndAGoneGroupHasNone) {
  const Stay stay{Role::kModerator, At(7, 0), At(3, 0)};
  Do({"SADD", keys_.Groups(ShardIndex(0)), first_});
  Do({"HSET", keys_.Members(GroupId(first_)), "ann", EncodeStay(stay), "ben",
      EncodeStay({Role::kNone, At(7, 0), At(7, 0)})});
  Do({"SADD", keys_.Groups(ShardIndex(1)), second_});
  Do({"HSET", keys_.Members(GroupId(second_)), "eve", EncodeStay(stay)});
  // What memberships name though its group is gone, of either shard.
  const std::string gone = [this] {
    std::string name = first_;
    do {
      name += "x";
    } while (layout_.ShardOf(GroupId(name)) != ShardIndex(0));
    return name;
  }();
  ASSERT_TRUE(groups_.FindOrAdd(gone).has_value());
  ASSERT_TRUE(groups_.FindOrAdd(second_).has_value());

  std::map<std::string, std::vector<GroupMember>> taken;
  GapLoader loader(layout_, *redis_, groups_);
  const absl::Status status =
      loader.LoadGroups(gap_, [&](const LogGap&, GroupIndex group, std::vector<GroupMember> all) {
        EXPECT_TRUE(taken.emplace(groups_.At(group).key(), std::move(all)).second);
        return absl::OkStatus();
      });
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(taken.size(), 2);
  ASSERT_EQ(taken[first_].size(), 1);
  EXPECT_EQ(taken[first_][0].person, "ann");
  EXPECT_EQ(taken[first_][0].stay, stay);
  EXPECT_THAT(taken[gone], IsEmpty());

  Do({"HSET", keys_.Members(GroupId(first_)), "cat", "?"});
  const absl::Status unreadable = loader.LoadGroups(
      gap_, [](const LogGap&, GroupIndex, std::vector<GroupMember>) { return absl::OkStatus(); });
  EXPECT_EQ(unreadable.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(unreadable.message(), HasSubstr(keys_.Members(GroupId(first_))));
}

TEST_F(GapLoaderRedisTest, PostsOfTheGapComeFromFeedsOfAllShardsAndFromWhatIsPending) {
  Do({"SADD", keys_.Groups(ShardIndex(0)), first_});
  Do({"SADD", keys_.Groups(ShardIndex(1)), second_});
  const UpdateId at_from = At(10, 0);
  const UpdateId inside = At(11, 0);
  const UpdateId at_to = At(20, 0);
  const UpdateId behind = At(21, 0);
  const UpdateId elsewhere = At(15, 1);  // another shard's time
  const UpdateId carried = At(12, 0);    // the author's shard is 0; it stands in a feed of shard 1
  const UpdateId pending = At(13, 0);
  const UpdateId deleted = At(14, 0);
  Do({"SET", keys_.Feed(GroupId(first_)), Packed({at_from, inside, at_to, behind, deleted})});
  Do({"SET", keys_.Feed(GroupId(second_)), Packed({elsewhere, carried})});
  Do({"ZADD", keys_.Pending(ShardIndex(0)), "1", fmt::format("{:016x}key", pending.value()), "2",
      fmt::format("{:016x}later", behind.value()), "3", "no digits at all"});
  for (const UpdateId id : {at_from, inside, at_to, behind, elsewhere, carried, pending}) {
    StoreUpdate(id, fmt::format("author-of-{}", id.ms()), first_);
  }
  std::vector<std::string> taken;
  const auto take = [&](const PersonId& author, UpdateId) {
    taken.push_back(author.value());
    return absl::OkStatus();
  };
  GapLoader loader(layout_, *redis_, groups_);
  ASSERT_TRUE(loader.LoadPosts(std::vector{gap_}, take).ok());
  EXPECT_THAT(taken,
              UnorderedElementsAre("author-of-11", "author-of-12", "author-of-13", "author-of-20"));

  // What a fork lost is gone from the feeds, too.
  taken.clear();
  LogGap forked = gap_;
  forked.is_forked = true;
  ASSERT_TRUE(loader.LoadPosts(std::vector{forked}, take).ok());
  EXPECT_THAT(taken, IsEmpty());

  // A feed and a body of another type cost what is in them, not the start.
  Do({"DEL", keys_.Feed(GroupId(second_)), keys_.Update(inside)});
  Do({"RPUSH", keys_.Feed(GroupId(second_)), "x"});
  Do({"RPUSH", keys_.Update(inside), "x"});
  ASSERT_TRUE(loader.LoadPosts(std::vector{gap_}, take).ok());
  EXPECT_THAT(taken, UnorderedElementsAre("author-of-13", "author-of-20"));
}

}  // namespace
}  // namespace klatch::testing
