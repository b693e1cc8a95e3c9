// What the user of a Redis may run: whatever is missing is named at the start, and nothing beyond
// what is asked for is needed.

#include <absl/strings/ascii.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "services/klatchd/redis_rights.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch {
namespace {

using testing::Client;
using ::testing::ElementsAre;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::Klatchd;
using testing::RedisServer;
using testing::RedisTest;
using testing::Succeeds;
using testing::TextsOf;

constexpr int kExitGood = 0;
constexpr int kExitConfiguration = 2;

// A user with what `rules` say, beside the default one.
void SetUser(redis::Connection& admin, const std::vector<std::string>& rules) {
  std::vector<std::string> words = {"ACL", "SETUSER", "klatch", "reset", "on", ">secret"};
  words.insert(words.end(), rules.begin(), rules.end());
  const absl::Status set = admin.Call(redis::Command(words)).status();
  ASSERT_TRUE(set.ok()) << set;
}

// What docs/OPERATIONS.md gives to the user, behind the password.
std::vector<std::string> DocumentedRules() {
  std::ifstream file(KLATCH_DOCS "/OPERATIONS.md");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::string begin = "ACL SETUSER klatch on >password ";
  const size_t at = text.find(begin);
  EXPECT_NE(at, std::string::npos);
  std::istringstream words(
      text.substr(at + begin.size(), text.find("```", at) - at - begin.size()));
  return {std::istream_iterator<std::string>(words), {}};
}

class RedisRightsTest : public RedisTest {
 protected:
  std::unique_ptr<redis::Connection> ConnectAsUser() const {
    auto address = redis::Address::Parse(UserUri());
    auto connection = redis::Connection::Connect(*address, {});
    EXPECT_TRUE(connection.ok()) << connection.status();
    return *std::move(connection);
  }
  std::string UserUri() const { return "unix://klatch:secret@" + server_.address().socket_path; }

  const Layout layout_;
  const std::unique_ptr<redis::Connection> admin_ = Connect();
};

TEST_F(RedisRightsTest, EachCommandThatIsMissingIsNamed) {
  for (const std::string& command : NeededCommands(layout_)) {
    SCOPED_TRACE(command);
    SetUser(*admin_, {"~*", "+@all", "-" + command});
    const absl::Status rights = CheckRights(*ConnectAsUser(), layout_);
    EXPECT_TRUE(absl::IsPermissionDenied(rights)) << rights;
    // A lower-case name is how Redis itself refuses the script that asks.
    EXPECT_THAT(absl::AsciiStrToUpper(base::MessageOf(rights)), HasSubstr(command));
  }
}

TEST_F(RedisRightsTest, KeysOfAnotherNamespaceAreNotEnough) {
  SetUser(*admin_, {"~{default:g*", "+@all"});
  const absl::Status rights = CheckRights(*ConnectAsUser(), layout_);
  EXPECT_TRUE(absl::IsPermissionDenied(rights)) << rights;
  EXPECT_THAT(base::MessageOf(rights), HasSubstr("{default:t0}:checkpoint"));
}

TEST_F(RedisRightsTest, KlatchdWithoutARightEndsBeforeItServes) {
  SetUser(*admin_, {"~*", "+@all", "-setrange"});
  Klatchd klatchd({.arguments = {"--redis", UserUri()}, .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  EXPECT_EQ(klatchd.process().AwaitEnd(), kExitConfiguration);
  EXPECT_THAT(klatchd.process().errors(), HasSubstr("may not run: SETRANGE"));
}

TEST_F(RedisRightsTest, TheDocumentedRightsAreThoseThatAreNeeded) {
  const std::vector<std::string> needed = NeededCommands(layout_);
  std::set<std::string> expected(needed.begin(), needed.end());
  expected.insert({"INFO", "CONFIG"});
  std::set<std::string> documented;
  const std::vector<std::string> rules = DocumentedRules();
  for (const std::string& rule : rules) {
    if (rule.starts_with('+')) {
      documented.insert(absl::AsciiStrToUpper(rule.substr(1, rule.find('|') - 1)));
    }
  }
  EXPECT_EQ(documented, expected);
  SetUser(*admin_, rules);
  EXPECT_EQ(CheckRights(*ConnectAsUser(), layout_), absl::OkStatus());
  Klatchd klatchd({.arguments = {"--redis", UserUri()}});
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

// Whoever adds a command to a script adds it to the table, or this fails.
TEST_F(RedisRightsTest, TheNeededCommandsSufficeForEveryCall) {
  std::vector<std::string> rules = {"~{default*", "+info"};
  for (const std::string& command : NeededCommands(layout_)) {
    rules.push_back("+" + command);
  }
  SetUser(*admin_, rules);
  Klatchd klatchd({.arguments = {"--redis", UserUri()}});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client.Add("ann", "g", {"bob", "cleo"}), Succeeds());
  const auto first = client.Publish("bob", "g", "first");
  ASSERT_THAT(first, Succeeds());
  const auto second = client.Publish("ann", "g", "second");
  ASSERT_THAT(second, Succeeds());
  EXPECT_THAT(client.Edit("bob", first->update_id(), "first, mended"), Succeeds());
  EXPECT_THAT(client.Delete("ann", second->update_id()), Succeeds());
  EXPECT_THAT(client.Remove("ann", "g", {"cleo"}), Succeeds());
  ASSERT_THAT(client.CreateGroup("ann", "h"), Succeeds());
  v1::PublishUpdateRequest several = Client::Post("ann", "g", "third");
  several.mutable_update()->add_groups("h");
  several.mutable_update()->add_groups("nowhere");
  const auto third = client.Publish(several);
  ASSERT_THAT(third, Succeeds());
  EXPECT_THAT(client.Edit("ann", third->update_id(), "third, mended"), Succeeds());
  several.set_request_id("again");
  const auto fourth = client.Publish(several);
  ASSERT_THAT(fourth, Succeeds());
  EXPECT_THAT(client.Delete("ann", fourth->update_id()), Succeeds());
  ASSERT_THAT(client.Add("ann", "h", {"bob"}), Succeeds());
  several.set_request_id("by bob");
  several.set_actor("bob");
  const auto fifth = client.Publish(several);
  ASSERT_THAT(fifth, Succeeds());
  EXPECT_THAT(client.Delete("ann", fifth->update_id()), Succeeds());
  v1::UpdateGroupRequest bound;
  bound.set_actor("ann");
  bound.mutable_group()->set_id("g");
  bound.mutable_group()->mutable_retention()->set_count(1);
  EXPECT_THAT(client.Groups(&v1::GroupService::Stub::UpdateGroup, bound), Succeeds());
  EXPECT_THAT(client.Publish("ann", "g", "sixth"), Succeeds());
  EXPECT_TRUE(
      testing::Eventually([&] { return client.GroupPage("ann", "g")->updates_size() == 1; }));
  v1::ListMembersRequest members;
  members.set_actor("ann");
  members.set_group("g");
  EXPECT_THAT(client.Groups(&v1::GroupService::Stub::ListMembers, members), Succeeds());
  const auto person = [&client](auto method, auto request, const char* actor, const char* whom) {
    request.set_actor(actor);
    request.set_person(whom);
    return client.Persons(method, request);
  };
  using Persons = v1::PersonService::Stub;
  EXPECT_THAT(person(&Persons::BlockPerson, v1::BlockPersonRequest(), "ann", "eve"), Succeeds());
  EXPECT_THAT(person(&Persons::MutePerson, v1::MutePersonRequest(), "ann", "dan"), Succeeds());
  EXPECT_THAT(person(&Persons::UnmutePerson, v1::UnmutePersonRequest(), "ann", "dan"), Succeeds());
  v1::SetReadMarkerRequest marker;
  marker.set_actor("ann");
  marker.set_group("g");
  marker.set_now(true);
  EXPECT_THAT(client.Persons(&Persons::SetReadMarker, marker), Succeeds());
  v1::GetUnreadCountsRequest unread;
  unread.set_actor("ann");
  unread.set_home(true);
  EXPECT_THAT(client.Persons(&Persons::GetUnreadCounts, unread), Succeeds());
  v1::UpdateProfileRequest profile;
  profile.set_actor("ann");
  for (const char* bio : {"climbs", ""}) {
    profile.mutable_profile()->set_bio(bio);
    *profile.mutable_update_mask()->mutable_paths()->Add() = "bio";
    EXPECT_THAT(client.Persons(&Persons::UpdateProfile, profile), Succeeds());
  }
  EXPECT_THAT(person(&Persons::GetProfile, v1::GetProfileRequest(), "ann", "ann"), Succeeds());
  // What a start reads is what the end before wrote.
  ASSERT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
  klatchd.Start();
  Client again(klatchd.Channel());
  const auto home = again.Home("bob");
  ASSERT_THAT(home, Succeeds());
  EXPECT_THAT(TextsOf(*home), ElementsAre("sixth"));
  EXPECT_THAT(again.DeleteGroup("ann", "g"), Succeeds());
  v1::UnblockPersonRequest unblock;
  unblock.set_actor("ann");
  unblock.set_person("eve");
  EXPECT_THAT(again.Persons(&Persons::UnblockPerson, unblock), Succeeds());
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
  EXPECT_THAT(klatchd.process().errors(), ::testing::Not(HasSubstr("NOPERM")));
}

}  // namespace
}  // namespace klatch
