// What is written down: the log, at its most talkative, through good calls and bad ones, damaged values, a kill and
// a Redis that goes away, holds nothing that anybody has posted, no token and no password.

#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_http_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// In everything that is a secret of somebody's.
constexpr char kSecret[] = "zYx9-kept-to-themselves";
constexpr char kPassword[] = "hunter-of-passwords";

std::string Secret(std::string_view what) { return fmt::format("{} {}", what, kSecret); }

class KlatchdLogSecretsTest : public ::testing::Test {
 protected:
  // Of the life that ends now.
  void ExpectNoSecrets() {
    const std::string log = klatchd_.process().errors() + klatchd_.process().output();
    ASSERT_THAT(log, HasSubstr("\"msg\":\"serving\""));
    EXPECT_THAT(log, Not(HasSubstr(kSecret)));
    EXPECT_THAT(log, Not(HasSubstr(kPassword)));
  }
  static Layout MakeLayout() {
    Layout layout;
    layout.shard_count = 4;
    layout.partition_count = 4;
    return layout;
  }

  RedisServer redis_{{.persistence = RedisServer::Persistence::kAppendOnly,
                      .arguments = {"--requirepass", kPassword}}};
  Klatchd klatchd_{
      {.arguments = {"--shards", "4", "--partitions", "4", "--workers", "1", "--log-level", "debug",
                     "--http-listen", "127.0.0.1:0", "--audit", "--redis",
                     fmt::format("unix://:{}@{}", kPassword, redis_.address().socket_path)}}};
};

TEST_F(KlatchdLogSecretsTest, NothingThatAnybodyPostedIsWrittenDown) {
  auto client = std::make_unique<Client>(klatchd_.Channel());
  ASSERT_THAT(client->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client->Add("ann", "g", {"bob"}), Succeeds());
  const auto posted = client->Publish("ann", "g", Secret("posted"));
  ASSERT_THAT(posted, Succeeds());
  ASSERT_THAT(client->Edit("ann", posted->update_id(), Secret("edited")), Succeeds());
  v1::UpdateProfileRequest profile;
  profile.set_actor("ann");
  profile.mutable_profile()->set_display_name(Secret("named"));
  profile.mutable_update_mask()->add_paths("display_name");
  EXPECT_THAT(client->Persons(&v1::PersonService::Stub::UpdateProfile, profile), Succeeds());
  {
    Watcher watcher(klatchd_.Channel(), "bob");
    ASSERT_TRUE(watcher.AwaitBegun());
    ASSERT_THAT(client->Publish("ann", "g", Secret("watched")), Succeeds());
    ASSERT_TRUE(watcher.Await([](const Events& events) { return !events.empty(); }));
  }
  // What is refused is not said again, neither.
  EXPECT_FALSE(client->Publish("eve", "g", Secret("refused")).ok());
  EXPECT_FALSE(client->Publish("ann", "g", Secret("not \xff UTF-8")).ok());
  EXPECT_FALSE(client->Publish("ann", "g", Secret(std::string(20'000, 'x'))).ok());
  v1::ListHomeTimelineRequest page;
  page.set_actor("bob");
  page.set_page_token(Secret("page"));
  EXPECT_FALSE(client->Feed(&v1::FeedService::Stub::ListHomeTimeline, page).ok());
  for (const std::string& body :
       {fmt::format(R"({{"actor": "ann", "update": {{"text": "{}"}}}})", kSecret),
        fmt::format(R"({{"actor": "ann", "update": "{}")", kSecret), std::string(kSecret)}) {
    EXPECT_GE(
        AnswerTo(klatchd_.http_address(), Posting("/klatch.v1.FeedService/PublishUpdate", body,
                                                  fmt::format("Content-Type: application/json\r\n"
                                                              "Authorization: Bearer {}\r\n",
                                                              kSecret)))
            .code,
        400);
  }
  EXPECT_GE(AnswerTo(klatchd_.http_address(), Getting(fmt::format("/{}", kSecret))).code, 400);

  // Values that are not what they should be, with what somebody wrote in them.
  auto redis = redis_.Connect();
  ASSERT_TRUE(redis->Call({"AUTH", kPassword}).ok());
  const Keys keys(MakeLayout());
  const ShardIndex shard = MakeLayout().ShardOf(GroupId("g"));
  ASSERT_TRUE(redis->Call({"XADD", keys.Log(shard), "*", "r", Secret("a record")}).ok());
  EXPECT_TRUE(Eventually([&] {
    return klatchd_.process().errors().find("\"level\":\"error\"") != std::string::npos ||
           !klatchd_.process().running();
  }));
  ExpectNoSecrets();
}

TEST_F(KlatchdLogSecretsTest, NorByKillsAndWithoutRedis) {
  auto client = std::make_unique<Client>(klatchd_.Channel());
  ASSERT_THAT(client->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client->Add("ann", "g", {"bob"}), Succeeds());
  const auto posted = client->Publish("ann", "g", Secret("posted"));
  ASSERT_THAT(posted, Succeeds());
  ExpectNoSecrets();
  klatchd_.Kill();
  // A body that is none, and a profile that is none.
  auto redis = redis_.Connect();
  ASSERT_TRUE(redis->Call({"AUTH", kPassword}).ok());
  const Keys keys(MakeLayout());
  const std::string body = keys.Update(UpdateId(posted->update_id()));
  ASSERT_TRUE(redis->Call({"SET", body, Secret("a body")}).ok());
  klatchd_.Start();
  client = std::make_unique<Client>(klatchd_.Channel());
  const auto broken = client->Get("bob", posted->update_id());
  EXPECT_THAT(broken.status.error_message(), Not(HasSubstr(kSecret)));
  redis_.Freeze();
  v1::PublishUpdateRequest request = Client::Post("ann", "g", Secret("into the void"));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  v1::PublishUpdateResponse response;
  EXPECT_FALSE(client->feed().PublishUpdate(&context, request, &response).ok());
  redis_.Thaw();
  redis_.Kill();
  redis_.Start();
  EXPECT_TRUE(Eventually([&] { return client->Publish("ann", "g", Secret("once more")).ok(); }));
  EXPECT_EQ(klatchd_.Terminate(), 0);
  ExpectNoSecrets();
}

}  // namespace
}  // namespace klatch::testing
