// Policies: what one says, and each way to get it wrong.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/group_service.pb.h"
#include "services/identity/audit.h"
#include "services/identity/call_names.h"
#include "services/identity/policy.h"

namespace klatch {
namespace {

using ::testing::HasSubstr;

constexpr char kTokens[] = "audience = \"klatch\"\nissuer = \"https://login\"\n";

// A policy of one identity, "app", that has these lines besides.
std::string One(const std::string& lines) {
  return fmt::format("{}[[identity]]\nname = \"app\"\n{}\n", kTokens, lines);
}

// Lines of a good identity, but for one key.
std::string But(const std::string& key, const std::string& line) {
  const std::pair<std::string, std::string> good[] = {
      {"subjects", "subjects = [\"app\"]"},
      {"namespaces", "namespaces = [\"default\"]"},
      {"calls", "calls = [\"FeedService\"]"},
      {"act_for", "act_for = \"anybody\""},
  };
  std::string lines;
  bool is_replaced = false;
  for (const auto& [name, text] : good) {
    lines += (name == key ? line : text) + "\n";
    is_replaced = is_replaced || name == key;
  }
  return One(is_replaced ? lines : lines + line + "\n");
}

const CallName& Publish() { return CallOf(*v1::PublishUpdateRequest::descriptor()); }

TEST(PolicyTest, SaysWhoMayCallWhat) {
  const auto policy = Policy::Parse("p.toml", std::string(kTokens) + R"(
[[identity]]
name = "backend"
certificates = ["backend.example.org", "spiffe://example.org/backend"]
subjects = ["backend"]
namespaces = ["default", "staging"]
calls = ["FeedService", "GroupService/GetGroup"]
act_for = "anybody"
calls_per_second = 5
burst = 7

[[identity]]
name = "people"
subjects = ["*"]
namespaces = ["default"]
calls = ["FeedService/ListHomeTimeline", "FeedService/BatchPublishUpdates"]
act_for = "subject"
)");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ(policy->audience(), "klatch");
  EXPECT_EQ(policy->issuer(), "https://login");
  const Identity* backend = policy->OfSubject("backend");
  ASSERT_NE(backend, nullptr);
  EXPECT_EQ(policy->OfCertificate("spiffe://example.org/backend"), backend);
  EXPECT_EQ(policy->OfCertificate("backend.example.org"), backend);
  EXPECT_EQ(policy->OfCertificate("other.example.org"), nullptr);
  EXPECT_EQ(backend->name, "backend");
  EXPECT_TRUE(backend->acts_for_anybody);
  EXPECT_EQ(backend->rate.per_second, 5u);
  EXPECT_EQ(backend->rate.burst, 7u);
  EXPECT_EQ(backend->namespaces, (std::vector<std::string>{"default", "staging"}));
  EXPECT_TRUE(backend->calls.test(Publish().index));
  const Identity* people = policy->OfSubject("ann");
  ASSERT_NE(people, nullptr);
  EXPECT_EQ(people->name, "people");
  EXPECT_FALSE(people->acts_for_anybody);
  EXPECT_FALSE(people->calls.test(Publish().index));
  EXPECT_EQ(people->rate.per_second, 0u);
}

TEST(PolicyTest, WithoutTokensNeedsNoIssuer) {
  const auto policy = Policy::Parse("p.toml", R"([[identity]]
name = "backend"
certificates = ["backend"]
namespaces = ["default"]
calls = ["FeedService"]
act_for = "anybody"
)");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_FALSE(policy->knows_tokens());
  EXPECT_EQ(policy->OfSubject("backend"), nullptr);
}

TEST(PolicyTest, RefusesWhatCannotHold) {
  const std::string long_name(257, 'x');
  const std::pair<std::string, std::string> rows[] = {
      {"", "has no [[identity]]"},
      {"\xff", "is not UTF-8"},
      {"audience = 1\n[[identity]]\n", "name is missing"},
      {"audiense = \"x\"\n", "unknown key \"audiense\""},
      {"identity = 3\n", "has no [[identity]]"},
      {"identity = [1, 2]\n", "has no [[identity]]"},
      {"[identity]\nname = \"x\"\n", "has no [[identity]]"},
      {"a = \n", "p.toml:1:"},
      {"[[identity]]\nname = 3\n", "name is a number, wants a string"},
      {"[[identity]]\nname = \"\"\n", "name has 0 bytes"},
      {fmt::format("[[identity]]\nname = \"{}\"\n", long_name), "name has 257 bytes"},
      {But("subjects", ""), "neither certificates nor subjects"},
      {But("subjects", "subjects = []"), "subjects has 0 names"},
      {But("subjects", "subjects = \"app\""), "subjects is a string, wants an array"},
      {But("subjects", "subjects = [3]"), "subjects wants strings of 1 to 256 bytes"},
      {But("subjects", "subjects = [\"a\", \"a\"]"), "stands there twice"},
      {But("subjects", "subjects = [\"*\"]"), "act_for must be \"subject\""},
      {But("namespaces", ""), "namespaces is missing"},
      {But("calls", ""), "calls is missing"},
      {But("calls", "calls = [\"FeedService/Publish\"]"), "names no call \"FeedService/Publish\""},
      {But("calls", "calls = [\"*\"]"), "names no call \"*\""},
      {But("act_for", ""), "act_for is missing"},
      {But("act_for", "act_for = \"any\""), "wants \"anybody\" or \"subject\""},
      {But("act_for", "act_for = \"subject\""), "FeedService/WatchHomeTimelines acts for anybody"},
      {But("calls_per_second", "calls_per_second = 0"), "from 1 to 1000000"},
      {But("calls_per_second", "calls_per_second = 1.5"), "from 1 to 1000000"},
      {But("burst", "burst = 3"), "burst goes with calls_per_second"},
      {But("call", "call = [\"FeedService\"]"), "identity \"app\": unknown key \"call\""},
      {One("certificates = [\"x\"]\nnamespaces = [\"d\"]\ncalls = [\"FeedService/GetUpdate\"]\n"
           "act_for = \"subject\""),
       "a certificate has no subject"},
      {But("", "") + But("", "").substr(std::string(kTokens).size()), "another of this name"},
      {"[[identity]]\nname = \"app\"\nsubjects = [\"app\"]\nnamespaces = [\"d\"]\n"
       "calls = [\"FeedService\"]\nact_for = \"anybody\"\n",
       "audience is missing"},
      {std::string(Policy::kFileBytesMax + 1, ' '), "has more than"},
  };
  for (const auto& [text, message] : rows) {
    const auto policy = Policy::Parse("p.toml", text);
    ASSERT_FALSE(policy.ok()) << text;
    EXPECT_TRUE(absl::IsInvalidArgument(policy.status())) << text;
    EXPECT_THAT(base::MessageOf(policy.status()), HasSubstr(message)) << text;
    EXPECT_THAT(base::MessageOf(policy.status()), HasSubstr("p.toml")) << text;
  }
}

TEST(CallNamesTest, AreFoundByRequest) {
  EXPECT_EQ(Publish().name, "FeedService/PublishUpdate");
  EXPECT_TRUE(Publish().names_its_actor);
  EXPECT_TRUE(CallOf(*v1::BatchPublishUpdatesRequest::descriptor()).names_its_actor);
  EXPECT_FALSE(CallOf(*v1::WatchHomeTimelinesRequest::descriptor()).names_its_actor);
  const auto whole = CallsNamed("FeedService");
  ASSERT_TRUE(whole.ok());
  EXPECT_TRUE(whole->test(Publish().index));
  EXPECT_EQ(whole->count(), 10u);
  EXPECT_EQ(FirstForAnybody(CallSet()), "");
}

TEST(AuditTest, IsOfMembershipAndOperators) {
  EXPECT_FALSE(IsAudited(Publish()));
  v1::RemoveMembersRequest request;
  request.set_actor("ann");
  request.set_group("g");
  for (size_t i = 0; i < kAuditPersonsMax + 2; ++i) {
    request.add_persons("p");
  }
  EXPECT_TRUE(IsAudited(CallOf(*v1::RemoveMembersRequest::descriptor())));
  const AuditedRequest audited = AuditedOf(request);
  EXPECT_EQ(audited.actor, "ann");
  EXPECT_EQ(audited.group, "g");
  EXPECT_EQ(audited.count, kAuditPersonsMax + 2);
  EXPECT_EQ(audited.persons.size(), 2 * kAuditPersonsMax - 1);
}

}  // namespace
}  // namespace klatch
