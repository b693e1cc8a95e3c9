// Posts to several groups over gRPC: what each group decides, who sees them through which, edits,
// deletions and removals, and what becomes of a post whose node dies between two steps.

#include <algorithm>
#include <atomic>
#include <future>
#include <set>
#include <thread>

#include "common/redis/pipeline.h"
#include "services/accept/update_message.h"
#include "services/log/redis_appender.h"
#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

v1::PublishUpdateRequest ToGroups(const std::string& actor, const std::vector<std::string>& groups,
                                  const std::string& text) {
  v1::PublishUpdateRequest request = Client::Post(actor, "", text);
  request.mutable_update()->clear_groups();
  for (const std::string& group : groups) {
    request.mutable_update()->add_groups(group);
  }
  return request;
}

v1::PublishUpdateRequest ToAll(const std::string& actor, const std::string& text) {
  v1::PublishUpdateRequest request = ToGroups(actor, {}, text);
  request.set_all_my_groups(true);
  return request;
}

// Group and code of each result; 0 where the group took it.
std::vector<std::pair<std::string, int>> ResultsOf(const v1::PublishUpdateResponse& response) {
  std::vector<std::pair<std::string, int>> results;
  for (const v1::GroupResult& result : response.groups()) {
    EXPECT_EQ(result.has_error(), result.position() == 0) << result.ShortDebugString();
    results.emplace_back(result.group(), result.error().code());
  }
  return results;
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& strings) {
  return {strings.begin(), strings.end()};
}

// The groups of each update of a page.
template <typename Page>
std::vector<std::vector<std::string>> GroupsOf(const Page& page) {
  std::vector<std::vector<std::string>> groups;
  for (const v1::Update& update : page.updates()) {
    groups.push_back(Strings(update.groups()));
  }
  return groups;
}

using Groups = std::vector<std::string>;
using Pages = std::vector<Groups>;

// One klatchd for all tests; each has groups and persons of its own.
class KlatchdSeveralTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { klatchd_ = std::make_unique<Klatchd>(); }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    klatchd_.reset();
  }

  void MakeGroup(const std::string& group, const std::vector<std::string>& members,
                 v1::History history = v1::HISTORY_NONE,
                 v1::Audience audience = v1::AUDIENCE_MEMBERS_AT_POSTING) {
    ASSERT_THAT(client_.CreateGroup("owner", group, history, audience), Succeeds());
    if (!members.empty()) {
      const auto added = client_.Add("owner", group, members);
      ASSERT_THAT(added, Succeeds());
      // Applied from here on, as all_my_groups needs it.
      ASSERT_THAT(client_.Home(members.front(), added->tokens()), Succeeds());
    }
  }

  static std::unique_ptr<Klatchd> klatchd_;
  Client client_{klatchd_->Channel()};
};

std::unique_ptr<Klatchd> KlatchdSeveralTest::klatchd_;

TEST_F(KlatchdSeveralTest, ReachesEverybodyOnceAndNamesNoGroupButTheirs) {
  MakeGroup("once-a", {"once-ann", "once-bob", "once-dan"});
  MakeGroup("once-b", {"once-ann", "once-cat", "once-dan"});
  const auto posted = client_.Publish(ToGroups("once-ann", {"once-a", "once-b"}, "to both"));
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(ResultsOf(*posted), ElementsAre(std::pair("once-a", 0), std::pair("once-b", 0)));
  const Tokens tokens = posted->tokens();
  const Groups both = {"once-a", "once-b"};
  for (const char* person : {"once-ann", "once-dan"}) {
    EXPECT_EQ(GroupsOf(*client_.Home(person, tokens)), Pages{both}) << person;
  }
  EXPECT_EQ(GroupsOf(*client_.Home("once-bob", tokens)), Pages{{"once-a"}});
  EXPECT_EQ(GroupsOf(*client_.Home("once-cat", tokens)), Pages{{"once-b"}});
  EXPECT_EQ(GroupsOf(*client_.GroupPage("once-bob", "once-a", tokens)), Pages{{"once-a"}});
  EXPECT_EQ(GroupsOf(*client_.GroupPage("once-dan", "once-b", tokens)), Pages{both});
  EXPECT_EQ(GroupsOf(*client_.Profile("once-cat", "once-ann", tokens)), Pages{{"once-b"}});
  EXPECT_THAT(client_.Profile("once-eve", "once-ann", tokens)->updates(), IsEmpty());
  const auto got = client_.Get("once-bob", posted->update_id());
  ASSERT_THAT(got, Succeeds());
  EXPECT_EQ(Strings(got->update().groups()), Groups{"once-a"});
  EXPECT_EQ(got->update().text(), "to both");
  EXPECT_THAT(client_.Get("once-eve", posted->update_id()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  // Whoever sees it may answer it.
  v1::PublishUpdateRequest reply = Client::Post("once-cat", "once-b", "re");
  reply.mutable_update()->set_reply_to(posted->update_id());
  EXPECT_THAT(client_.Publish(reply), Succeeds());
}

TEST_F(KlatchdSeveralTest, EachGroupDecidesForItself) {
  MakeGroup("own-a", {"own-ann"});
  MakeGroup("own-b", {});
  ASSERT_THAT(client_.Add("owner", "own-b", {"own-ann"}, v1::ROLE_READER), Succeeds());
  MakeGroup("own-c", {});
  MakeGroup("own-d", {"own-ann"});
  ASSERT_THAT(client_.DeleteGroup("owner", "own-d"), Succeeds());
  const auto posted = client_.Publish(
      ToGroups("own-ann", {"own-nowhere", "own-d", "own-c", "own-b", "own-a"}, "try"));
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(ResultsOf(*posted), ElementsAre(std::pair("own-nowhere", StatusCode::NOT_FOUND),
                                              std::pair("own-d", StatusCode::NOT_FOUND),
                                              std::pair("own-c", StatusCode::PERMISSION_DENIED),
                                              std::pair("own-b", StatusCode::PERMISSION_DENIED),
                                              std::pair("own-a", 0)));
  EXPECT_EQ(BadField(posted->groups(1).error()), "update.groups");
  EXPECT_EQ(BadField(posted->groups(2).error()), "actor");
  EXPECT_EQ(GroupsOf(*client_.Home("own-ann", posted->tokens())), Pages{{"own-a"}});
  EXPECT_THAT(client_.GroupPage("owner", "own-c", posted->tokens())->updates(), IsEmpty());
}

TEST_F(KlatchdSeveralTest, IfAllRefuseItFailsAsTheFirstAndNothingStays) {
  MakeGroup("none-a", {});
  MakeGroup("none-b", {"none-bob"});
  auto request = ToGroups("none-ann", {"none-a", "none-nowhere"}, "anyone?");
  EXPECT_THAT(client_.Publish(request), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  auto missing = ToGroups("none-ann", {"none-nowhere", "none-a"}, "anyone?");
  EXPECT_THAT(client_.Publish(missing), Refuses(StatusCode::NOT_FOUND, "update.groups"));
  EXPECT_THAT(client_.Profile("owner", "none-ann")->updates(), IsEmpty());
  // The same key may be tried again.
  ASSERT_THAT(client_.Add("owner", "none-a", {"none-ann"}), Succeeds());
  const auto posted = client_.Publish(request);
  ASSERT_THAT(posted, Succeeds());
  EXPECT_EQ(GroupsOf(*client_.Home("none-ann", posted->tokens())), Pages{{"none-a"}});
}

TEST_F(KlatchdSeveralTest, AllMyGroupsAreThoseWhereTheActorMayPost) {
  const auto denied = Refuses(StatusCode::FAILED_PRECONDITION, "all_my_groups");
  EXPECT_THAT(client_.Publish(ToAll("all-ann", "hello?")), denied);
  MakeGroup("all-a", {"all-ann"});
  MakeGroup("all-b", {"all-ann", "all-bob"});
  MakeGroup("all-news", {"all-ann"});
  v1::UpdateGroupRequest stricter;
  stricter.set_actor("owner");
  stricter.mutable_group()->set_id("all-news");
  stricter.mutable_group()->set_post_role(v1::ROLE_MODERATOR);
  ASSERT_THAT(client_.Groups(&v1::GroupService::Stub::UpdateGroup, stricter), Succeeds());
  MakeGroup("all-read", {});
  const auto reads = client_.Add("owner", "all-read", {"all-ann"}, v1::ROLE_READER);
  ASSERT_THAT(client_.Home("all-ann", reads->tokens()), Succeeds());

  const v1::PublishUpdateRequest request = ToAll("all-ann", "a new number");
  const auto posted = client_.Publish(request);
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(ResultsOf(*posted), ElementsAre(std::pair("all-a", 0), std::pair("all-b", 0)));
  EXPECT_EQ(GroupsOf(*client_.Home("all-bob", posted->tokens())), Pages{{"all-b"}});

  // The first time counts.
  MakeGroup("all-later", {"all-ann"});
  const auto again = client_.Publish(request);
  ASSERT_THAT(again, Succeeds());
  EXPECT_EQ(again->update_id(), posted->update_id());
  EXPECT_EQ(ResultsOf(*again), ResultsOf(*posted));
  v1::PublishUpdateRequest named = ToGroups("all-ann", {"all-a", "all-b"}, "a new number");
  named.set_request_id(request.request_id());
  EXPECT_THAT(client_.Publish(named), Refuses(StatusCode::ALREADY_EXISTS, "request_id"));
}

TEST_F(KlatchdSeveralTest, AHundredGroupsAreReadWithTheirTokens) {
  std::vector<std::string> groups;
  for (int i = 0; i < 100; ++i) {
    groups.push_back("hundred-" + std::to_string(i));
    ASSERT_THAT(client_.CreateGroup("hundred-ann", groups.back()), Succeeds());
  }
  const auto posted = client_.Publish(ToGroups("hundred-ann", groups, "to all of you"));
  ASSERT_THAT(posted, Succeeds());
  ASSERT_EQ(posted->groups_size(), 100);
  std::set<uint32_t> shards;
  for (const v1::Token& token : posted->tokens()) {
    EXPECT_TRUE(shards.insert(token.shard()).second) << "one token per shard";
  }
  const auto home = client_.Home("hundred-ann", posted->tokens());
  ASSERT_THAT(home, Succeeds());
  EXPECT_EQ(GroupsOf(*home), Pages{groups});
  ASSERT_THAT(client_.CreateGroup("hundred-ann", "hundred-more"), Succeeds());
  EXPECT_TRUE(Eventually([&] {
    return client_.Publish(ToAll("hundred-ann", "too many")).status.error_code() ==
           StatusCode::FAILED_PRECONDITION;
  }));
}

TEST_F(KlatchdSeveralTest, RepetitionIsTheSamePostAndOtherGroupsAreAnotherPayload) {
  MakeGroup("key-a", {"key-ann"});
  MakeGroup("key-b", {"key-ann"});
  const auto request = ToGroups("key-ann", {"key-a", "key-b"}, "once");
  const auto first = client_.Publish(request);
  ASSERT_THAT(first, Succeeds());
  const auto again = client_.Publish(request);
  ASSERT_THAT(again, Succeeds());
  EXPECT_EQ(again->update_id(), first->update_id());
  EXPECT_EQ(ResultsOf(*again), ResultsOf(*first));
  EXPECT_EQ(client_.Home("key-ann", first->tokens())->updates_size(), 1);
  v1::PublishUpdateRequest other = request;
  other.mutable_update()->add_groups("key-c");
  EXPECT_THAT(client_.Publish(other), Refuses(StatusCode::ALREADY_EXISTS, "request_id"));
  ASSERT_THAT(client_.Delete("key-ann", first->update_id()), Succeeds());
  const auto gone = client_.Publish(request);
  ASSERT_THAT(gone, Succeeds());
  EXPECT_EQ(gone->update_id(), first->update_id());
  EXPECT_EQ(gone->groups_size(), 0);
}

TEST_F(KlatchdSeveralTest, WhoLeavesSeesItOnlyThroughWhereTheyStay) {
  MakeGroup("stay-a", {"stay-ann", "stay-bob", "stay-dan", "stay-eve"});
  MakeGroup("stay-b", {"stay-ann", "stay-dan"});
  ASSERT_THAT(client_.Remove("owner", "stay-a", {"stay-eve"}), Succeeds());
  const auto posted = client_.Publish(ToGroups("stay-ann", {"stay-a", "stay-b"}, "hi"));
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(client_.Home("stay-eve", posted->tokens())->updates(), IsEmpty());
  ASSERT_THAT(client_.Remove("owner", "stay-a", {"stay-bob", "stay-dan"}), Succeeds());
  EXPECT_THAT(client_.Home("stay-bob")->updates(), IsEmpty());
  EXPECT_EQ(GroupsOf(*client_.Home("stay-dan")), Pages{{"stay-b"}});
  const auto back = client_.Add("owner", "stay-a", {"stay-bob"});
  EXPECT_THAT(client_.Home("stay-bob", back->tokens())->updates(), IsEmpty());
  ASSERT_THAT(client_.DeleteGroup("owner", "stay-b"), Succeeds());
  EXPECT_THAT(client_.Home("stay-dan")->updates(), IsEmpty());
  EXPECT_EQ(GroupsOf(*client_.Home("stay-ann")), Pages{{"stay-a"}});
}

TEST_F(KlatchdSeveralTest, OpenPastShowsItToJoinersOfThatGroupAlone) {
  MakeGroup("open-a", {"open-ann"}, v1::HISTORY_ALL, v1::AUDIENCE_MEMBERS_NOW);
  MakeGroup("open-b", {"open-ann"});
  const auto posted = client_.Publish(ToGroups("open-ann", {"open-a", "open-b"}, "hi"));
  ASSERT_THAT(posted, Succeeds());
  const auto joined = client_.Add("owner", "open-a", {"open-new"});
  ASSERT_THAT(client_.Add("owner", "open-b", {"open-new"}), Succeeds());
  const auto page = client_.GroupPage("open-new", "open-a", joined->tokens());
  ASSERT_THAT(page, Succeeds());
  ASSERT_EQ(GroupsOf(*page), Pages{{"open-a"}});
  EXPECT_EQ(page->updates(0).audience(), v1::AUDIENCE_MEMBERS_NOW);
  ASSERT_TRUE(Eventually([&] { return client_.GroupPage("open-new", "open-b").ok(); }));
  EXPECT_THAT(client_.GroupPage("open-new", "open-b")->updates(), IsEmpty());
}

TEST_F(KlatchdSeveralTest, AuthorEditsWhileTheyMayPostInOneOfTheGroups) {
  MakeGroup("edit-a", {"edit-ann", "edit-bob"});
  MakeGroup("edit-b", {"edit-ann", "edit-cat"});
  const auto posted = client_.Publish(ToGroups("edit-ann", {"edit-a", "edit-b"}, "old"));
  ASSERT_THAT(posted, Succeeds());
  ASSERT_THAT(client_.Get("edit-cat", posted->update_id()), Succeeds());
  EXPECT_THAT(client_.Edit("edit-bob", posted->update_id(), "mine"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  ASSERT_THAT(client_.Remove("owner", "edit-a", {"edit-ann"}), Succeeds());
  const auto edited = client_.Edit("edit-ann", posted->update_id(), "new");
  ASSERT_THAT(edited, Succeeds());
  EXPECT_EQ(edited->update().text(), "new");
  EXPECT_EQ(Strings(edited->update().groups()), Groups{"edit-b"});
  for (const char* person : {"edit-bob", "edit-cat"}) {
    EXPECT_THAT(TextsOf(*client_.Home(person)), ElementsAre("new")) << person;
  }
  ASSERT_THAT(client_.Remove("owner", "edit-b", {"edit-ann"}), Succeeds());
  EXPECT_THAT(client_.Edit("edit-ann", posted->update_id(), "newer"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Delete("edit-ann", posted->update_id()), Succeeds());
  EXPECT_THAT(client_.Home("edit-bob")->updates(), IsEmpty());
  EXPECT_THAT(client_.Home("edit-cat")->updates(), IsEmpty());
}

TEST_F(KlatchdSeveralTest, ModeratorTakesItOutOfTheirGroupOnly) {
  MakeGroup("mod-a", {"mod-ann", "mod-bob", "mod-dan"});
  MakeGroup("mod-b", {"mod-ann", "mod-cat", "mod-dan"});
  ASSERT_THAT(client_.Add("owner", "mod-a", {"mod-mia"}, v1::ROLE_MODERATOR), Succeeds());
  const auto posted = client_.Publish(ToGroups("mod-ann", {"mod-a", "mod-b"}, "hm"));
  ASSERT_THAT(posted, Succeeds());
  const uint64_t id = posted->update_id();
  ASSERT_EQ(GroupsOf(*client_.Home("mod-dan", posted->tokens())), (Pages{{"mod-a", "mod-b"}}));
  EXPECT_THAT(client_.Delete("mod-bob", id), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Delete("mod-eve", id), Refuses(StatusCode::NOT_FOUND, "update_id"));

  ASSERT_THAT(client_.Delete("mod-mia", id), Succeeds());
  EXPECT_THAT(client_.Home("mod-bob")->updates(), IsEmpty());
  EXPECT_THAT(client_.GroupPage("mod-dan", "mod-a")->updates(), IsEmpty());
  EXPECT_EQ(GroupsOf(*client_.Home("mod-dan")), Pages{{"mod-b"}});
  EXPECT_EQ(GroupsOf(*client_.Home("mod-cat")), Pages{{"mod-b"}});
  EXPECT_THAT(client_.Delete("mod-mia", id), Refuses(StatusCode::NOT_FOUND, "update_id"));

  ASSERT_THAT(client_.Delete("owner", id), Succeeds());
  EXPECT_THAT(client_.Home("mod-cat")->updates(), IsEmpty());
  EXPECT_THAT(client_.Get("mod-ann", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
}

TEST_F(KlatchdSeveralTest, ItemsOfABatchGoToOneOrSeveral) {
  MakeGroup("batch-a", {"batch-ann"});
  MakeGroup("batch-b", {"batch-ann"});
  v1::BatchPublishUpdatesRequest batch;
  *batch.add_requests() = Client::Post("batch-ann", "batch-a", "one");
  *batch.add_requests() = ToGroups("batch-ann", {"batch-a", "batch-b"}, "two");
  *batch.add_requests() = ToAll("batch-ann", "all");
  *batch.add_requests() = ToAll("batch-nobody", "none");
  const auto done = client_.Feed(&v1::FeedService::Stub::BatchPublishUpdates, batch);
  ASSERT_THAT(done, Succeeds());
  ASSERT_EQ(done->results_size(), 4);
  EXPECT_EQ(done->results(0).published().groups_size(), 0);
  EXPECT_EQ(done->results(1).published().groups_size(), 2);
  EXPECT_EQ(done->results(2).published().groups_size(), 2);
  EXPECT_EQ(BadField(done->results(3).error()), "all_my_groups");
  Tokens tokens;
  for (int i = 0; i < 3; ++i) {
    tokens.MergeFrom(done->results(i).published().tokens());
  }
  EXPECT_THAT(TextsOf(*client_.Home("batch-ann", tokens)),
              UnorderedElementsAre("one", "two", "all"));
}

TEST(KlatchdSeveralOneShardTest, HomeAndCarriesMayShareALog) {
  Klatchd klatchd({.arguments = {"--shards", "1", "--partitions", "2"}});
  Client client(klatchd.Channel());
  for (const char* group : {"a", "b"}) {
    ASSERT_THAT(client.CreateGroup("owner", group), Succeeds());
    ASSERT_THAT(client.Add("owner", group, {"ann", "bob"}), Succeeds());
  }
  const auto posted = client.Publish(ToGroups("ann", {"a", "b"}, "hi"));
  ASSERT_THAT(posted, Succeeds());
  EXPECT_EQ(posted->tokens_size(), 1);
  const Groups both = {"a", "b"};
  EXPECT_EQ(GroupsOf(*client.Home("bob", posted->tokens())), Pages{both});
  EXPECT_EQ(GroupsOf(*client.GroupPage("bob", "b", posted->tokens())), Pages{both});
  EXPECT_EQ(GroupsOf(*client.Profile("bob", "ann", posted->tokens())), Pages{both});
  ASSERT_THAT(client.Remove("owner", "a", {"bob"}), Succeeds());
  EXPECT_EQ(GroupsOf(*client.Home("bob")), Pages{{"b"}});
  ASSERT_THAT(client.Delete("ann", posted->update_id()), Succeeds());
  EXPECT_THAT(client.Home("bob")->updates(), IsEmpty());
}

// A klatchd of its own, and an appender on its Redis that takes single steps.
class KlatchdSeveralStepsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pipeline_ = std::make_unique<redis::SocketPipeline>(klatchd_.ConnectRedis()->address(),
                                                        redis::Pipeline::Options());
    ASSERT_TRUE(Eventually([this] { return pipeline_->connected(); }));
    appender_ =
        std::make_unique<RedisAppender>(*pipeline_, layout_, log_clock_, RedisAppender::Options());
    for (const char* group : {"a", "b"}) {
      ASSERT_THAT(client_->CreateGroup("owner", group), Succeeds());
      ASSERT_THAT(client_->Add("owner", group, {"ann"}), Succeeds());
    }
    ASSERT_THAT(client_->Add("owner", "a", {"bob"}), Succeeds());
  }

  void Restart() {
    klatchd_.Kill();
    klatchd_.Start();
    client_ = std::make_unique<Client>(klatchd_.Channel());
  }

  template <typename T>
  static T Await(base::Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> future = promise->get_future();
    base::Spawn([](base::Task<T> inner, std::shared_ptr<std::promise<T>> out) -> base::Task<void> {
      T value = co_await std::move(inner);
      out->set_value(std::move(value));
    }(std::move(task), std::move(promise)));
    return future.get();
  }

  static v1::PublishUpdateRequest HalfWay() {
    v1::PublishUpdateRequest request = ToGroups("ann", {"a", "b"}, "half way");
    request.set_request_id("key");
    return request;
  }
  // The first step of that request.
  UpdateId Home() {
    const v1::PublishUpdateRequest request = HalfWay();
    BodyHeader header;
    header.author = PersonId("ann");
    header.targets = {{GroupId("a"), Carry{}}, {GroupId("b"), Carry{}}};
    v1::Update content = request.update();
    content.clear_groups();
    PublishSeveralCommand command;
    command.actor = header.author;
    command.request_id = request.request_id();
    command.payload_digest = RequestDigest("publish to several", PublishPayload(request.update()));
    command.body = EncodeBody(header, UpdateBytes(content, header.author));
    const auto published = Await(appender_->PublishSeveral(std::move(command)));
    EXPECT_TRUE(published.ok()) << published.status();
    return published.ok() ? published->id : UpdateId();
  }
  Carry CarryTo(UpdateId id, const char* group) {
    const auto carry = Await(
        appender_->CarryTo({id, PersonId("ann"), GroupId(group), AudienceRule::kGroupDefault}));
    EXPECT_TRUE(carry.ok()) << carry.status();
    return carry.value_or(Carry{});
  }

  bool IsEverywhere(UpdateId id) {
    const auto ann = client_->Get("ann", id.value());
    const auto bob = client_->Home("bob");
    return ann.ok() && Strings(ann->update().groups()) == Groups{"a", "b"} && bob.ok() &&
           GroupsOf(*bob) == Pages{{"a"}};
  }
  // Bob sees an update through a, and is out of that group before b, which is his too, has decided.
  void LeaveBetweenTwoSteps(UpdateId id) {
    ASSERT_THAT(client_->Remove("owner", "a", {"bob"}), Succeeds());
    CarryTo(id, "b");
    ASSERT_THAT(client_->Publish("ann", "b", "mark"), Succeeds());
  }
  int64_t Pending(UpdateId id) {
    const auto reply = klatchd_.ConnectRedis()->Call({"ZCARD", Keys(layout_).Pending(id.shard())});
    return reply.ok() ? reply->integer() : -1;
  }

  const Layout layout_;
  Klatchd klatchd_;
  std::unique_ptr<Client> client_ = std::make_unique<Client>(klatchd_.Channel());
  std::unique_ptr<redis::Pipeline> pipeline_;
  const base::SystemClock system_clock_;
  LogClock log_clock_{system_clock_};
  std::unique_ptr<RedisAppender> appender_;
};

TEST_F(KlatchdSeveralStepsTest, SweeperFinishesWhatNobodyRepeats) {
  const UpdateId id = Home();
  EXPECT_THAT(client_->Get("ann", id.value()), Refuses(StatusCode::NOT_FOUND, "update_id"))
      << "no group has it yet";
  EXPECT_TRUE(Eventually([&] { return IsEverywhere(id); }));
  EXPECT_TRUE(Eventually([&] { return Pending(id) == 0; }));
  EXPECT_TRUE(Eventually([&] {
    return klatchd_.Get("/metrics").second.find("\nklatch_swept_posts_total 1\n") !=
           std::string::npos;
  }));
}

TEST_F(KlatchdSeveralStepsTest, NodeThatDiesBetweenTwoStepsLeavesTheRestToTheNext) {
  const UpdateId id = Home();
  CarryTo(id, "a");
  // What one group has decided is shown before all is settled.
  EXPECT_TRUE(Eventually([&] { return GroupsOf(*client_->Home("bob")) == Pages{{"a"}}; }));
  // Ann may be another worker's.
  EXPECT_TRUE(Eventually([&] { return GroupsOf(*client_->Home("ann")) == Pages{{"a"}}; }));
  Restart();
  EXPECT_TRUE(Eventually([&] { return IsEverywhere(id); }));
  EXPECT_EQ(client_->Home("ann")->updates_size(), 1);
  EXPECT_EQ(client_->Profile("ann", "ann")->updates_size(), 1);
}

TEST_F(KlatchdSeveralStepsTest, GroupDeletedBetweenTwoStepsRefusesAndTheOtherHasIt) {
  // Without a klatchd nothing sweeps meanwhile.
  klatchd_.Kill();
  const UpdateId id = Home();
  const auto deleted = Await(appender_->DeleteGroup(PersonId("owner"), GroupId("b")));
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  klatchd_.Start();
  client_ = std::make_unique<Client>(klatchd_.Channel());
  for (int attempt = 0; attempt < 3; ++attempt) {
    SCOPED_TRACE(attempt);
    const auto posted = client_->Publish(HalfWay());
    ASSERT_THAT(posted, Succeeds());
    EXPECT_EQ(posted->update_id(), id.value());
    EXPECT_THAT(ResultsOf(*posted),
                ElementsAre(std::pair("a", 0), std::pair("b", StatusCode::NOT_FOUND)));
    EXPECT_EQ(BadField(posted->groups(1).error()), "update.groups");
    for (const char* person : {"ann", "bob"}) {
      EXPECT_EQ(GroupsOf(*client_->Home(person, posted->tokens())), Pages{{"a"}}) << person;
    }
    EXPECT_TRUE(Eventually([&] { return Pending(id) == 0; }));
    if (attempt == 1) {
      Restart();
    }
  }
}

TEST_F(KlatchdSeveralStepsTest, RemovalThatWasNotSettledIsSettledByTheSweeper) {
  const UpdateId id = Home();
  CarryTo(id, "a");
  CarryTo(id, "b");
  ASSERT_TRUE(Eventually([&] { return IsEverywhere(id) && Pending(id) == 0; }));
  ASSERT_TRUE(Await(appender_->AwaitSettling(id)).ok());
  ASSERT_TRUE(Await(appender_->RemoveUpdate(PersonId("owner"), GroupId("a"), id)).ok());
  // As if the time that the call may take were over.
  const Keys keys(layout_);
  const std::string member = keys.Update(id).substr(keys.UpdatePrefix(id.shard()).size());
  ASSERT_TRUE(klatchd_.ConnectRedis()->Call({"ZADD", keys.Pending(id.shard()), "0", member}).ok());
  Restart();
  EXPECT_TRUE(Eventually([&] { return Pending(id) == 0; }));
  EXPECT_TRUE(Eventually([&] {
    const auto got = client_->Get("ann", id.value());
    return got.ok() && Strings(got->update().groups()) == Groups{"b"};
  }));
  EXPECT_THAT(client_->Home("bob")->updates(), IsEmpty());
}

TEST_F(KlatchdSeveralStepsTest, ResumedWatchDoesNotRepeatWhatALeftGroupHasShown) {
  ASSERT_THAT(client_->AddApplied("owner", "b", {"bob"}), Succeeds());
  Watcher bob(klatchd_.Channel(), "bob");
  ASSERT_TRUE(bob.AwaitBegun());
  const UpdateId id = Home();
  CarryTo(id, "a");
  ASSERT_TRUE(bob.AwaitWords({"+half way"}));
  ASSERT_TRUE(bob.AwaitToken(1));
  // Its token is made of what it was told, not of what it has shown itself.
  Watcher again(klatchd_.Channel(), "bob", bob.token());
  ASSERT_TRUE(again.AwaitAnyToken());
  const std::string token = again.token();
  LeaveBetweenTwoSteps(id);
  Watcher late(klatchd_.Channel(), "bob", token);
  EXPECT_TRUE(bob.AwaitWords({"+half way", "out a", "+mark"}));
  EXPECT_TRUE(again.AwaitWords({"out a", "+mark"}));
  EXPECT_TRUE(late.AwaitWords({"out a", "+mark"}));
}

TEST_F(KlatchdSeveralStepsTest, WatchOfAPageDoesNotRepeatWhatALeftGroupHasShown) {
  ASSERT_THAT(client_->AddApplied("owner", "b", {"bob"}), Succeeds());
  const UpdateId id = Home();
  CarryTo(id, "a");
  std::string token;
  ASSERT_TRUE(Eventually([&] {
    const auto home = client_->Home("bob");
    token = home->watch_token();
    return GroupsOf(*home) == Pages{{"a"}};
  }));
  LeaveBetweenTwoSteps(id);
  Watcher bob(klatchd_.Channel(), "bob", token);
  EXPECT_TRUE(bob.AwaitWords({"out a", "+mark"}));
}

// Killed at any step; the caller repeats with the same keys, as it should.
TEST_F(KlatchdSeveralStepsTest, KilledAmongManyPostsNothingIsLostOrShownTwice) {
  constexpr int kPosts = 60;
  std::vector<v1::PublishUpdateRequest> requests;
  for (int i = 0; i < kPosts; ++i) {
    requests.push_back(ToGroups("ann", {"a", "b"}, "post " + std::to_string(i)));
  }
  std::atomic<int> answered{0};
  std::thread poster([&] {
    for (const v1::PublishUpdateRequest& request : requests) {
      if (!client_->Publish(request).ok()) {
        return;
      }
      ++answered;
    }
  });
  EXPECT_TRUE(Eventually([&] { return answered >= kPosts / 3; }));
  klatchd_.Kill();
  poster.join();
  klatchd_.Start();
  client_ = std::make_unique<Client>(klatchd_.Channel());
  Tokens tokens;
  std::set<uint64_t> ids;
  for (const v1::PublishUpdateRequest& request : requests) {
    const auto posted = client_->Publish(request);
    ASSERT_THAT(posted, Succeeds());
    EXPECT_THAT(ResultsOf(*posted), ElementsAre(std::pair("a", 0), std::pair("b", 0)));
    ids.insert(posted->update_id());
    tokens = posted->tokens();
  }
  EXPECT_EQ(ids.size(), static_cast<size_t>(kPosts));
  for (const char* person : {"ann", "bob", "owner"}) {
    const auto home = client_->Home(person, tokens);
    ASSERT_THAT(home, Succeeds());
    std::set<uint64_t> seen;
    for (const v1::Update& update : home->updates()) {
      EXPECT_TRUE(seen.insert(update.id()).second) << "twice";
    }
    EXPECT_EQ(seen, ids) << person;
  }
}

}  // namespace
}  // namespace klatch::testing
