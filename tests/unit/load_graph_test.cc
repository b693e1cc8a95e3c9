// The graphs that klatch-load plays: generated ones are repeatable, imported ones are read as SNAP
// writes them, and a malformed line is named.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "bench/load/plan/generated_graph.h"
#include "bench/load/plan/plan.h"
#include "bench/load/plan/snap_graph.h"

namespace klatch::load {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A folder of its own that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = testing::TempDir() + "klatch-graph-XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string Write(const std::string& name, const std::string& text) const {
    std::string file = path_ + "/" + name;
    std::ofstream(file) << text;
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<std::string> MembersOf(const Graph& graph, const std::string& group) {
  std::vector<std::string> members;
  auto number = graph.FindGroup(group);
  if (number.has_value()) {
    for (PersonNumber member : graph.group(*number).members) {
      members.push_back(graph.person(member));
    }
  }
  std::sort(members.begin(), members.end());
  return members;
}

void ExpectSame(const Graph& a, const Graph& b) {
  ASSERT_EQ(a.person_count(), b.person_count());
  ASSERT_EQ(a.group_count(), b.group_count());
  for (GroupNumber group = 0; group < a.group_count(); ++group) {
    EXPECT_EQ(a.group(group).id, b.group(group).id);
    EXPECT_EQ(a.group(group).owner, b.group(group).owner);
    EXPECT_EQ(a.group(group).members, b.group(group).members);
  }
}

void ExpectSound(const Graph& graph) {
  std::set<std::string> ids;
  for (GroupNumber group = 0; group < graph.group_count(); ++group) {
    const GroupSpec& spec = graph.group(group);
    EXPECT_TRUE(ids.insert(spec.id).second) << spec.id << " is there twice";
    std::set<PersonNumber> members(spec.members.begin(), spec.members.end());
    EXPECT_EQ(members.size(), spec.members.size())
        << "a member of " << spec.id << " is there twice";
    EXPECT_TRUE(members.contains(spec.owner)) << spec.id << " lacks its owner";
  }
}

TEST(GeneratedGraphTest, CommunitiesAreTheSameForTheSameSeedAndOthersForAnother) {
  auto first = GenerateCommunities({.persons = 500}, 7);
  auto again = GenerateCommunities({.persons = 500}, 7);
  auto other = GenerateCommunities({.persons = 500}, 8);
  ASSERT_TRUE(first.ok() && again.ok() && other.ok());
  ExpectSame(**first, **again);
  EXPECT_NE((*first)->group(0).members, (*other)->group(0).members);
}

TEST(GeneratedGraphTest, CommunitiesHoldEverybodyInSizesWithinBounds) {
  auto graph = GenerateCommunities({}, 1);
  ASSERT_TRUE(graph.ok());
  ExpectSound(**graph);
  for (PersonNumber person = 0; person < (*graph)->person_count(); ++person) {
    EXPECT_FALSE((*graph)->GroupsOf(person).empty()) << (*graph)->person(person);
  }
  size_t small = 0;
  for (GroupNumber group = 0; group < (*graph)->group_count(); ++group) {
    size_t size = (*graph)->group(group).members.size();
    EXPECT_GE(size, 5u);
    EXPECT_LE(size, 400u);
    small += size <= 10 ? 1 : 0;
  }
  // Half of a power law with exponent 2 is at most twice its minimum.
  EXPECT_NEAR(static_cast<double>(small) / (*graph)->group_count(), 0.5, 0.15);
}

TEST(GeneratedGraphTest, ACelebrityHasFansBesideEverybodyWhoReadOnly) {
  auto graph = GenerateCommunities({.persons = 200, .celebrity_members = 1'000}, 1);
  ASSERT_TRUE(graph.ok());
  ExpectSound(**graph);
  EXPECT_EQ((*graph)->person_count(), 1'000u);
  EXPECT_EQ((*graph)->author_count(), 200u);
  const auto celebrity = (*graph)->FindGroup("celebrity");
  ASSERT_TRUE(celebrity.has_value());
  EXPECT_EQ((*graph)->group(*celebrity).members.size(), 1'000u);
  EXPECT_THAT((*graph)->GroupsOf(999), ElementsAre(*celebrity));
}

TEST(GeneratedGraphTest, BusyPersonsAreInAsManyGroupsAsAskedFor) {
  auto graph = GenerateCommunities({.persons = 2'000, .busy_persons = 4, .busy_groups = 100}, 1);
  auto usual = GenerateCommunities({.persons = 2'000}, 1);
  ASSERT_TRUE(graph.ok() && usual.ok());
  ExpectSound(**graph);
  int busy = 0;
  for (PersonNumber person = 0; person < 2'000; ++person) {
    busy += (*graph)->GroupsOf(person).size() >= 100 ? 1 : 0;
  }
  EXPECT_EQ(busy, 4);
  EXPECT_EQ((*graph)->group_count(), (*usual)->group_count());
}

TEST(GeneratedGraphTest, UniformGroupsHaveExactlyTheSizeAskedForAlsoWhenItDoesNotDivide) {
  auto graph = GenerateUniform({.persons = 1003, .group_size = 40, .groups_per_person = 10}, 3);
  ASSERT_TRUE(graph.ok());
  ExpectSound(**graph);
  EXPECT_EQ((*graph)->group_count(), 1003u * 10 / 40);
  for (GroupNumber group = 0; group < (*graph)->group_count(); ++group) {
    EXPECT_EQ((*graph)->group(group).members.size(), 40u);
  }
  for (PersonNumber person = 0; person < (*graph)->person_count(); ++person) {
    EXPECT_GE((*graph)->GroupsOf(person).size(), 9u);
    EXPECT_LE((*graph)->GroupsOf(person).size(), 10u);
  }
}

TEST(GeneratedGraphTest, RefusesGroupsLargerThanThePopulation) {
  auto graph = GenerateUniform({.persons = 10, .group_size = 11, .groups_per_person = 1}, 1);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SnapGraphTest, MakesFriendsGroupsAndCirclesOfAFolder) {
  Folder folder;
  folder.Write("facebook_combined.txt", "# people\n0 1\n0 2\n1 2\n2 3\n\n1 0\n");
  folder.Write("0.circles", "circle0\t1\t2\ncircle1\t3\t3\n");
  auto graph = ImportSnap(folder.path());
  ASSERT_TRUE(graph.ok()) << graph.status();
  ExpectSound(**graph);
  EXPECT_EQ((*graph)->person_count(), 4u);
  EXPECT_EQ((*graph)->group_count(), 6u);
  EXPECT_THAT(MembersOf(**graph, "friends:0"), ElementsAre("0", "1", "2"));
  EXPECT_THAT(MembersOf(**graph, "friends:3"), ElementsAre("2", "3"));
  EXPECT_THAT(MembersOf(**graph, "circle:0:circle0"), ElementsAre("0", "1", "2"));
  EXPECT_THAT(MembersOf(**graph, "circle:0:circle1"), ElementsAre("0", "3"));
  auto circle = (*graph)->FindGroup("circle:0:circle1");
  ASSERT_TRUE(circle.has_value());
  EXPECT_EQ((*graph)->person((*graph)->group(*circle).owner), "0");
}

TEST(SnapGraphTest, ReadsASingleFileOfEdges) {
  Folder folder;
  auto graph = ImportSnap(folder.Write("edges.txt", "ann\tbob\nbob carl\n"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(MembersOf(**graph, "friends:bob"), ElementsAre("ann", "bob", "carl"));
}

TEST(SnapGraphTest, NamesTheFileAndLineOfAMalformedEdge) {
  Folder folder;
  std::string file = folder.Write("edges.txt", "0 1\n1 2 3\n");
  auto graph = ImportSnap(file);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(base::MessageOf(graph.status()), HasSubstr(file + ":2: "));
}

TEST(SnapGraphTest, NamesTheFileAndLineOfAMalformedCircle) {
  Folder folder;
  folder.Write("facebook_combined.txt", "0 1\n");
  std::string file = folder.Write("0.circles", "circle0\t1\n\ncircle1\n");
  auto graph = ImportSnap(folder.path());
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(base::MessageOf(graph.status()), HasSubstr(file + ":3: "));
}

TEST(SnapGraphTest, RefusesACircleThatIsThereTwiceAndIdsThatDoNotFit) {
  Folder folder;
  folder.Write("facebook_combined.txt", "0 1\n");
  folder.Write("0.circles", "a\t1\na\t1\n");
  EXPECT_THAT(base::MessageOf(ImportSnap(folder.path()).status()), HasSubstr("0.circles:2: "));
  std::string file = folder.Write("long.txt", std::string(129, 'x') + " 1\n");
  EXPECT_THAT(base::MessageOf(ImportSnap(file).status()), HasSubstr("long.txt:1: "));
}

TEST(SnapGraphTest, RefusesWhatHasNoEdgesOrNoEnd) {
  Folder folder;
  const std::string empty = folder.Write("facebook_combined.txt", "# nobody\n");
  EXPECT_EQ(base::MessageOf(ImportSnap(folder.path()).status()), empty + ": has no edges");
  EXPECT_EQ(base::MessageOf(ImportSnap("/dev/null").status()), "/dev/null: has no edges");
  EXPECT_EQ(base::MessageOf(ImportSnap("/dev/zero").status()),
            "/dev/zero:1: a line of more than 128 MiB");
  // As long as a line may be, and without a line feed at the end.
  const std::string blanks(128 << 20, ' ');
  auto graph = ImportSnap(folder.Write("long.txt", "0 1\n" + blanks.substr(4) + "\n2 3"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(MembersOf(**graph, "friends:3"), ElementsAre("2", "3"));
}

TEST(SnapGraphTest, SaysNotFoundForAPathThatIsNotThere) {
  EXPECT_EQ(ImportSnap("/nowhere/at/all").status().code(), absl::StatusCode::kNotFound);
}

TEST(SnapGraphTest, ReadsTheFacebookGraphWhole) {
  const char* path = std::getenv("KLATCH_GRAPH");
  if (path == nullptr || *path == '\0') {
    GTEST_SKIP() << "KLATCH_GRAPH is not set";
  }
  auto graph = ImportSnap(path);
  ASSERT_TRUE(graph.ok()) << graph.status();
  ExpectSound(**graph);
  EXPECT_EQ((*graph)->person_count(), 4039u);
  ASSERT_TRUE((*graph)->first_circle().has_value());
  EXPECT_EQ(*(*graph)->first_circle(), 4039u);
  uint64_t friendships = 0;
  for (GroupNumber group = 0; group < 4039; ++group) {
    friendships += (*graph)->group(group).members.size() - 1;
  }
  EXPECT_EQ(friendships, 2u * 88234);
}

TEST(PlanTest, PostsFollowFromTheSeedAndAuthorsAreMembers) {
  auto graph = GenerateCommunities({.persons = 300}, 5);
  ASSERT_TRUE(graph.ok());
  Plan plan(**graph, 5, "a");
  Plan again(**graph, 5, "b");
  for (uint64_t number = 0; number < 1000; ++number) {
    PlannedPost post = plan.At(number);
    EXPECT_EQ(post.author, again.At(number).author);
    EXPECT_EQ(post.group, again.At(number).group);
    EXPECT_EQ(plan.TextOf(number), again.TextOf(number));
    auto groups = (*graph)->GroupsOf(post.author);
    EXPECT_TRUE(std::binary_search(groups.begin(), groups.end(), post.group));
  }
  EXPECT_NE(plan.RequestIdOf(1), again.RequestIdOf(1));
}

TEST(PlanTest, PostsToSeveralNameOtherGroupsOfTheirAuthorAndLeaveTheOthersAsTheyAre) {
  auto graph = GenerateCommunities({.persons = 300}, 5);
  ASSERT_TRUE(graph.ok());
  Plan alone(**graph, 5, "a");
  Plan plan(**graph, 5, "a", 500);
  int several = 0;
  int to_all = 0;
  for (uint64_t number = 0; number < 1000; ++number) {
    const PlannedPost post = plan.At(number);
    EXPECT_EQ(post.author, alone.At(number).author);
    EXPECT_EQ(post.group, alone.At(number).group);
    EXPECT_FALSE(alone.At(number).is_several());
    several += post.is_several() ? 1 : 0;
    to_all += post.all_my_groups ? 1 : 0;
    std::set<GroupNumber> named(post.others.begin(), post.others.end());
    EXPECT_EQ(named.size(), post.others.size());
    EXPECT_FALSE(named.contains(post.group));
    auto groups = (*graph)->GroupsOf(post.author);
    for (GroupNumber other : named) {
      EXPECT_TRUE(std::binary_search(groups.begin(), groups.end(), other));
    }
  }
  EXPECT_GT(several, 300);
  EXPECT_GT(to_all, 50);
}

TEST(PlanTest, MostPostsOfAFriendshipGraphGoToTheAuthorsFriendsAndSomeToCircles) {
  Folder folder;
  folder.Write("facebook_combined.txt", "0 1\n0 2\n1 2\n2 3\n");
  folder.Write("0.circles", "near\t1\t2\t3\n");
  auto graph = ImportSnap(folder.path());
  ASSERT_TRUE(graph.ok()) << graph.status();
  Plan plan(**graph, 1, "run");
  int to_friends = 0;
  int to_circles = 0;
  for (uint64_t number = 0; number < 1000; ++number) {
    PlannedPost post = plan.At(number);
    to_friends += post.group == post.author ? 1 : 0;
    to_circles += post.group >= *(*graph)->first_circle() ? 1 : 0;
  }
  EXPECT_NEAR(to_friends, 800, 60);
  EXPECT_NEAR(to_circles, 200, 60);
}

TEST(PlanTest, OwnersNeverLeaveAndStayingMembersStay) {
  auto graph = GenerateCommunities({.persons = 300}, 5);
  ASSERT_TRUE(graph.ok());
  Plan plan(**graph, 5, "run");
  Random random(1);
  uint64_t leavers = 0;
  for (GroupNumber group = 0; group < (*graph)->group_count(); ++group) {
    EXPECT_FALSE(plan.MayLeave(group, (*graph)->group(group).owner));
    EXPECT_FALSE(plan.MayLeave(group, plan.StayingMember(group, random)));
    for (PersonNumber member : (*graph)->group(group).members) {
      leavers += plan.MayLeave(group, member) ? 1 : 0;
    }
  }
  EXPECT_GT(leavers, (*graph)->membership_count() / 16);
  EXPECT_LT(leavers, (*graph)->membership_count() / 5);
}

}  // namespace
}  // namespace klatch::load
