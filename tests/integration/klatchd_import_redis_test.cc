// Imports over gRPC: what is seen of them and by whom, and what is left of them when klatchd is killed
// in their middle.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "klatch/v1/log_record.pb.h"
#include "services/model/keys.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Stub = v1::ImportService::Stub;

constexpr int64_t kLongAgo = 1'234'567'890;

v1::ImportedUpdate Old(const std::string& source_id, const std::string& author,
                       const std::string& group) {
  v1::ImportedUpdate update;
  update.set_source_id(source_id);
  update.set_author(author);
  update.mutable_update()->add_groups(group);
  update.mutable_update()->set_text(source_id);
  update.mutable_original_time()->set_seconds(kLongAgo);
  return update;
}

using Roles = std::map<std::string, v1::Role>;

v1::SyncMembersRequest ListOf(const std::string& group, uint64_t version, const Roles& members) {
  v1::SyncMembersRequest request;
  request.set_group(group);
  request.set_version(version);
  for (const auto& [person, role] : members) {
    v1::Member* member = request.add_members();
    member->set_person(person);
    member->set_role(role);
  }
  return request;
}

// `count` members named after `name`, and ann as their owner.
Roles Crowd(const std::string& name, int count) {
  Roles members = {{"ann", v1::ROLE_OWNER}};
  for (int i = 0; i < count; ++i) {
    members[fmt::format("{} {}", name, i)] = v1::ROLE_MEMBER;
  }
  return members;
}

class KlatchdImportTest : public ::testing::Test {
 protected:
  KlatchdImportTest() : client_(klatchd_.Channel()) {
    EXPECT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
    EXPECT_THAT(client_.AddApplied("ann", "hiking", {"bob"}), Succeeds());
  }

  Answer<v1::ImportUpdatesResponse> Import(const std::vector<v1::ImportedUpdate>& updates) {
    v1::ImportUpdatesRequest request;
    for (const v1::ImportedUpdate& update : updates) {
      *request.add_updates() = update;
    }
    return client_.Imports(&Stub::ImportUpdates, request);
  }
  // The id and the tokens of one that must succeed.
  v1::ImportOutcome ImportOne(const v1::ImportedUpdate& update) {
    const auto response = Import({update});
    EXPECT_THAT(response, Succeeds());
    EXPECT_TRUE(response->results(0).has_imported()) << response->ShortDebugString();
    return response->results(0).imported();
  }
  Answer<v1::SyncMembersResponse> Sync(const v1::SyncMembersRequest& request) {
    return client_.Imports(&Stub::SyncMembers, request);
  }

  Roles MembersOf(const std::string& group) {
    Roles members;
    v1::ListMembersRequest request;
    request.set_actor("ann");
    request.set_group(group);
    request.set_page_size(1'000);
    do {
      const auto page = client_.Groups(&v1::GroupService::Stub::ListMembers, request);
      EXPECT_THAT(page, Succeeds());
      for (const v1::Member& member : page->members()) {
        members[member.person()] = member.role();
      }
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return members;
  }
  uint64_t CountOf(const std::string& group) {
    v1::GetGroupRequest request;
    request.set_actor("ann");
    request.set_group(group);
    return client_.Groups(&v1::GroupService::Stub::GetGroup, request)->group().member_count();
  }

  // Does `work(step)` for each step in another thread. Each time one of `kills` has begun, and a random
  // moment of up to `moment_max` later, klatchd is killed and started again. How often.
  int KillDuring(int steps, const std::function<void(int)>& work, const std::vector<int>& kills,
                 std::chrono::milliseconds moment_max) {
    const unsigned seed = std::random_device()();
    RecordProperty("seed", static_cast<int>(seed));
    std::cerr << "seed " << seed << "\n";
    std::mt19937 random(seed);
    std::atomic<int> begun{-1};
    std::thread worker([&] {
      for (int step = 0; step < steps; ++step) {
        begun.store(step);
        work(step);
      }
      begun.store(steps);
    });
    int killed = 0;
    for (const int step : kills) {
      EXPECT_TRUE(Eventually([&] { return begun.load() >= step; }));
      const auto moment = std::chrono::steady_clock::now() +
                          std::chrono::microseconds(random() % (1'000 * moment_max.count() + 1));
      while (std::chrono::steady_clock::now() < moment) {
        std::this_thread::yield();
      }
      killed += begun.load() < steps ? 1 : 0;
      klatchd_.Kill();
      klatchd_.Start();
    }
    worker.join();
    // The channel finds the new one.
    EXPECT_TRUE(Eventually([&] { return client_.Home("bob").ok(); }));
    return killed;
  }

  // Calls until the answer is not that there is none.
  template <typename Request, typename Response>
  Answer<Response> CallThroughKills(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                                    const Request& request) {
    while (true) {
      grpc::ClientContext context;
      context.set_wait_for_ready(true);
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
      Answer<Response> answer;
      answer.status = (client_.imports().*method)(&context, request, &answer.response);
      const StatusCode code = answer.status.error_code();
      if (code != StatusCode::UNAVAILABLE && code != StatusCode::DEADLINE_EXCEEDED &&
          code != StatusCode::RESOURCE_EXHAUSTED) {
        return answer;
      }
    }
  }

  // Whether all of it is in. What is has the ids that it had before.
  bool ImportWhole(const v1::ImportUpdatesRequest& request, std::map<std::string, uint64_t>& ids) {
    const auto answer = CallThroughKills(&Stub::ImportUpdates, request);
    EXPECT_THAT(answer, Succeeds());
    bool is_whole = true;
    for (int i = 0; i < answer->results_size(); ++i) {
      const v1::ImportResult& result = answer->results(i);
      is_whole = is_whole && result.has_imported();
      if (result.has_imported()) {
        const uint64_t id = result.imported().update_id();
        EXPECT_EQ(ids.emplace(request.updates(i).source_id(), id).first->second, id);
      }
    }
    return is_whole;
  }

  Klatchd klatchd_{
      {.arguments = {"--shards", "8", "--partitions", "8", "--flush-interval", "50ms"}}};
  Client client_;
};

TEST_F(KlatchdImportTest, ImportIsSeenWhereAPostIsWithTheTimeThatItHad) {
  ASSERT_THAT(client_.Publish("ann", "hiking", "today"), Succeeds());
  const auto response = Import({Old("one", "ann", "hiking"), Old("two", "ann", "hiking")});
  ASSERT_THAT(response, Succeeds());
  const v1::ImportOutcome& two = response->results(1).imported();
  const auto home = client_.Home("bob", two.tokens());
  // Behind what came before, as its id says; the time that it had is for display.
  EXPECT_THAT(TextsOf(*home), ElementsAre("two", "one", "today"));
  EXPECT_EQ(home->updates(0).id(), two.update_id());
  EXPECT_EQ(home->updates(0).original_time().seconds(), kLongAgo);
  EXPECT_GT(home->updates(0).create_time().seconds(), kLongAgo);
  EXPECT_FALSE(home->updates(2).has_original_time());
  EXPECT_THAT(TextsOf(*client_.GroupPage("bob", "hiking")), ElementsAre("two", "one", "today"));
  EXPECT_THAT(TextsOf(*client_.Profile("bob", "ann")), ElementsAre("two", "one", "today"));

  v1::GetUnreadCountsRequest unread;
  unread.set_actor("bob");
  unread.set_home(true);
  const auto counts = client_.Persons(&v1::PersonService::Stub::GetUnreadCounts, unread);
  EXPECT_EQ(counts->counts(0).count(), 3u) << "imports count as what is new";

  const auto edited = client_.Edit("ann", two.update_id(), "two, corrected");
  ASSERT_THAT(edited, Succeeds());
  EXPECT_EQ(edited->update().original_time().seconds(), kLongAgo);
  const auto shown = client_.Get("bob", two.update_id());
  EXPECT_EQ(shown->update().text(), "two, corrected");
  EXPECT_EQ(shown->update().original_time().seconds(), kLongAgo);
  klatchd_.Kill();
  klatchd_.Start();
  Client again(klatchd_.Channel());
  EXPECT_EQ(again.Get("bob", two.update_id())->update().original_time().seconds(), kLongAgo);
}

TEST_F(KlatchdImportTest, ImportMayAnswerAnEarlierOneThatItsAuthorSees) {
  const uint64_t first = ImportOne(Old("question", "ann", "hiking")).update_id();
  v1::ImportedUpdate answer = Old("answer", "bob", "hiking");
  answer.mutable_update()->set_reply_to(first);
  const v1::ImportOutcome imported = ImportOne(answer);
  EXPECT_EQ(client_.Get("ann", imported.update_id())->update().reply_to(), first);
  ASSERT_THAT(client_.Delete("ann", first), Succeeds());
  // A repetition is not asked again.
  EXPECT_EQ(ImportOne(answer).update_id(), imported.update_id());
  answer.set_source_id("another answer");
  const auto refused = Import({answer});
  EXPECT_EQ(refused->results(0).error().code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(BadField(refused->results(0).error()), "update.reply_to");
}

TEST_F(KlatchdImportTest, ImportIsThereOnceHoweverOftenItIsRepeated) {
  const v1::ImportOutcome first = ImportOne(Old("s", "ann", "hiking"));
  EXPECT_FALSE(first.was_there());
  const v1::ImportOutcome again = ImportOne(Old("s", "ann", "hiking"));
  EXPECT_TRUE(again.was_there());
  EXPECT_EQ(again.update_id(), first.update_id());
  v1::ImportedUpdate other = Old("s", "ann", "hiking");
  other.mutable_original_time()->set_seconds(kLongAgo + 1);
  const auto refused = Import({other, Old("t", "ann", "hiking")});
  EXPECT_EQ(refused->results(0).error().code(), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(BadField(refused->results(0).error()), "source_id");
  EXPECT_TRUE(refused->results(1).has_imported());
  // A request id is no source id.
  v1::PublishUpdateRequest post = Client::Post("ann", "hiking", "s");
  post.set_request_id("s");
  const auto posted = client_.Publish(post);
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(TextsOf(*client_.Home("bob", posted->tokens())), ElementsAre("s", "t", "s"));
  ASSERT_THAT(client_.Delete("ann", first.update_id()), Succeeds());
  EXPECT_EQ(ImportOne(Old("s", "ann", "hiking")).update_id(), first.update_id());
  EXPECT_THAT(TextsOf(*client_.Home("bob")), ElementsAre("s", "t")) << "deleted is deleted";
}

TEST_F(KlatchdImportTest, NobodyWhoWatchesIsToldOfAnImport) {
  const std::string before = client_.Home("bob")->watch_token();
  ASSERT_NE(before, "");
  {
    Watcher watcher(klatchd_.Channel(), "bob");
    ASSERT_TRUE(watcher.AwaitBegun());
    const v1::ImportOutcome imported = ImportOne(Old("old", "ann", "hiking"));
    ASSERT_THAT(client_.Publish("ann", "hiking", "new"), Succeeds());
    ASSERT_TRUE(watcher.Await([](const Events& events) { return !events.empty(); }));
    ASSERT_THAT(client_.Delete("ann", imported.update_id()), Succeeds());
    ASSERT_TRUE(watcher.AwaitWords({"+new", "-"})) << "what becomes of it later is told";
  }
  ImportOne(Old("older", "ann", "hiking"));
  Watcher resumed(klatchd_.Channel(), "bob", before);
  ASSERT_THAT(client_.Publish("ann", "hiking", "newest"), Succeeds());
  ASSERT_TRUE(resumed.AwaitWords({"+new", "+newest"}));
  EXPECT_THAT(TextsOf(*client_.Home("bob")), ElementsAre("newest", "older", "new"));
}

TEST_F(KlatchdImportTest, ImportThroughKillsIsWholeAndNothingIsTwice) {
  constexpr int kBatches = 25;
  constexpr int kPerBatch = 20;
  std::vector<std::string> expected;
  std::map<std::string, uint64_t> ids;
  const int kills = KillDuring(
      kBatches,
      [&](int) {
        v1::ImportUpdatesRequest request;
        for (int i = 0; i < kPerBatch; ++i) {
          expected.push_back(fmt::format("old {}", expected.size()));
          *request.add_updates() = Old(expected.back(), i % 2 == 0 ? "ann" : "bob", "hiking");
        }
        while (!ImportWhole(request, ids)) {
        }
      },
      {2, 7, 12, 17, 22}, std::chrono::milliseconds(4));
  EXPECT_GE(kills, 3);
  std::vector<v1::ImportedUpdate> last = {Old(expected.back(), "bob", "hiking")};
  const auto again = Import(last);
  ASSERT_THAT(again, Succeeds());
  EXPECT_TRUE(again->results(0).imported().was_there());
  for (const char* page : {"home", "group"}) {
    std::vector<std::string> seen;
    std::string token;
    do {
      const Tokens& tokens = again->results(0).imported().tokens();
      std::vector<std::string> texts;
      if (page == std::string("home")) {
        const auto shown = client_.Home("bob", tokens, 200, token);
        texts = TextsOf(*shown);
        token = shown->next_page_token();
      } else {
        const auto shown = client_.GroupPage("bob", "hiking", tokens, 200, token);
        texts = TextsOf(*shown);
        token = shown->next_page_token();
      }
      seen.insert(seen.end(), texts.begin(), texts.end());
    } while (!token.empty());
    EXPECT_THAT(seen, ElementsAreArray(expected.rbegin(), expected.rend())) << page;
  }
}

TEST_F(KlatchdImportTest, ListReplacesAllMembersAndSaysWhatChanged) {
  ASSERT_THAT(client_.Add("ann", "hiking", {"cat", "dan"}), Succeeds());
  const Roles wanted = {{"ann", v1::ROLE_MODERATOR},
                        {"bob", v1::ROLE_OWNER},
                        {"dan", v1::ROLE_MEMBER},
                        {"eve", v1::ROLE_READER}};
  const auto synced = Sync(ListOf("hiking", 1, wanted));
  ASSERT_THAT(synced, Succeeds());
  EXPECT_THAT(synced->difference().added(), ElementsAre("eve"));
  EXPECT_THAT(synced->difference().role_changed(), ::testing::UnorderedElementsAre("ann", "bob"));
  EXPECT_THAT(synced->difference().removed(), ElementsAre("cat"));
  EXPECT_EQ(MembersOf("hiking"), wanted);
  EXPECT_EQ(CountOf("hiking"), 4u);
  EXPECT_THAT(client_.Remove("ann", "hiking", {"bob"}), RefusesWith(StatusCode::PERMISSION_DENIED))
      << "ann is no owner any more";
  // What Klatch's own calls do meanwhile goes with the next list.
  ASSERT_THAT(client_.Add("bob", "hiking", {"zoe"}), Succeeds());
  const auto again = Sync(ListOf("hiking", 1, wanted));
  ASSERT_THAT(again, Succeeds());
  EXPECT_THAT(again->difference().removed(), ElementsAre("zoe"));
  EXPECT_EQ(again->difference().added_count() + again->difference().role_changed_count(), 0u);
  EXPECT_EQ(MembersOf("hiking"), wanted);
}

TEST_F(KlatchdImportTest, ListIsInForceWhenItAnswers) {
  for (uint64_t round = 1; round <= 20; ++round) {
    ASSERT_THAT(client_.Publish("ann", "hiking", fmt::format("round {}", round)), Succeeds());
    const auto removed =
        Sync(ListOf("hiking", 2 * round - 1, {{"ann", v1::ROLE_OWNER}, {"cat", v1::ROLE_MEMBER}}));
    ASSERT_THAT(removed, Succeeds());
    EXPECT_THAT(client_.GroupPage("bob", "hiking"), RefusesWith(StatusCode::PERMISSION_DENIED));
    EXPECT_THAT(TextsOf(*client_.Home("bob")), IsEmpty());
    const auto added =
        Sync(ListOf("hiking", 2 * round, {{"ann", v1::ROLE_OWNER}, {"bob", v1::ROLE_MEMBER}}));
    ASSERT_THAT(added, Succeeds());
    EXPECT_THAT(client_.GroupPage("bob", "hiking", added->tokens()), Succeeds());
    EXPECT_THAT(client_.GroupPage("cat", "hiking"), RefusesWith(StatusCode::PERMISSION_DENIED));
  }
}

TEST_F(KlatchdImportTest, OlderListIsRefusedAndTheSameGoesOn) {
  const Roles wanted = Crowd("p", 3);
  ASSERT_THAT(Sync(ListOf("hiking", 5, wanted)), Succeeds());
  const auto stale = Sync(ListOf("hiking", 4, wanted));
  EXPECT_THAT(stale, Refuses(StatusCode::FAILED_PRECONDITION, "version"));
  EXPECT_THAT(stale.status.error_details(), HasSubstr("STALE_VERSION"));
  EXPECT_THAT(Sync(ListOf("hiking", 5, Crowd("p", 4))),
              Refuses(StatusCode::ALREADY_EXISTS, "version"));
  const auto same = Sync(ListOf("hiking", 5, wanted));
  ASSERT_THAT(same, Succeeds());
  EXPECT_EQ(same->difference().ByteSizeLong(), 0u) << same->ShortDebugString();
  EXPECT_EQ(MembersOf("hiking"), wanted);
}

TEST_F(KlatchdImportTest, OfTwoListsAtOnceTheLaterVersionWins) {
  for (uint64_t round = 0; round < 8; ++round) {
    const Roles older = Crowd(fmt::format("older {}", round), 2'000);
    const Roles later = Crowd(fmt::format("later {}", round), 2'000);
    Answer<v1::SyncMembersResponse> first;
    std::thread other([&] { first = Sync(ListOf("hiking", 10 * round + 1, older)); });
    const auto second = Sync(ListOf("hiking", 10 * round + 2, later));
    other.join();
    EXPECT_THAT(second, Succeeds());
    if (!first.ok()) {
      EXPECT_THAT(first, Refuses(StatusCode::FAILED_PRECONDITION, "version"));
    }
    EXPECT_EQ(MembersOf("hiking"), later) << "round " << round;
    EXPECT_EQ(CountOf("hiking"), 2'001u);
  }
}

TEST_F(KlatchdImportTest, ListThroughKillsIsWholeAndNobodyJoinsTwice) {
  constexpr int kPersons = 4'000;
  std::vector<Roles> lists;
  for (int i = 0; i < 4; ++i) {
    lists.push_back(Crowd(fmt::format("list {}", i), kPersons));
  }
  Tokens tokens;
  const int kills = KillDuring(
      static_cast<int>(lists.size()),
      [&](int step) {
        const auto i = static_cast<size_t>(step);
        const auto synced = CallThroughKills(&Stub::SyncMembers, ListOf("hiking", i + 1, lists[i]));
        ASSERT_THAT(synced, Succeeds());
        tokens = synced->tokens();
      },
      {0, 1, 2, 3}, std::chrono::milliseconds(40));
  EXPECT_GE(kills, 2);
  EXPECT_EQ(MembersOf("hiking"), lists.back());
  EXPECT_EQ(CountOf("hiking"), lists.back().size());
  EXPECT_THAT(client_.GroupPage("list 3 77", "hiking", tokens), Succeeds());
  EXPECT_THAT(client_.GroupPage("list 2 77", "hiking"), RefusesWith(StatusCode::PERMISSION_DENIED));

  // By the log, each joined once, and all but the last left once.
  Layout layout;
  layout.shard_count = 8;
  layout.partition_count = 8;
  auto redis = klatchd_.ConnectRedis();
  const auto reply =
      redis->Call({"XRANGE", Keys(layout).Log(layout.ShardOf(GroupId("hiking"))), "-", "+"});
  ASSERT_TRUE(reply.ok()) << reply.status();
  std::map<std::string, int> joins;
  std::map<std::string, int> leaves;
  for (size_t i = 0; i < reply->size(); ++i) {
    v1::LogRecord record;
    const std::string_view bytes = (*reply)[i][1][1].text();
    ASSERT_TRUE(record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    for (const auto& joined : record.members_changed().joined()) {
      ++joins[joined.person()];
    }
    for (const std::string& left : record.members_changed().left()) {
      ++leaves[left];
    }
    EXPECT_EQ(record.members_changed().role_changed_size(), 0);
  }
  for (size_t i = 0; i < lists.size(); ++i) {
    for (const auto& [person, role] : lists[i]) {
      if (role == v1::ROLE_OWNER) {
        continue;
      }
      EXPECT_EQ(joins[person], 1) << person;
      EXPECT_EQ(leaves[person], i + 1 == lists.size() ? 0 : 1) << person;
    }
  }
}

class KlatchdSyncManyTest : public KlatchdImportTest {
 protected:
  // The list in messages of 5,000 members.
  static std::vector<v1::SyncManyMembersRequest> PartsOf(uint64_t version, const Roles& members) {
    std::vector<v1::SyncManyMembersRequest> parts(1);
    parts[0].set_group("hiking");
    parts[0].set_version(version);
    parts[0].set_member_count(static_cast<uint32_t>(members.size()));
    for (const auto& [person, role] : members) {
      if (parts.back().members_size() == 5'000) {
        parts.emplace_back();
      }
      v1::Member* member = parts.back().add_members();
      member->set_person(person);
      member->set_role(role);
    }
    return parts;
  }
  Answer<v1::SyncManyMembersResponse> SyncMany(
      const std::vector<v1::SyncManyMembersRequest>& parts) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
    Answer<v1::SyncManyMembersResponse> answer;
    const auto writer = client_.imports().SyncManyMembers(&context, &answer.response);
    for (const v1::SyncManyMembersRequest& part : parts) {
      if (!writer->Write(part)) {
        break;
      }
    }
    writer->WritesDone();
    answer.status = writer->Finish();
    return answer;
  }
};

TEST_F(KlatchdSyncManyTest, ListInPartsReplacesAllMembers) {
  const Roles wanted = Crowd("p", 25'000);
  const auto synced = SyncMany(PartsOf(1, wanted));
  ASSERT_THAT(synced, Succeeds());
  EXPECT_EQ(synced->difference().added_count(), 25'000u);
  EXPECT_EQ(synced->difference().added_size(), 10'000);
  EXPECT_TRUE(synced->difference().is_cut());
  EXPECT_THAT(synced->difference().removed(), IsEmpty()) << "the list of names is full";
  EXPECT_EQ(synced->difference().removed_count(), 1u);
  EXPECT_EQ(MembersOf("hiking"), wanted);
  EXPECT_THAT(client_.GroupPage("p 24999", "hiking", synced->tokens()), Succeeds());
  // It is the same list if it comes in one message.
  const Roles few = Crowd("q", 10);
  // On a slow machine 25,000 removals may take longer to be in force than one call waits.
  ASSERT_TRUE(Eventually([&] { return SyncMany(PartsOf(2, few)).status.ok(); }));
  EXPECT_EQ(Sync(ListOf("hiking", 2, few))->difference().ByteSizeLong(), 0u);
}

TEST_F(KlatchdSyncManyTest, StreamThatBreaksOffChangesNothing) {
  const Roles before = MembersOf("hiking");
  std::vector<v1::SyncManyMembersRequest> parts = PartsOf(1, Crowd("p", 12'000));
  parts.pop_back();
  EXPECT_THAT(SyncMany(parts), Refuses(StatusCode::INVALID_ARGUMENT, "member_count"));
  EXPECT_THAT(SyncMany({}), Refuses(StatusCode::INVALID_ARGUMENT, "group"));
  {
    grpc::ClientContext context;
    v1::SyncManyMembersResponse response;
    const auto writer = client_.imports().SyncManyMembers(&context, &response);
    EXPECT_TRUE(writer->Write(parts[0]));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), StatusCode::CANCELLED);
  }
  EXPECT_EQ(MembersOf("hiking"), before);
  // A stream that was cancelled gives its place back.
  EXPECT_TRUE(Eventually([&] {
    const auto synced = SyncMany(PartsOf(1, Crowd("p", 3)));
    return synced.ok();
  }));
}

TEST_F(KlatchdSyncManyTest, StreamThatNeverEndsIsEndedAndOthersAreRefusedMeanwhile) {
  const Roles before = MembersOf("hiking");
  struct Open {
    grpc::ClientContext context;
    v1::SyncManyMembersResponse response;
    std::unique_ptr<grpc::ClientWriter<v1::SyncManyMembersRequest>> writer;
  };
  const std::vector<v1::SyncManyMembersRequest> parts = PartsOf(1, Crowd("p", 6'000));
  std::vector<std::unique_ptr<Open>> open;
  for (int i = 0; i < 2; ++i) {
    open.push_back(std::make_unique<Open>());
    open.back()->writer =
        client_.imports().SyncManyMembers(&open.back()->context, &open.back()->response);
    ASSERT_TRUE(open.back()->writer->Write(parts[0]));
  }
  EXPECT_TRUE(Eventually(
      [&] { return SyncMany({}).status.error_code() == StatusCode::RESOURCE_EXHAUSTED; }));
  for (const auto& stream : open) {
    EXPECT_EQ(stream->writer->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_EQ(MembersOf("hiking"), before);
  EXPECT_THAT(SyncMany(parts), Succeeds());
}

}  // namespace
}  // namespace klatch::testing
