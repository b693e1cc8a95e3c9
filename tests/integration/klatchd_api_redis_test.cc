// What an honest client may count on, over gRPC, from a klatchd that runs for real.

#include <algorithm>
#include <functional>
#include <map>

#include "google/protobuf/util/time_util.h"
#include "services/model/position.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using google::protobuf::util::TimeUtil;
using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// One klatchd for all tests; each has groups and persons of its own.
class KlatchdApiTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { klatchd_ = std::make_unique<Klatchd>(); }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    EXPECT_EQ(klatchd_->RedisProcess(), 0) << "its redis-server is still there";
    klatchd_.reset();
  }

  void MakeGroup(const std::string& group, const std::vector<std::string>& members,
                 v1::History history = v1::HISTORY_NONE,
                 v1::Audience audience = v1::AUDIENCE_MEMBERS_AT_POSTING) {
    ASSERT_THAT(client_.CreateGroup("owner", group, history, audience), Succeeds());
    if (!members.empty()) {
      ASSERT_THAT(client_.Add("owner", group, members), Succeeds());
    }
  }

  static std::unique_ptr<Klatchd> klatchd_;
  Client client_{klatchd_->Channel()};
};

std::unique_ptr<Klatchd> KlatchdApiTest::klatchd_;

TEST_F(KlatchdApiTest, ShowsPostToItsAuthorAndEveryMemberRightAfterTheAnswer) {
  MakeGroup("post", {"ann", "bob"});
  for (int i = 0; i < 50; ++i) {
    const std::string text = "post " + std::to_string(i);
    const auto posted = client_.Publish("ann", "post", text);
    ASSERT_THAT(posted, Succeeds());
    for (const char* person : {"ann", "bob", "owner"}) {
      const auto home = client_.Home(person, posted->tokens(), 1);
      ASSERT_THAT(home, Succeeds());
      ASSERT_EQ(home->updates_size(), 1) << person;
      const v1::Update& update = home->updates(0);
      EXPECT_EQ(update.id(), posted->update_id());
      EXPECT_EQ(update.text(), text);
      EXPECT_EQ(update.author(), "ann");
      EXPECT_THAT(update.groups(), ElementsAre("post"));
      EXPECT_EQ(TimeUtil::TimestampToMilliseconds(update.create_time()),
                UpdateId(posted->update_id()).unix_ms());
    }
  }
}

TEST_F(KlatchdApiTest, KeepsEveryFieldOfAnUpdate) {
  MakeGroup("fields", {"ann"});
  const auto first = client_.Publish("ann", "fields", "first");
  auto request = Client::Post("ann", "fields", "{\"text\": \"Grüße\\n\"} 🥾\r\n");
  v1::Update* update = request.mutable_update();
  auto* attachment = update->add_attachments();
  attachment->set_uri("https://example.org/a?b=c");
  attachment->set_media_type("image/jpeg");
  attachment->set_alt_text("a hill");
  update->mutable_place()->set_label("Hill");
  update->mutable_place()->set_latitude(-90);
  update->mutable_place()->set_longitude(180);
  update->set_reply_to(first->update_id());
  update->set_reshare_of(first->update_id());
  update->set_audience(v1::AUDIENCE_MEMBERS_NOW);
  // Output only: ignored.
  update->set_id(7);
  update->set_author("mallory");
  update->set_revision(9);
  const auto posted = client_.Publish(request);
  ASSERT_THAT(posted, Succeeds());

  v1::Update expected = *update;
  expected.set_id(posted->update_id());
  expected.set_author("ann");
  expected.set_revision(0);
  *expected.mutable_create_time() =
      TimeUtil::MillisecondsToTimestamp(UpdateId(posted->update_id()).unix_ms());
  const auto got = client_.Get("ann", posted->update_id(), posted->tokens());
  ASSERT_THAT(got, Succeeds());
  EXPECT_EQ(got->update().DebugString(), expected.DebugString());
  const auto page = client_.GroupPage("ann", "fields", posted->tokens(), 1);
  ASSERT_THAT(page, Succeeds());
  EXPECT_EQ(page->updates(0).DebugString(), expected.DebugString());
}

TEST_F(KlatchdApiTest, BatchTakesGoodItemsAndRefusesBadOnesEachForItself) {
  MakeGroup("batch-1", {"batcher", "bystander"});
  MakeGroup("batch-2", {"batcher"});
  v1::BatchPublishUpdatesRequest request;
  std::vector<std::string> good;
  for (int i = 0; i < 100; ++i) {
    const std::string text = "item " + std::to_string(i);
    const char* group = i % 2 == 0 ? "batch-1" : "batch-2";
    auto* item = request.add_requests();
    *item = Client::Post("batcher", group, text);
    switch (i) {
      case 10:
        item->mutable_update()->set_groups(0, "no such group");
        break;
      case 20:
        item->mutable_update()->clear_text();
        break;
      case 31:
        item->set_actor("bystander");
        break;
      case 40:
        item->set_request_id("");
        break;
      case 50:
        item->set_namespace_("other");
        break;
      default:
        if (i % 2 == 0) {
          good.insert(good.begin(), text);
        }
    }
  }
  const auto answer = client_.Feed(&v1::FeedService::Stub::BatchPublishUpdates, request);
  ASSERT_THAT(answer, Succeeds());
  ASSERT_EQ(answer->results_size(), 100);
  const std::map<int, std::pair<StatusCode, std::string>> refused = {
      {10, {StatusCode::NOT_FOUND, "update.groups"}},
      {20, {StatusCode::INVALID_ARGUMENT, "update.text"}},
      {31, {StatusCode::PERMISSION_DENIED, "actor"}},
      {40, {StatusCode::INVALID_ARGUMENT, "request_id"}},
      {50, {StatusCode::INVALID_ARGUMENT, "namespace"}}};
  Tokens tokens;
  for (int i = 0; i < 100; ++i) {
    const v1::BatchPublishResult& result = answer->results(i);
    const auto expected = refused.find(i);
    if (expected == refused.end()) {
      EXPECT_TRUE(result.has_published()) << i << ": " << result.ShortDebugString();
      *tokens.Add() = result.published().tokens(0);
    } else {
      EXPECT_EQ(result.error().code(), expected->second.first) << i;
      EXPECT_EQ(BadField(result.error()), expected->second.second) << i;
    }
  }
  Tokens newest = tokens;
  newest.DeleteSubrange(0, newest.size() - 2);
  EXPECT_THAT(TextsOf(*client_.Home("bystander", newest)), ElementsAreArray(good));
  EXPECT_EQ(client_.Home("batcher", newest)->updates_size(), 95);
}

struct Pages {
  const char* name;
  // Texts and token of the next page.
  std::function<std::pair<std::vector<std::string>, std::string>(Client&, int size,
                                                                 const std::string& token)>
      read;
};

TEST_F(KlatchdApiTest, PagesOfEveryKindLeadToTheEndWithoutGapOrRepetition) {
  MakeGroup("paging", {"pager", "poster"});
  std::vector<std::string> expected;
  Tokens tokens;
  for (int i = 0; i < 57; ++i) {
    const auto posted = client_.Publish("poster", "paging", std::to_string(i));
    ASSERT_THAT(posted, Succeeds());
    tokens = posted->tokens();
    expected.insert(expected.begin(), std::to_string(i));
  }
  const auto shape = [](const auto& answer) {
    EXPECT_THAT(answer, Succeeds());
    return std::make_pair(TextsOf(*answer), answer->next_page_token());
  };
  const std::vector<Pages> kinds = {
      {"home",
       [&](Client& client, int size, const std::string& token) {
         return shape(client.Home("pager", tokens, size, token));
       }},
      {"group",
       [&](Client& client, int size, const std::string& token) {
         return shape(client.GroupPage("pager", "paging", tokens, size, token));
       }},
      {"profile",
       [&](Client& client, int size, const std::string& token) {
         return shape(client.Profile("pager", "poster", tokens, size, token));
       }},
  };
  for (const Pages& kind : kinds) {
    for (int size : {0, 1, 10, 57, 200, 1'000}) {
      const size_t full = size == 0 ? 20 : static_cast<size_t>(std::min(size, 200));
      std::vector<std::string> seen;
      std::string token;
      int pages = 0;
      do {
        auto [texts, next] = kind.read(client_, size, token);
        EXPECT_LE(texts.size(), full) << kind.name;
        EXPECT_TRUE(next.empty() || texts.size() == full) << kind.name << " page " << pages;
        seen.insert(seen.end(), texts.begin(), texts.end());
        token = next;
      } while (!token.empty() && ++pages < 100);
      EXPECT_THAT(seen, ElementsAreArray(expected)) << kind.name << " by " << size;
    }
  }
}

TEST_F(KlatchdApiTest, CursorGoesOnBelowWhereItStoodWhileNewUpdatesCome) {
  MakeGroup("cursor", {"reader-c"});
  Tokens tokens;
  for (int i = 0; i < 4; ++i) {
    const auto posted = client_.Publish("owner", "cursor", std::to_string(i));
    ASSERT_THAT(posted, Succeeds());
    tokens = posted->tokens();
  }
  const auto first = client_.GroupPage("reader-c", "cursor", tokens, 2);
  EXPECT_THAT(TextsOf(*first), ElementsAre("3", "2"));
  const auto later = client_.Publish("owner", "cursor", "4");
  const auto second =
      client_.GroupPage("reader-c", "cursor", later->tokens(), 2, first->next_page_token());
  EXPECT_THAT(TextsOf(*second), ElementsAre("1", "0"));
}

TEST_F(KlatchdApiTest, PageBecomesCompleteUpToLaterTimesThoughNobodyPosts) {
  MakeGroup("idle", {"idler"});
  const auto posted = client_.Publish("owner", "idle", "last words");
  const auto first = client_.Home("idler", posted->tokens());
  ASSERT_THAT(first, Succeeds());
  const auto until = TimeUtil::TimestampToMilliseconds(first->completeness().complete_until());
  // Another update may still be given an id of the same millisecond.
  EXPECT_GE(until, UpdateId(posted->update_id()).unix_ms() - 1);
  EXPECT_FALSE(first->completeness().trimmed());
  EXPECT_EQ(first->completeness().hole_since(), 0u);
  EXPECT_THAT(first->completeness().stale_shards(), IsEmpty());
  EXPECT_TRUE(Eventually(
      [&] {
        const auto page = client_.Home("idler");
        return TimeUtil::TimestampToMilliseconds(page->completeness().complete_until()) > until;
      },
      std::chrono::seconds(10)));
}

TEST_F(KlatchdApiTest, RolesDecideWhoMayDoWhat) {
  MakeGroup("roles", {"member"});
  ASSERT_THAT(client_.Add("owner", "roles", {"reader"}, v1::ROLE_READER), Succeeds());
  ASSERT_THAT(client_.Add("owner", "roles", {"mod", "mod-2"}, v1::ROLE_MODERATOR), Succeeds());
  const auto posted = client_.Publish("member", "roles", "by a member");
  ASSERT_THAT(posted, Succeeds());

  EXPECT_THAT(client_.Publish("reader", "roles", "no"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Publish("stranger", "roles", "no"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(TextsOf(*client_.Home("reader", posted->tokens())), ElementsAre("by a member"));
  EXPECT_THAT(client_.Add("member", "roles", {"friend"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Add("mod", "roles", {"king"}, v1::ROLE_OWNER),
              Refuses(StatusCode::PERMISSION_DENIED, "members"));
  EXPECT_THAT(client_.Remove("member", "roles", {"reader"}),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Remove("mod", "roles", {"mod-2"}),
              Refuses(StatusCode::PERMISSION_DENIED, "persons"));
  EXPECT_THAT(client_.Remove("mod", "roles", {"owner"}),
              Refuses(StatusCode::PERMISSION_DENIED, "persons"));
  EXPECT_THAT(client_.DeleteGroup("mod", "roles"), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(client_.Delete("reader", posted->update_id()),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));

  const auto removed = client_.Remove("mod", "roles", {"reader"});
  ASSERT_THAT(removed, Succeeds());
  EXPECT_EQ(removed->removed_count(), 1u);
  EXPECT_THAT(client_.Delete("mod", posted->update_id()), Succeeds());
  EXPECT_THAT(client_.Get("member", posted->update_id()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));

  v1::UpdateMemberRequest demote;
  demote.set_actor("owner");
  demote.set_group("roles");
  demote.mutable_member()->set_person("member");
  demote.mutable_member()->set_role(v1::ROLE_READER);
  const auto demoted = client_.Groups(&v1::GroupService::Stub::UpdateMember, demote);
  ASSERT_THAT(demoted, Succeeds());
  EXPECT_EQ(demoted->member().role(), v1::ROLE_READER);
  EXPECT_THAT(client_.Publish("member", "roles", "no more"),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  demote.mutable_member()->set_person("owner");
  EXPECT_THAT(client_.Groups(&v1::GroupService::Stub::UpdateMember, demote),
              Refuses(StatusCode::FAILED_PRECONDITION, "member.role"));
  EXPECT_THAT(client_.Remove("owner", "roles", {"owner"}),
              Refuses(StatusCode::FAILED_PRECONDITION, "persons"));
}

// A home page once what was dropped, or is a joiner's past, has been fetched from the feeds.
Answer<v1::ListHomeTimelineResponse> WholeHome(Client& client, const std::string& person,
                                               const Tokens& tokens) {
  Answer<v1::ListHomeTimelineResponse> page;
  EXPECT_TRUE(Eventually([&] {
    page = client.Home(person, tokens);
    return page.ok() && page->completeness().hole_since() == 0;
  }));
  return page;
}

struct PastRow {
  const char* name;
  v1::History history;
  v1::Audience audience;
  bool joiner_sees_past;
};

TEST_F(KlatchdApiTest, JoinerSeesOfThePastWhatHistoryAndAudienceAllow) {
  const std::vector<PastRow> rows = {
      {"none-posting", v1::HISTORY_NONE, v1::AUDIENCE_MEMBERS_AT_POSTING, false},
      {"none-now", v1::HISTORY_NONE, v1::AUDIENCE_MEMBERS_NOW, false},
      {"all-posting", v1::HISTORY_ALL, v1::AUDIENCE_MEMBERS_AT_POSTING, false},
      {"all-now", v1::HISTORY_ALL, v1::AUDIENCE_MEMBERS_NOW, true},
  };
  for (const PastRow& row : rows) {
    SCOPED_TRACE(row.name);
    const std::string group = row.name;
    MakeGroup(group, {}, row.history, row.audience);
    const auto before = client_.Publish("owner", group, "before");
    const std::string joiner = group + "-joiner";
    const auto added = client_.Add("owner", group, {joiner});
    ASSERT_THAT(added, Succeeds());
    const auto after = client_.Publish("owner", group, "after");
    ASSERT_THAT(after, Succeeds());

    std::vector<std::string> past = {"after"};
    if (row.joiner_sees_past) {
      past.push_back("before");
    }
    EXPECT_THAT(TextsOf(*client_.GroupPage(joiner, group, after->tokens())),
                ElementsAreArray(past));
    EXPECT_EQ(client_.Get(joiner, before->update_id()).ok(), row.joiner_sees_past);
    EXPECT_THAT(client_.Get(joiner, after->update_id()), Succeeds());
    EXPECT_THAT(TextsOf(*WholeHome(client_, joiner, after->tokens())), ElementsAreArray(past));
    EXPECT_THAT(TextsOf(*client_.GroupPage("owner", group)), ElementsAre("after", "before"));
  }
}

// Everything through which `person` might still see something of `group`, whose author is "owner".
void ExpectSeesNothing(Client& client, const std::string& person, const std::string& group,
                       uint64_t update) {
  EXPECT_THAT(TextsOf(*client.Home(person)), IsEmpty());
  EXPECT_THAT(client.GroupPage(person, group), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(TextsOf(*client.Profile(person, group + "-author")), IsEmpty());
  EXPECT_THAT(client.Get(person, update), Refuses(StatusCode::NOT_FOUND, "update_id"));
}

TEST_F(KlatchdApiTest, RemovedPersonSeesNothingFromTheAnswerOn) {
  for (int round = 0; round < 30; ++round) {
    const std::string group = "removal-" + std::to_string(round);
    const std::string author = group + "-author";
    const std::string leaver = group + "-leaver";
    MakeGroup(group, {author, leaver});
    const auto posted = client_.Publish(author, group, "secret");
    ASSERT_THAT(TextsOf(*client_.Home(leaver, posted->tokens())), ElementsAre("secret"));
    ASSERT_THAT(TextsOf(*client_.Profile(leaver, author)), ElementsAre("secret"));
    ASSERT_THAT(TextsOf(*client_.GroupPage(leaver, group)), ElementsAre("secret"));
    const std::string actor = round % 2 == 0 ? "owner" : leaver;
    ASSERT_THAT(client_.Remove(actor, group, {leaver}), Succeeds());
    ExpectSeesNothing(client_, leaver, group, posted->update_id());

    // Nothing of what is posted while away, nor, after coming back, anything from before.
    const auto away = client_.Publish(author, group, "while away");
    ExpectSeesNothing(client_, leaver, group, away->update_id());
    ASSERT_THAT(client_.Add("owner", group, {leaver}), Succeeds());
    const auto back = client_.Publish(author, group, "welcome back");
    EXPECT_THAT(TextsOf(*client_.Home(leaver, back->tokens())), ElementsAre("welcome back"));
    EXPECT_THAT(TextsOf(*client_.GroupPage(leaver, group)), ElementsAre("welcome back"));
    EXPECT_THAT(TextsOf(*client_.Profile(leaver, author)), ElementsAre("welcome back"));
    EXPECT_THAT(client_.Get(leaver, posted->update_id()),
                Refuses(StatusCode::NOT_FOUND, "update_id"));
  }
}

TEST_F(KlatchdApiTest, DeletedAndEditedUpdatesAreGoneAndNewFromTheAnswerOn) {
  MakeGroup("changes", {"writer", "viewer"});
  for (int round = 0; round < 30; ++round) {
    const auto posted = client_.Publish("writer", "changes", "draft");
    const uint64_t id = posted->update_id();
    ASSERT_THAT(client_.Get("viewer", id, posted->tokens()), Succeeds());
    const std::string text = "edited " + std::to_string(round);
    const auto edited = client_.Edit("writer", id, text);
    ASSERT_THAT(edited, Succeeds());
    EXPECT_EQ(edited->update().revision(), 1u);
    EXPECT_THAT(client_.Edit("viewer", id, "mine"),
                Refuses(StatusCode::PERMISSION_DENIED, "actor"));
    EXPECT_EQ(client_.Get("viewer", id)->update().text(), text);
    EXPECT_THAT(TextsOf(*client_.Home("viewer")), ElementsAre(text));
    EXPECT_THAT(TextsOf(*client_.GroupPage("viewer", "changes")), ElementsAre(text));
    EXPECT_THAT(TextsOf(*client_.Profile("viewer", "writer")), ElementsAre(text));
    ASSERT_THAT(client_.Delete("writer", id), Succeeds());
    EXPECT_THAT(client_.Get("viewer", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
    EXPECT_THAT(TextsOf(*client_.Home("viewer")), IsEmpty());
    EXPECT_THAT(TextsOf(*client_.GroupPage("viewer", "changes")), IsEmpty());
    EXPECT_THAT(TextsOf(*client_.Profile("viewer", "writer")), IsEmpty());
    EXPECT_THAT(client_.Delete("writer", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
  }
}

TEST_F(KlatchdApiTest, DeletedGroupIsGoneForEverybodyAndItsIdIsNotGivenOutAgain) {
  MakeGroup("doomed", {"doomed-author", "witness"});
  const auto posted = client_.Publish("doomed-author", "doomed", "last");
  ASSERT_THAT(client_.Get("witness", posted->update_id()), Succeeds());
  ASSERT_THAT(client_.DeleteGroup("owner", "doomed"), Succeeds());
  EXPECT_THAT(TextsOf(*client_.Home("witness")), IsEmpty());
  EXPECT_THAT(TextsOf(*client_.Profile("witness", "doomed-author")), IsEmpty());
  EXPECT_THAT(client_.Get("witness", posted->update_id()),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  EXPECT_THAT(client_.GroupPage("witness", "doomed"), Refuses(StatusCode::NOT_FOUND, "group"));
  EXPECT_THAT(client_.GroupPage("stranger", "doomed"), Refuses(StatusCode::NOT_FOUND, "group"));
  EXPECT_THAT(client_.Publish("owner", "doomed", "hello?"),
              Refuses(StatusCode::NOT_FOUND, "update.groups"));
  EXPECT_THAT(client_.CreateGroup("owner", "doomed"),
              Refuses(StatusCode::ALREADY_EXISTS, "group.id"));
}

TEST_F(KlatchdApiTest, ListsMembersAndGroupsToTheEnd) {
  std::vector<std::string> persons;
  for (int i = 0; i < 450; ++i) {
    persons.push_back("crowd-" + std::to_string(i));
  }
  ASSERT_THAT(client_.CreateGroup("crowd-owner", "crowd"), Succeeds());
  const auto added = client_.Add("crowd-owner", "crowd", persons);
  ASSERT_THAT(added, Succeeds());
  EXPECT_EQ(added->added_count(), 450u);
  ASSERT_EQ(added->chunk_positions_size(), 3);
  const auto again = client_.Add("crowd-owner", "crowd", persons);
  EXPECT_EQ(again->added_count(), 0u);
  EXPECT_EQ(again->unchanged_count(), 450u);

  // A group as small as this Redis keeps in one piece.
  MakeGroup("circle", {"crowd-7", "a", "b", "c", "d", "e"});
  std::map<std::string, v1::Member> members;
  for (const char* group : {"circle", "crowd"}) {
    for (const int size : {1, 4, 50, 1'000}) {
      members.clear();
      int listed = 0;
      v1::ListMembersRequest list;
      list.set_actor("crowd-7");
      list.set_group(group);
      list.set_page_size(size);
      do {
        const auto page = client_.Groups(&v1::GroupService::Stub::ListMembers, list);
        ASSERT_THAT(page, Succeeds());
        EXPECT_LE(page->members_size(), size);
        for (const v1::Member& member : page->members()) {
          members[member.person()] = member;
          ++listed;
        }
        list.set_page_token(page->next_page_token());
      } while (!list.page_token().empty());
      EXPECT_EQ(listed, std::string(group) == "crowd" ? 451 : 7) << group << " by " << size;
      EXPECT_EQ(members.size(), static_cast<size_t>(listed));
    }
  }
  EXPECT_EQ(members["crowd-owner"].role(), v1::ROLE_OWNER);
  EXPECT_EQ(members["crowd-0"].joined(), added->chunk_positions(0));
  EXPECT_EQ(members["crowd-449"].joined(), added->chunk_positions(2));

  std::vector<std::string> groups;
  Tokens tokens;
  for (int i = 0; i < 7; ++i) {
    groups.push_back("of-one-" + std::to_string(i));
    const auto made = client_.CreateGroup("joiner-of-all", groups.back());
    ASSERT_THAT(made, Succeeds());
    tokens.MergeFrom(made->tokens());
  }
  std::vector<std::string> listed;
  v1::ListPersonGroupsRequest mine;
  mine.set_actor("joiner-of-all");
  mine.set_page_size(3);
  *mine.mutable_tokens() = tokens;
  do {
    const auto page = client_.Groups(&v1::GroupService::Stub::ListPersonGroups, mine);
    ASSERT_THAT(page, Succeeds());
    for (const v1::PersonGroup& group : page->groups()) {
      listed.push_back(group.group());
    }
    mine.set_page_token(page->next_page_token());
  } while (!mine.page_token().empty());
  EXPECT_THAT(listed, ElementsAreArray(groups));
}

TEST_F(KlatchdApiTest, ChangesOfAGroupShowToItsMembersOnly) {
  MakeGroup("policy", {"policy-member"});
  v1::UpdateGroupRequest change;
  change.set_actor("owner");
  change.mutable_group()->set_id("policy");
  change.mutable_group()->set_display_name("Hikers");
  change.mutable_group()->set_description("ignored, not in the mask");
  change.mutable_update_mask()->add_paths("display_name");
  const auto changed = client_.Groups(&v1::GroupService::Stub::UpdateGroup, change);
  ASSERT_THAT(changed, Succeeds());
  v1::GetGroupRequest get;
  get.set_actor("policy-member");
  get.set_group("policy");
  *get.mutable_tokens() = changed->tokens();
  const auto got = client_.Groups(&v1::GroupService::Stub::GetGroup, get);
  ASSERT_THAT(got, Succeeds());
  EXPECT_EQ(got->group().display_name(), "Hikers");
  EXPECT_EQ(got->group().description(), "");
  EXPECT_EQ(got->group().member_count(), 2u);
  get.set_actor("stranger");
  EXPECT_THAT(client_.Groups(&v1::GroupService::Stub::GetGroup, get),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  change.set_actor("policy-member");
  EXPECT_THAT(client_.Groups(&v1::GroupService::Stub::UpdateGroup, change),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
}

TEST_F(KlatchdApiTest, ProfileShowsOnlyWhatTheViewerSharesWithThePerson) {
  MakeGroup("shared", {"profiled", "peer"});
  MakeGroup("private", {"profiled"});
  const auto shared = client_.Publish("profiled", "shared", "for all of us");
  const auto posted = client_.Publish("profiled", "private", "for few");
  Tokens tokens = shared->tokens();
  tokens.MergeFrom(posted->tokens());
  // Within a millisecond it is the shard that orders them.
  EXPECT_THAT(TextsOf(*client_.Profile("profiled", "profiled", tokens)),
              UnorderedElementsAre("for few", "for all of us"));
  EXPECT_THAT(TextsOf(*client_.Profile("peer", "profiled", tokens)), ElementsAre("for all of us"));
  EXPECT_THAT(TextsOf(*client_.Profile("stranger", "profiled", tokens)), IsEmpty());
}

TEST_F(KlatchdApiTest, SameRequestIdYieldsTheSameUpdateOnceOnEveryPage) {
  MakeGroup("retry", {"retrier"});
  const auto request = Client::Post("retrier", "retry", "only once");
  const auto first = client_.Publish(request);
  ASSERT_THAT(first, Succeeds());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(client_.Publish(request)->update_id(), first->update_id());
  }
  EXPECT_THAT(TextsOf(*client_.Home("owner", first->tokens(), 1)), ElementsAre("only once"));
  EXPECT_THAT(TextsOf(*client_.Home("retrier", first->tokens())), ElementsAre("only once"));
}

TEST_F(KlatchdApiTest, RepeatedReplyStandsThoughWhatItAnswersIsGone) {
  MakeGroup("answers", {"asker", "replier"});
  const auto asked = client_.Publish("asker", "answers", "who comes along?");
  ASSERT_THAT(asked, Succeeds());
  auto reply = Client::Post("replier", "answers", "I do");
  reply.mutable_update()->set_reply_to(asked->update_id());
  auto reshare = Client::Post("replier", "answers", "look");
  reshare.mutable_update()->set_reshare_of(asked->update_id());
  const auto replied = client_.Publish(reply);
  const auto reshared = client_.Publish(reshare);
  ASSERT_THAT(replied, Succeeds());
  ASSERT_THAT(reshared, Succeeds());
  ASSERT_THAT(client_.Delete("asker", asked->update_id()), Succeeds());
  EXPECT_EQ(client_.Publish(reply)->update_id(), replied->update_id());
  EXPECT_EQ(client_.Publish(reshare)->update_id(), reshared->update_id());
  v1::BatchPublishUpdatesRequest batch;
  *batch.add_requests() = reply;
  *batch.add_requests() = reshare;
  const auto again = client_.Feed(&v1::FeedService::Stub::BatchPublishUpdates, batch);
  ASSERT_THAT(again, Succeeds());
  EXPECT_EQ(again->results(0).published().update_id(), replied->update_id());
  EXPECT_EQ(again->results(1).published().update_id(), reshared->update_id());
  reply.set_request_id(Client::NewRequestId());
  EXPECT_THAT(client_.Publish(reply), Refuses(StatusCode::NOT_FOUND, "update.reply_to"));
}

TEST_F(KlatchdApiTest, ModeratorsDeleteWhatTheyCannotSeeAndNobodyElseLearnsOfIt) {
  MakeGroup("moderated", {"early"});
  const auto posted = client_.Publish("early", "moderated", "before they came");
  ASSERT_THAT(posted, Succeeds());
  ASSERT_THAT(client_.Add("owner", "moderated", {"late"}), Succeeds());
  ASSERT_THAT(client_.Add("owner", "moderated", {"late-mod"}, v1::ROLE_MODERATOR), Succeeds());
  const uint64_t id = posted->update_id();
  EXPECT_THAT(client_.Get("late-mod", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
  EXPECT_THAT(client_.Delete("late", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
  EXPECT_THAT(client_.Delete("stranger", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
  ASSERT_THAT(client_.Delete("late-mod", id), Succeeds());
  EXPECT_THAT(client_.Get("early", id), Refuses(StatusCode::NOT_FOUND, "update_id"));
}

// More persons than it may hold are refused at the door: a record of them would stop the node, and
// each start after it.
TEST(KlatchdBoundsTest, PersonsBeyondTheBoundAreRefusedAndTheNodeServesOn) {
  Klatchd klatchd({.arguments = {"--persons-max", "1000"}});
  Client client(klatchd.Channel());
  const auto created = client.CreateGroup("ann", "g");
  ASSERT_THAT(created, Succeeds());
  // Who is counted is who has been applied: ann.
  ASSERT_THAT(client.Home("ann", created->tokens()), Succeeds());
  std::vector<std::string> persons;
  for (int i = 0; i < 1'000; ++i) {
    persons.push_back("person-" + std::to_string(i));
  }
  EXPECT_THAT(client.Add("ann", "g", persons), Refuses(StatusCode::RESOURCE_EXHAUSTED, "members"));
  persons.pop_back();
  const auto added = client.Add("ann", "g", persons);
  ASSERT_THAT(added, Succeeds());
  ASSERT_THAT(client.Home("ann", added->tokens()), Succeeds());
  // Nobody new any more, but whoever is known.
  EXPECT_THAT(client.Add("ann", "g", {"one-more"}),
              Refuses(StatusCode::RESOURCE_EXHAUSTED, "members"));
  EXPECT_THAT(client.CreateGroup("one-more", "h"),
              Refuses(StatusCode::RESOURCE_EXHAUSTED, "actor"));
  ASSERT_THAT(client.CreateGroup("ann", "h"), Succeeds());
  EXPECT_THAT(client.Add("ann", "h", {"person-7"}), Succeeds());
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST(KlatchdBoundsTest, WhoIsInAsManyGroupsAsOneMayBeJoinsNoOther) {
  Klatchd klatchd({.arguments = {"--person-groups-max", "3"}});
  Client client(klatchd.Channel());
  for (const char* group : {"a", "b"}) {
    ASSERT_THAT(client.CreateGroup("ann", group), Succeeds());
  }
  const auto created = client.CreateGroup("ann", "c");
  ASSERT_THAT(created, Succeeds());
  ASSERT_THAT(client.Home("ann", created->tokens()), Succeeds());
  const auto refused = client.CreateGroup("ann", "d");
  EXPECT_THAT(refused, Refuses(StatusCode::RESOURCE_EXHAUSTED, "actor"));
  EXPECT_THAT(refused.status.error_message(), ::testing::HasSubstr("\"ann\" is in as many groups"));
  ASSERT_THAT(client.CreateGroup("bob", "e"), Succeeds());
  EXPECT_THAT(client.Add("bob", "e", {"carl", "ann"}),
              Refuses(StatusCode::RESOURCE_EXHAUSTED, "members"));
  EXPECT_THAT(client.Add("bob", "e", {"carl"}), Succeeds());
  // Who leaves makes room.
  const auto deleted = client.DeleteGroup("ann", "a");
  ASSERT_THAT(deleted, Succeeds());
  ASSERT_THAT(client.Home("ann", deleted->tokens()), Succeeds());
  EXPECT_THAT(client.Add("bob", "e", {"ann"}), Succeeds());
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

}  // namespace
}  // namespace klatch::testing
