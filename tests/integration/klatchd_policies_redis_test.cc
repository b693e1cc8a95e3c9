// Who may post, add people and join, as a group's owners decide, over gRPC.

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;

// One klatchd for all tests; each has a group of its own, with an owner, a moderator, a member and a
// reader.
class KlatchdPoliciesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { klatchd_ = std::make_unique<Klatchd>(); }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    klatchd_.reset();
  }

  void MakeGroup(const v1::Group& group) {
    v1::CreateGroupRequest request;
    request.set_actor("owner");
    request.set_request_id(Client::NewRequestId());
    *request.mutable_group() = group;
    ASSERT_THAT(client_.Groups(&v1::GroupService::Stub::CreateGroup, request), Succeeds());
    ASSERT_THAT(client_.Add("owner", group.id(), {"moderator"}, v1::ROLE_MODERATOR), Succeeds());
    ASSERT_THAT(client_.Add("owner", group.id(), {"member"}), Succeeds());
    ASSERT_THAT(client_.Add("owner", group.id(), {"reader"}, v1::ROLE_READER), Succeeds());
  }

  static v1::Group GroupOf(const std::string& id) {
    v1::Group group;
    group.set_id(id);
    return group;
  }

  Answer<v1::UpdateGroupResponse> Update(const v1::Group& group, const std::string& path = "") {
    v1::UpdateGroupRequest request;
    request.set_actor("owner");
    *request.mutable_group() = group;
    if (!path.empty()) {
      request.mutable_update_mask()->add_paths(path);
    }
    return client_.Groups(&v1::GroupService::Stub::UpdateGroup, request);
  }

  static std::unique_ptr<Klatchd> klatchd_;
  Client client_{klatchd_->Channel()};
};

std::unique_ptr<Klatchd> KlatchdPoliciesTest::klatchd_;

TEST_F(KlatchdPoliciesTest, UnspecifiedIsTheClosedChoice) {
  MakeGroup(GroupOf("usual"));
  v1::GetGroupRequest request;
  request.set_actor("reader");
  request.set_group("usual");
  const auto shown = client_.Groups(&v1::GroupService::Stub::GetGroup, request);
  ASSERT_THAT(shown, Succeeds());
  EXPECT_EQ(shown->group().post_role(), v1::ROLE_MEMBER);
  EXPECT_EQ(shown->group().add_role(), v1::ROLE_MODERATOR);
  EXPECT_EQ(shown->group().joining(), v1::JOINING_BY_INVITATION);

  EXPECT_THAT(client_.Publish("member", "usual", "hello"), Succeeds());
  EXPECT_THAT(client_.Publish("reader", "usual", "hello"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Add("moderator", "usual", {"new-1"}), Succeeds());
  EXPECT_THAT(client_.Add("member", "usual", {"new-2"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Add("stranger", "usual", {"stranger"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
}

TEST_F(KlatchdPoliciesTest, OnlyTheRolesThatMayPostPostAndEdit) {
  MakeGroup(GroupOf("news"));
  const auto earlier = client_.Publish("member", "news", "from before");
  ASSERT_THAT(earlier, Succeeds());
  v1::Group stricter = GroupOf("news");
  stricter.set_post_role(v1::ROLE_MODERATOR);
  ASSERT_THAT(Update(stricter), Succeeds());

  EXPECT_THAT(client_.Publish("member", "news", "no more"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Edit("member", earlier->update_id(), "a back door"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Publish("moderator", "news", "still"), Succeeds());
  // What was posted stays, and its author may take it back.
  EXPECT_THAT(client_.Get("reader", earlier->update_id(), earlier->tokens()), Succeeds());
  EXPECT_THAT(client_.Delete("member", earlier->update_id()), Succeeds());

  stricter.set_post_role(v1::ROLE_OWNER);
  ASSERT_THAT(Update(stricter), Succeeds());
  EXPECT_THAT(client_.Publish("moderator", "news", "no more"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Publish("owner", "news", "alone"), Succeeds());
}

TEST_F(KlatchdPoliciesTest, WhoMayAddGivesNoRoleAboveMember) {
  v1::Group group = GroupOf("friends");
  group.set_add_role(v1::ROLE_MEMBER);
  MakeGroup(group);
  EXPECT_THAT(client_.Add("member", "friends", {"a"}), Succeeds());
  EXPECT_THAT(client_.Add("member", "friends", {"b"}, v1::ROLE_READER), Succeeds());
  EXPECT_THAT(client_.Add("reader", "friends", {"c"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  for (const char* actor : {"member", "moderator"}) {
    EXPECT_THAT(client_.Add(actor, "friends", {"d"}, v1::ROLE_MODERATOR),
                Refuses(StatusCode::PERMISSION_DENIED, "members"));
  }

  group.set_add_role(v1::ROLE_OWNER);
  ASSERT_THAT(Update(group), Succeeds());
  EXPECT_THAT(client_.Add("moderator", "friends", {"e"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Add("owner", "friends", {"e"}, v1::ROLE_MODERATOR), Succeeds());
}

TEST_F(KlatchdPoliciesTest, EverybodyJoinsAnOpenGroupByThemselvesAlone) {
  v1::Group group = GroupOf("open");
  group.set_joining(v1::JOINING_OPEN);
  MakeGroup(group);
  const auto before = client_.Publish("member", "open", "before");
  ASSERT_THAT(before, Succeeds());

  EXPECT_THAT(client_.Add("ann", "open", {"ann", "bob"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Add("ann", "open", {"bob"}), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Add("ann", "open", {"ann"}, v1::ROLE_MODERATOR),
              Refuses(StatusCode::PERMISSION_DENIED, "members"));
  const auto joined = client_.Add("ann", "open", {"ann"});
  ASSERT_THAT(joined, Succeeds());
  EXPECT_EQ(joined->added_count(), 1u);
  // Open to join is not open to the past.
  EXPECT_THAT(client_.Get("ann", before->update_id(), joined->tokens()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  const auto posted = client_.Publish("ann", "open", "here I am");
  ASSERT_THAT(posted, Succeeds());
  const auto home = client_.Home("reader", posted->tokens());
  ASSERT_THAT(home, Succeeds());
  ASSERT_GE(home->updates_size(), 1);
  EXPECT_EQ(home->updates(0).id(), posted->update_id());

  // Who is in already stays as they are, whatever role they ask for.
  const auto again = client_.Add("moderator", "open", {"moderator"});
  ASSERT_THAT(again, Succeeds());
  EXPECT_EQ(again->unchanged_count(), 1u);
  EXPECT_THAT(client_.Add("reader", "open", {"reader"}), Succeeds());
  EXPECT_THAT(client_.Publish("reader", "open", "not by joining again"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));

  group.set_joining(v1::JOINING_BY_INVITATION);
  ASSERT_THAT(Update(group), Succeeds());
  EXPECT_THAT(client_.Add("bob", "open", {"bob"}), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
}

TEST_F(KlatchdPoliciesTest, JoinerFindsTheLastUpdatesAtHomeAndInTheGroup) {
  v1::Group group = GroupOf("last");
  group.set_history(v1::HISTORY_LAST);
  group.set_history_count(2);
  group.set_default_audience(v1::AUDIENCE_MEMBERS_NOW);
  MakeGroup(group);
  for (const char* text : {"one", "two", "three"}) {
    ASSERT_THAT(client_.Publish("member", "last", text), Succeeds());
  }
  // Counted, but only for those who were members: a joiner sees one of the two.
  auto private_post = Client::Post("member", "last", "among us");
  private_post.mutable_update()->set_audience(v1::AUDIENCE_MEMBERS_AT_POSTING);
  ASSERT_THAT(client_.Publish(private_post), Succeeds());
  const auto joined = client_.Add("owner", "last", {"late"});
  ASSERT_THAT(joined, Succeeds());
  const auto since = client_.Publish("member", "last", "hello, late");
  ASSERT_THAT(since, Succeeds());

  EXPECT_THAT(TextsOf(*client_.GroupPage("late", "last", since->tokens())),
              ElementsAre("hello, late", "three"));
  std::vector<std::string> home;
  EXPECT_TRUE(Eventually([&] {
    const auto page = client_.Home("late", since->tokens());
    home = TextsOf(*page);
    return page->completeness().hole_since() == 0;
  }));
  EXPECT_THAT(home, ElementsAre("hello, late", "three"));
  EXPECT_THAT(TextsOf(*client_.Profile("late", "member", since->tokens())),
              ::testing::IsSupersetOf({"hello, late", "three"}));

  // A wider policy opens nothing to those who are in already.
  group.set_history_count(800);
  ASSERT_THAT(Update(group), Succeeds());
  EXPECT_THAT(TextsOf(*client_.GroupPage("late", "last")), ElementsAre("hello, late", "three"));
}

TEST_F(KlatchdPoliciesTest, ClosedGroupIsReadAndLeftButNotPostedTo) {
  MakeGroup(GroupOf("closing"));
  const auto earlier = client_.Publish("member", "closing", "the last word");
  ASSERT_THAT(earlier, Succeeds());
  v1::Group group = GroupOf("closing");
  group.set_closed(true);
  const auto closed = Update(group);
  ASSERT_THAT(closed, Succeeds());
  EXPECT_TRUE(closed->group().closed());

  EXPECT_THAT(client_.Publish("owner", "closing", "one more"),
              Refuses(StatusCode::FAILED_PRECONDITION, "update.groups"));
  EXPECT_THAT(client_.Edit("member", earlier->update_id(), "other words"),
              Refuses(StatusCode::FAILED_PRECONDITION, "update_id"));
  EXPECT_THAT(client_.Add("owner", "closing", {"new"}),
              Refuses(StatusCode::FAILED_PRECONDITION, "group"));
  EXPECT_THAT(TextsOf(*client_.GroupPage("reader", "closing", earlier->tokens())),
              ElementsAre("the last word"));
  EXPECT_THAT(client_.Remove("reader", "closing", {"reader"}), Succeeds());
  EXPECT_THAT(client_.Delete("moderator", earlier->update_id()), Succeeds());

  group.set_closed(false);
  ASSERT_THAT(Update(group, "closed"), Succeeds());
  EXPECT_THAT(client_.Publish("owner", "closing", "open again"), Succeeds());
}

TEST_F(KlatchdPoliciesTest, RefusesWhatIsNoPolicy) {
  MakeGroup(GroupOf("refused"));
  v1::Group group = GroupOf("refused");
  group.set_post_role(v1::ROLE_READER);
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.post_role"));
  group.set_post_role(static_cast<v1::Role>(5));
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.post_role"));
  group = GroupOf("refused");
  group.set_add_role(v1::ROLE_READER);
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.add_role"));
  group = GroupOf("refused");
  group.set_joining(static_cast<v1::Joining>(3));
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.joining"));
  group = GroupOf("refused");
  group.set_history(v1::HISTORY_LAST);
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.history_count"));
  group.set_history_count(801);
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.history_count"));
  group.set_history(v1::HISTORY_ALL);
  group.set_history_count(1);
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.history_count"));
  group.clear_history();
  EXPECT_THAT(Update(group), Refuses(StatusCode::INVALID_ARGUMENT, "group.history_count"));
  EXPECT_THAT(Update(GroupOf("refused"), "history_count"),
              Refuses(StatusCode::INVALID_ARGUMENT, "group.history_count"));
  for (const char* path : {"post_role", "add_role", "joining", "history"}) {
    EXPECT_THAT(Update(GroupOf("refused"), path),
                Refuses(StatusCode::INVALID_ARGUMENT, std::string("group.") + path));
  }
}

}  // namespace
}  // namespace klatch::testing
