// Blocks, mutes, hidden updates, read markers and profiles over gRPC against a real klatchd: on
// every page, both ways, also after it was killed.

#include <atomic>
#include <map>
#include <thread>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using Persons = v1::PersonService::Stub;

constexpr int kExitGood = 0;

// Every test has a klatchd of its own, with a group "g" of ann, bob and cid, where each has posted
// their name.
class KlatchdPersonalTest : public ::testing::Test {
 protected:
  KlatchdPersonalTest() {
    EXPECT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
    EXPECT_THAT(client_->Add("ann", "g", {"bob", "cid"}), Succeeds());
    for (const char* person : {"ann", "bob", "cid"}) {
      const auto posted = client_->Publish(person, "g", person);
      EXPECT_THAT(posted, Succeeds());
      updates_[person] = posted->update_id();
      tokens_ = posted->tokens();
    }
  }

  // On a person: the request of the method, with the actor and whom it is about.
  template <typename Request, typename Response>
  Answer<Response> Do(grpc::Status (Persons::*method)(grpc::ClientContext*, const Request&,
                                                      Response*),
                      const std::string& actor, const std::string& person) {
    Request request;
    request.set_actor(actor);
    request.set_person(person);
    return client_->Persons(method, request);
  }
  template <typename Request, typename Response>
  Answer<Response> DoGroup(grpc::Status (Persons::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                           const std::string& actor, const std::string& group) {
    Request request;
    request.set_actor(actor);
    request.set_group(group);
    return client_->Persons(method, request);
  }
  template <typename Request, typename Response>
  Answer<Response> DoUpdate(grpc::Status (Persons::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                            const std::string& actor, uint64_t update) {
    Request request;
    request.set_actor(actor);
    request.set_update_id(update);
    return client_->Persons(method, request);
  }

  std::vector<std::string> Home(const std::string& actor) {
    return TextsOf(*client_->Home(actor, tokens_));
  }
  std::vector<std::string> Group(const std::string& actor) {
    return TextsOf(*client_->GroupPage(actor, "g", tokens_));
  }
  std::vector<std::string> ProfilePage(const std::string& actor, const std::string& person) {
    return TextsOf(*client_->Profile(actor, person, tokens_));
  }
  Answer<v1::GetUpdateResponse> Get(const std::string& actor, const std::string& author) {
    return client_->Get(actor, updates_[author], tokens_);
  }
  Answer<v1::PublishUpdateResponse> Reply(const std::string& actor, const std::string& author) {
    auto request = Client::Post(actor, "g", "a reply");
    request.mutable_update()->set_reply_to(updates_[author]);
    return client_->Publish(request);
  }
  // Neither shows on any page of the other, nor by id, nor to be answered; nor does the profile.
  void ExpectNothingOfEachOther(const std::string& one, const std::string& other) {
    for (const auto& [viewer, author] : {std::pair(one, other), std::pair(other, one)}) {
      SCOPED_TRACE(viewer + " looks for " + author);
      EXPECT_THAT(Home(viewer), Not(Contains(author)));
      EXPECT_THAT(Group(viewer), Not(Contains(author)));
      EXPECT_THAT(ProfilePage(viewer, author), IsEmpty());
      EXPECT_THAT(Get(viewer, author), Refuses(StatusCode::NOT_FOUND, "update_id"));
      EXPECT_THAT(Reply(viewer, author), Refuses(StatusCode::NOT_FOUND, "update.reply_to"));
      EXPECT_THAT(client_->Edit(viewer, updates_[author], "x"),
                  Refuses(StatusCode::NOT_FOUND, "update_id"));
      EXPECT_THAT(Do(&Persons::GetProfile, viewer, author),
                  Refuses(StatusCode::NOT_FOUND, "person"));
      // Each still sees their own.
      EXPECT_THAT(Home(viewer), Contains(viewer));
    }
  }
  void ExpectToSeeEachOther(const std::string& one, const std::string& other) {
    for (const auto& [viewer, author] : {std::pair(one, other), std::pair(other, one)}) {
      SCOPED_TRACE(viewer + " looks for " + author);
      EXPECT_THAT(Home(viewer), Contains(author));
      EXPECT_THAT(Group(viewer), Contains(author));
      EXPECT_THAT(ProfilePage(viewer, author), Contains(author));
      EXPECT_THAT(Get(viewer, author), Succeeds());
    }
  }

  Answer<v1::UpdateProfileResponse> SetBio(const std::string& actor, const std::string& bio) {
    v1::UpdateProfileRequest request;
    request.set_actor(actor);
    request.mutable_profile()->set_bio(bio);
    return client_->Persons(&Persons::UpdateProfile, request);
  }
  Answer<v1::SetReadMarkerResponse> ReadNow(const std::string& actor, const std::string& group) {
    v1::SetReadMarkerRequest request;
    request.set_actor(actor);
    if (group.empty()) {
      request.set_home(true);
    } else {
      request.set_group(group);
    }
    request.set_now(true);
    *request.mutable_tokens() = tokens_;
    return client_->Persons(&Persons::SetReadMarker, request);
  }
  // Timeline → count, home as "".
  std::map<std::string, uint32_t> Unread(const std::string& actor,
                                         const std::vector<std::string>& groups) {
    v1::GetUnreadCountsRequest request;
    request.set_actor(actor);
    request.set_home(true);
    *request.mutable_groups() = {groups.begin(), groups.end()};
    *request.mutable_tokens() = tokens_;
    const auto answer = client_->Persons(&Persons::GetUnreadCounts, request);
    std::map<std::string, uint32_t> counts;
    for (const v1::UnreadCount& count : answer->counts()) {
      EXPECT_FALSE(count.is_at_least());
      counts[count.group()] = count.count();
    }
    return counts;
  }
  void Publish(const std::string& actor, const std::string& text) {
    const auto posted = client_->Publish(actor, "g", text);
    ASSERT_THAT(posted, Succeeds());
    tokens_ = posted->tokens();
  }
  void Restart() {
    klatchd_.Start();
    client_ = std::make_unique<Client>(klatchd_.Channel());
  }

  Klatchd klatchd_{{.arguments = {"--shards", "8", "--partitions", "16"}}};
  std::unique_ptr<Client> client_ = std::make_unique<Client>(klatchd_.Channel());
  std::map<std::string, uint64_t> updates_;
  Tokens tokens_;
};

TEST_F(KlatchdPersonalTest, ABlockHidesEachFromTheOtherEverywhere) {
  ASSERT_THAT(SetBio("ann", "walks"), Succeeds());
  ASSERT_THAT(SetBio("bob", "climbs"), Succeeds());
  ExpectToSeeEachOther("ann", "bob");
  ASSERT_THAT(Do(&Persons::BlockPerson, "ann", "bob"), Succeeds());
  ExpectNothingOfEachOther("ann", "bob");
  ExpectToSeeEachOther("ann", "cid");
  ExpectToSeeEachOther("bob", "cid");
  EXPECT_THAT(Do(&Persons::GetProfile, "cid", "bob"), Succeeds());
  // Memberships stay: the group's owner sees who is in it, and may remove them.
  v1::ListMembersRequest members;
  members.set_actor("bob");
  members.set_group("g");
  EXPECT_EQ(client_->Groups(&v1::GroupService::Stub::ListMembers, members)->members_size(), 3);

  // Only one's own blocks are listed.
  v1::ListBlocksRequest list;
  list.set_actor("ann");
  EXPECT_THAT(client_->Persons(&Persons::ListBlocks, list)->persons(), ElementsAre("bob"));
  list.set_actor("bob");
  EXPECT_THAT(client_->Persons(&Persons::ListBlocks, list)->persons(), IsEmpty());

  // The blocked one can't take it back; a block of their own is another.
  ASSERT_THAT(Do(&Persons::UnblockPerson, "bob", "ann"), Succeeds());
  ExpectNothingOfEachOther("ann", "bob");
  ASSERT_THAT(Do(&Persons::BlockPerson, "bob", "ann"), Succeeds());
  ASSERT_THAT(Do(&Persons::UnblockPerson, "ann", "bob"), Succeeds());
  ExpectNothingOfEachOther("ann", "bob");
  ASSERT_THAT(Do(&Persons::UnblockPerson, "bob", "ann"), Succeeds());
  ExpectToSeeEachOther("ann", "bob");
}

TEST_F(KlatchdPersonalTest, MutesKeepAwayFromHomeAndNothingElse) {
  ASSERT_THAT(Do(&Persons::MutePerson, "ann", "bob"), Succeeds());
  EXPECT_THAT(Home("ann"), ElementsAre("cid", "ann"));
  EXPECT_THAT(Group("ann"), ElementsAre("cid", "bob", "ann"));
  EXPECT_THAT(ProfilePage("ann", "bob"), ElementsAre("bob"));
  EXPECT_THAT(Get("ann", "bob"), Succeeds());
  EXPECT_THAT(Home("bob"), Contains("ann")) << "a mute goes one way";
  ASSERT_THAT(DoGroup(&Persons::MuteGroup, "ann", "g"), Succeeds());
  EXPECT_THAT(Home("ann"), ElementsAre("ann"));
  EXPECT_THAT(Group("ann"), ElementsAre("cid", "bob", "ann"));
  v1::ListMutesRequest list;
  list.set_actor("ann");
  const auto mutes = client_->Persons(&Persons::ListMutes, list);
  EXPECT_THAT(mutes->persons(), ElementsAre("bob"));
  EXPECT_THAT(mutes->groups(), ElementsAre("g"));
  ASSERT_THAT(Do(&Persons::UnmutePerson, "ann", "bob"), Succeeds());
  ASSERT_THAT(DoGroup(&Persons::UnmuteGroup, "ann", "g"), Succeeds());
  EXPECT_THAT(Home("ann"), ElementsAre("cid", "bob", "ann"));
}

TEST_F(KlatchdPersonalTest, AHiddenUpdateIsOffAllPagesAndCanStillBeAskedFor) {
  ASSERT_THAT(DoUpdate(&Persons::HideUpdate, "ann", updates_["bob"]), Succeeds());
  ASSERT_THAT(DoUpdate(&Persons::HideUpdate, "ann", updates_["bob"]), Succeeds()) << "again";
  EXPECT_THAT(Home("ann"), ElementsAre("cid", "ann"));
  EXPECT_THAT(Group("ann"), ElementsAre("cid", "ann"));
  EXPECT_THAT(ProfilePage("ann", "bob"), IsEmpty());
  EXPECT_THAT(Get("ann", "bob"), Succeeds());
  EXPECT_THAT(Reply("ann", "bob"), Succeeds());
  EXPECT_THAT(Home("cid"), Contains("bob"));
  ASSERT_THAT(DoUpdate(&Persons::HideUpdate, "ann", updates_["cid"]), Succeeds());

  v1::ListHiddenRequest list;
  list.set_actor("ann");
  list.set_page_size(1);
  const auto first = client_->Persons(&Persons::ListHidden, list);
  EXPECT_THAT(first->update_ids(), ElementsAre(updates_["cid"]));
  list.set_page_token(first->next_page_token());
  const auto second = client_->Persons(&Persons::ListHidden, list);
  EXPECT_THAT(second->update_ids(), ElementsAre(updates_["bob"]));
  EXPECT_EQ(second->next_page_token(), "");

  EXPECT_THAT(DoUpdate(&Persons::HideUpdate, "ann", updates_["ann"]),
              Refuses(StatusCode::FAILED_PRECONDITION, "update_id"));
  EXPECT_THAT(DoUpdate(&Persons::HideUpdate, "stranger", updates_["ann"]),
              Refuses(StatusCode::NOT_FOUND, "update_id"));
  ASSERT_THAT(DoUpdate(&Persons::UnhideUpdate, "ann", updates_["bob"]), Succeeds());
  ASSERT_THAT(DoUpdate(&Persons::UnhideUpdate, "ann", updates_["bob"]), Succeeds()) << "again";
  EXPECT_THAT(ProfilePage("ann", "bob"), ElementsAre("bob"));
}

TEST_F(KlatchdPersonalTest, MarkersAreSharedAndCountsFollowThem) {
  ASSERT_THAT(client_->CreateGroup("cid", "other"), Succeeds());
  EXPECT_THAT(Unread("ann", {"g", "other", "nowhere"}),
              UnorderedElementsAre(Pair("", 2), Pair("g", 2)));
  const auto set = ReadNow("ann", "g");
  ASSERT_THAT(set, Succeeds());
  EXPECT_EQ(set->marker().group(), "g");
  EXPECT_EQ(set->marker().update_id(), updates_["cid"]);
  EXPECT_THAT(Unread("ann", {"g"}), UnorderedElementsAre(Pair("", 2), Pair("g", 0)));
  // A marker never goes back.
  v1::SetReadMarkerRequest back;
  back.set_actor("ann");
  back.set_group("g");
  back.set_update_id(updates_["ann"]);
  EXPECT_EQ(client_->Persons(&Persons::SetReadMarker, back)->marker().update_id(), updates_["cid"]);
  Publish("bob", "more");
  Publish("ann", "own ones don't count");
  EXPECT_THAT(Unread("ann", {"g"}), UnorderedElementsAre(Pair("", 3), Pair("g", 1)));
  ASSERT_THAT(Do(&Persons::MutePerson, "ann", "bob"), Succeeds());
  EXPECT_THAT(Unread("ann", {"g"}), UnorderedElementsAre(Pair("", 1), Pair("g", 1)));
  ASSERT_THAT(Do(&Persons::BlockPerson, "bob", "ann"), Succeeds());
  EXPECT_THAT(Unread("ann", {"g"}), UnorderedElementsAre(Pair("", 1), Pair("g", 0)));
  ASSERT_THAT(ReadNow("ann", ""), Succeeds());
  EXPECT_THAT(Unread("ann", {"g"}), UnorderedElementsAre(Pair("", 0), Pair("g", 0)));

  v1::GetReadMarkersRequest get;
  get.set_actor("ann");
  get.set_home(true);
  get.add_groups("other");
  get.add_groups("g");
  const auto markers = client_->Persons(&Persons::GetReadMarkers, get);
  ASSERT_EQ(markers->markers_size(), 3);
  EXPECT_GT(markers->markers(0).update_id(), updates_["cid"]);
  EXPECT_EQ(markers->markers(1).update_id(), 0U);
  EXPECT_EQ(markers->markers(2).update_id(), updates_["cid"]);
  EXPECT_THAT(ReadNow("ann", "other"), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(ReadNow("ann", "nowhere"), Refuses(StatusCode::NOT_FOUND, "group"));
}

TEST_F(KlatchdPersonalTest, AProfileChangesByFields) {
  EXPECT_THAT(Do(&Persons::GetProfile, "bob", "ann"), Refuses(StatusCode::NOT_FOUND, "person"));
  const auto own = Do(&Persons::GetProfile, "ann", "ann");
  ASSERT_THAT(own, Succeeds());
  EXPECT_EQ(own->profile().person(), "ann");
  v1::UpdateProfileRequest request;
  request.set_actor("ann");
  request.mutable_profile()->set_person("mallory");
  request.mutable_profile()->set_display_name("Ann");
  (*request.mutable_profile()->mutable_fields())["pronouns"] = "she";
  ASSERT_THAT(client_->Persons(&Persons::UpdateProfile, request), Succeeds());
  ASSERT_THAT(SetBio("ann", "walks"), Succeeds());
  const auto seen = Do(&Persons::GetProfile, "bob", "ann");
  ASSERT_THAT(seen, Succeeds());
  EXPECT_EQ(seen->profile().person(), "ann");
  EXPECT_EQ(seen->profile().display_name(), "Ann");
  EXPECT_EQ(seen->profile().bio(), "walks");
  EXPECT_EQ(seen->profile().fields().at("pronouns"), "she");
  // The mask takes away.
  request.clear_profile();
  for (const char* path : {"display_name", "bio", "fields"}) {
    request.mutable_update_mask()->add_paths(path);
  }
  ASSERT_THAT(client_->Persons(&Persons::UpdateProfile, request), Succeeds());
  EXPECT_THAT(Do(&Persons::GetProfile, "bob", "ann"), Refuses(StatusCode::NOT_FOUND, "person"));
}

TEST_F(KlatchdPersonalTest, EverythingSurvivesAKillAndADrain) {
  ASSERT_THAT(Do(&Persons::BlockPerson, "ann", "bob"), Succeeds());
  ASSERT_THAT(Do(&Persons::MutePerson, "cid", "ann"), Succeeds());
  ASSERT_THAT(DoUpdate(&Persons::HideUpdate, "cid", updates_["bob"]), Succeeds());
  ASSERT_THAT(SetBio("cid", "reads"), Succeeds());
  ASSERT_THAT(ReadNow("ann", ""), Succeeds());
  for (const bool kill : {true, false}) {
    SCOPED_TRACE(kill ? "killed" : "drained");
    if (kill) {
      klatchd_.Kill();
    } else {
      ASSERT_EQ(klatchd_.Terminate(), kExitGood) << klatchd_.process().errors();
    }
    Restart();
    ExpectNothingOfEachOther("ann", "bob");
    EXPECT_THAT(Home("cid"), ElementsAre("cid"));
    EXPECT_THAT(Group("cid"), ElementsAre("cid", "ann"));
    EXPECT_EQ(Do(&Persons::GetProfile, "ann", "cid")->profile().bio(), "reads");
    EXPECT_THAT(Unread("ann", {}), UnorderedElementsAre(Pair("", 0)));
    EXPECT_THAT(Unread("bob", {"g"}), UnorderedElementsAre(Pair("", 1), Pair("g", 1)));
  }
  ASSERT_THAT(Do(&Persons::UnblockPerson, "ann", "bob"), Succeeds());
  ExpectToSeeEachOther("ann", "bob");
}

TEST_F(KlatchdPersonalTest, NoReadThatStartsAfterABlockShowsWhatItTookAway) {
  // Others post and read meanwhile, so that pages are read from memory and from Redis.
  std::atomic<bool> done{false};
  std::thread poster([this, &done] {
    Client client(klatchd_.Channel());
    for (int i = 0; !done.load(); ++i) {
      const std::string author = i % 2 == 0 ? "ann" : "bob";
      EXPECT_THAT(client.Publish(author, "g", author), Succeeds());
    }
  });
  std::thread reader([this, &done] {
    Client client(klatchd_.Channel());
    while (!done.load()) {
      EXPECT_THAT(client.Home("ann"), Succeeds());
    }
  });
  for (int round = 0; round < 30; ++round) {
    const bool by_ann = round % 2 == 0;
    const std::string actor = by_ann ? "ann" : "bob";
    const std::string other = by_ann ? "bob" : "ann";
    ASSERT_THAT(Do(&Persons::BlockPerson, actor, other), Succeeds());
    EXPECT_THAT(Home("ann"), Not(Contains("bob")));
    EXPECT_THAT(Group("ann"), Not(Contains("bob")));
    EXPECT_THAT(Home("bob"), Not(Contains("ann")));
    ASSERT_THAT(Do(&Persons::UnblockPerson, actor, other), Succeeds());
    EXPECT_THAT(Home("ann"), Contains("bob"));
    EXPECT_THAT(Home("bob"), Contains("ann"));
  }
  done.store(true);
  poster.join();
  reader.join();
}

TEST_F(KlatchdPersonalTest, TheCommandDoesItAll) {
  const auto klatch = [this](std::vector<std::string> arguments) {
    std::vector<std::string> argv = {KlatchProgram(), "--target", klatchd_.address(), "--as",
                                     "ann"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const Outcome outcome = RunToEnd(argv);
    EXPECT_EQ(outcome.exit_code, kExitGood) << outcome.errors;
    return outcome.output;
  };
  const std::string bobs = std::to_string(updates_["bob"]);
  EXPECT_EQ(klatch({"blocks"}), "ann has blocked nobody.\n");
  klatch({"block", "bob"});
  EXPECT_EQ(klatch({"blocks"}), "BLOCKED\nbob\n");
  EXPECT_EQ(klatch({"blocks", "--json"}), "{\"persons\":[\"bob\"],\"nextPageToken\":\"\"}\n");
  klatch({"unblock", "bob"});
  klatch({"mute", "bob"});
  klatch({"mute", "--group", "g"});
  EXPECT_EQ(klatch({"mutes"}), "WHAT    MUTED\nperson  bob\ngroup   g\n");
  klatch({"unmute", "bob"});
  klatch({"unmute", "--group", "g"});
  EXPECT_EQ(klatch({"mutes"}), "ann has muted nothing.\n");
  klatch({"hide", bobs});
  EXPECT_EQ(klatch({"hidden"}), "HIDDEN\n" + bobs + "\n");
  klatch({"unhide", bobs});
  EXPECT_THAT(klatch({"markers"}), HasSubstr("home      -           2\n"));
  klatch({"markers", "--set", bobs});
  klatch({"markers", "--set", "now", "--group", "g"});
  EXPECT_THAT(klatch({"markers"}), HasSubstr(bobs + "  1\n"));
  EXPECT_THAT(klatch({"markers", "--group", "g"}),
              HasSubstr(std::to_string(updates_["cid"]) + "  0\n"));
  klatch({"profile", "--name", "Ann", "--field", "pronouns=she"});
  EXPECT_EQ(klatch({"profile"}), "FIELD     VALUE\nperson    ann\nname      Ann\npronouns  she\n");
  EXPECT_EQ(klatch({"profile", "--name", ""}), "FIELD     VALUE\nperson    ann\npronouns  she\n");
}

}  // namespace
}  // namespace klatch::testing
