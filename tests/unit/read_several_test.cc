// Who sees an update of several groups, on which page, and through which of them it is shown.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/read_world.h"

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReadSeveralTest : public ::testing::Test {
 protected:
  Target Carried(const std::string& group, uint64_t ms,
                 AudienceRule audience = AudienceRule::kMembersAtPosting) {
    return {GroupId(group), Carry{world_.IdAt(ms, group), audience, CarryRefusal::kNone}};
  }
  static Target Refused(const std::string& group, CarryRefusal refusal) {
    return {GroupId(group), Carry{Position(), AudienceRule::kGroupDefault, refusal}};
  }

  void Put(UpdateId id, const std::vector<Target>& targets,
           AudienceRule audience = AudienceRule::kGroupDefault) {
    klatch::v1::Update update;
    update.set_author("ann");
    update.set_text("to all");
    BodyHeader header;
    header.author = PersonId("ann");
    header.audience = audience;
    header.targets = targets;
    auto body =
        std::make_shared<const Body>(*Body::Decode(EncodeBody(header, update.SerializeAsString())));
    world_.bodies.Put(id, std::move(body), world_.bodies.Generation(id.shard()));
  }

  // As the groups of the only update at home.
  std::vector<std::string> GroupsAtHome(const std::string& person) {
    const auto page = world_.Home(person, 10);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok() || page->updates_size() != 1) {
      return {};
    }
    return {page->updates(0).groups().begin(), page->updates(0).groups().end()};
  }

  ReadWorld world_;
  const UpdateId id_ = UpdateId(1'000, world_.layout.HomeShardOf(PersonId("ann")), 0);
};

TEST_F(ReadSeveralTest, IsSeenThroughEachGroupThatTookItAndNamesNoOther) {
  Put(id_, {Carried("a", 1'001), Carried("b", 1'002), Refused("c", CarryRefusal::kNotMember)});
  for (const char* group : {"a", "b", "c"}) {
    world_.SetMember("both", group, 10);
  }
  world_.SetMember("one", "b", 10);
  world_.SetMember("third", "c", 10);
  for (const char* person : {"both", "one", "third"}) {
    world_.Deliver(person, id_);
  }
  world_.ApplyAll(2'000);
  EXPECT_THAT(GroupsAtHome("both"), ElementsAre("a", "b"));
  EXPECT_THAT(GroupsAtHome("one"), ElementsAre("b"));
  EXPECT_THAT(GroupsAtHome("third"), IsEmpty());
  const auto got = world_.Get("one", id_);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->update().groups(), ElementsAre("b"));
  EXPECT_EQ(got->update().audience(), v1::AUDIENCE_MEMBERS_AT_POSTING);
  EXPECT_TRUE(absl::IsNotFound(world_.Get("third", id_).status()));
}

TEST_F(ReadSeveralTest, TheCarryNotTheIdIsComparedWithJoining) {
  Put(id_, {Carried("a", 1'500)});
  world_.SetMember("between", "a", 1'200);
  world_.SetMember("later", "a", 1'501);
  for (const char* person : {"between", "later"}) {
    world_.Deliver(person, id_);
  }
  world_.ApplyAll(2'000);
  EXPECT_THAT(GroupsAtHome("between"), ElementsAre("a"));
  EXPECT_THAT(GroupsAtHome("later"), IsEmpty());
}

TEST_F(ReadSeveralTest, EachGroupHasItsOwnAudience) {
  Put(id_, {Carried("a", 1'500, AudienceRule::kMembersNow), Carried("b", 1'500)});
  for (const char* group : {"a", "b"}) {
    world_.SetMember("later", group, 1'600, Role::kMember, 0);
    world_.SetMember("always", group, 10);
  }
  world_.Deliver("later", id_);
  world_.Deliver("always", id_);
  world_.ApplyAll(2'000);
  EXPECT_THAT(GroupsAtHome("later"), ElementsAre("a"));
  EXPECT_THAT(GroupsAtHome("always"), ElementsAre("a", "b"));
  EXPECT_EQ(world_.Home("later", 10)->updates(0).audience(), v1::AUDIENCE_MEMBERS_NOW);
  EXPECT_EQ(world_.Home("always", 10)->updates(0).audience(), v1::AUDIENCE_UNSPECIFIED);
}

// A leave that stands before the carry may be behind what is applied.
TEST_F(ReadSeveralTest, ACarryBeyondWhatIsAppliedDoesNotCount) {
  Put(id_, {Carried("a", 1'500)});
  world_.SetMember("bob", "a", 10);
  world_.Deliver("bob", id_);
  world_.ApplyAll(1'400);
  EXPECT_THAT(GroupsAtHome("bob"), IsEmpty());
  world_.ApplyAll(1'500);
  EXPECT_THAT(GroupsAtHome("bob"), ElementsAre("a"));
}

TEST_F(ReadSeveralTest, WhoLeavesOneGroupSeesItThroughTheOther) {
  Put(id_, {Carried("a", 1'500), Carried("b", 1'500)});
  world_.SetMember("bob", "a", 10);
  world_.SetMember("bob", "b", 10);
  world_.Deliver("bob", id_);
  world_.ApplyAll(2'000);
  world_.SetMember("bob", "a", 1'600, Role::kNone);
  EXPECT_THAT(GroupsAtHome("bob"), ElementsAre("b"));
  world_.SetMember("bob", "b", 1'600, Role::kNone);
  EXPECT_TRUE(absl::IsNotFound(world_.Get("bob", id_).status()));
}

TEST_F(ReadSeveralTest, AProfileShowsItThroughWhatTheyShare) {
  Put(id_, {Carried("a", 1'500), Carried("b", 1'500)});
  world_.SetMember("bob", "b", 10);
  world_.SetMember("eve", "z", 10);
  world_.DeliverPost("ann", id_);
  world_.ApplyAll(2'000);
  const auto bobs = world_.Profile("bob", "ann", 10);
  ASSERT_TRUE(bobs.ok()) << bobs.status();
  ASSERT_THAT(IdsOf(*bobs), ElementsAre(id_.value()));
  EXPECT_THAT(bobs->updates(0).groups(), ElementsAre("b"));
  EXPECT_THAT(IdsOf(*world_.Profile("eve", "ann", 10)), IsEmpty());
}

TEST_F(ReadSeveralTest, AMutedGroupBringsItHomeNoMoreButAnotherDoes) {
  Put(id_, {Carried("a", 1'500), Carried("b", 1'500)});
  world_.SetMember("bob", "a", 10);
  world_.SetMember("bob", "b", 10);
  world_.Deliver("bob", id_);
  world_.DeliverPost("ann", id_);
  world_.ApplyAll(2'000);
  const auto mute = [&](const char* group) {
    ASSERT_TRUE(world_.personal.Admit(PersonId("bob")));
    PersonalState state = world_.personal.Current(PersonId("bob"));
    state.muted_groups.Add(group);
    world_.personal.Publish(PersonId("bob"), std::move(state));
  };
  mute("a");
  EXPECT_THAT(GroupsAtHome("bob"), ElementsAre("b"));
  mute("b");
  EXPECT_THAT(GroupsAtHome("bob"), IsEmpty());
  EXPECT_THAT(world_.Profile("bob", "ann", 10)->updates(0).groups(), ElementsAre("a", "b"));
}

TEST_F(ReadSeveralTest, GetWaitsForTheCarries) {
  Put(id_, {Carried("a", 1'500)});
  world_.SetMember("bob", "a", 10);
  world_.ApplyAll(1'499);
  v1::GetUpdateRequest request;
  request.set_actor("bob");
  request.set_update_id(id_.value());
  auto getting = world_.reads.GetUpdate(request, base::MonotonicTime::min());
  const auto early = RunToEndAmongWorkers(std::move(getting), world_.progress);
  EXPECT_TRUE(absl::IsDeadlineExceeded(early.status())) << early.status();
  world_.ApplyAll(1'500);
  EXPECT_TRUE(world_.Get("bob", id_).ok());
}

}  // namespace
}  // namespace klatch
