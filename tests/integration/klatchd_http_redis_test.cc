// A klatchd's calls over HTTP: the same as over gRPC, by one rule.

#include <gmock/gmock.h>
#include <signal.h>

#include "services/edge/http_status.h"
#include "tests/integration/any_call.h"
#include "tests/integration/klatchd_http_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kExitUnreachable = 4;

Klatchd::Options WithHttp() {
  return {.arguments = {"--http-listen", "127.0.0.1:0", "--shards", "4", "--partitions", "4",
                        "--workers", "1"}};
}

std::vector<std::string> TextsOf(const v1::ListHomeTimelineResponse& page) {
  std::vector<std::string> texts;
  for (const v1::Update& update : page.updates()) {
    texts.push_back(update.text());
  }
  return texts;
}

class KlatchdHttpTest : public ::testing::Test {
 protected:
  HttpAnswer Call(const std::string& call, const google::protobuf::Message& request) {
    return CallByHttp(klatchd_.http_address(), call, request);
  }
  v1::CreateGroupRequest Creating(const std::string& group) {
    v1::CreateGroupRequest request;
    request.set_actor("ann");
    request.set_request_id("create " + group);
    request.mutable_group()->set_id(group);
    return request;
  }
  v1::ListHomeTimelineRequest HomeOf(const std::string& actor, const Tokens& tokens = {}) {
    v1::ListHomeTimelineRequest request;
    request.set_actor(actor);
    *request.mutable_tokens() = tokens;
    return request;
  }
  // What gRPC answers to a request without any field.
  grpc::Status EmptyCallByGrpc(const std::string& path) {
    return CallAny(klatchd_.Channel(), path, "", kCallDeadline).status;
  }

  Klatchd klatchd_{WithHttp()};
  Client client_{klatchd_.Channel()};
};

TEST_F(KlatchdHttpTest, PostsAndShowsWhatWasPosted) {
  ASSERT_EQ(Call("GroupService/CreateGroup", Creating("hiking")).code, 200);
  ASSERT_THAT(client_.Add("ann", "hiking", {"bob"}), Succeeds());
  const auto post = Client::Post("ann", "hiking", "Über den Grat? \"ja\" \x01 😀");
  const HttpAnswer posted = Call("FeedService/PublishUpdate", post);
  ASSERT_EQ(posted.code, 200) << posted.body;
  const auto published = FromJson<v1::PublishUpdateResponse>(posted.body);
  EXPECT_THAT(posted.body, HasSubstr(fmt::format(R"("updateId":"{}")", published.update_id())));

  const HttpAnswer page = Call("FeedService/ListHomeTimeline", HomeOf("bob", published.tokens()));
  ASSERT_EQ(page.code, 200) << page.body;
  const auto by_http = FromJson<v1::ListHomeTimelineResponse>(page.body);
  const auto by_grpc = client_.Home("bob", published.tokens());
  ASSERT_EQ(by_http.updates_size(), 1);
  EXPECT_EQ(by_http.updates(0).text(), post.update().text());
  EXPECT_EQ(by_http.updates(0).SerializeAsString(), by_grpc->updates(0).SerializeAsString());

  // A repetition over gRPC is the same post.
  EXPECT_EQ(client_.Publish(post)->update_id(), published.update_id());
  auto other = post;
  other.mutable_update()->set_text("another");
  EXPECT_EQ(Call("FeedService/PublishUpdate", other).code, 409);
}

TEST_F(KlatchdHttpTest, PagesGoOnByTheirTokens) {
  ASSERT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
  Tokens tokens;
  for (const char* text : {"one", "two", "three"}) {
    tokens = client_.Publish("ann", "hiking", text)->tokens();
  }
  auto request = HomeOf("ann", tokens);
  request.set_page_size(2);
  const auto first =
      FromJson<v1::ListHomeTimelineResponse>(Call("FeedService/ListHomeTimeline", request).body);
  EXPECT_THAT(TextsOf(first), ElementsAre("three", "two"));
  request.set_page_token(first.next_page_token());
  const auto second =
      FromJson<v1::ListHomeTimelineResponse>(Call("FeedService/ListHomeTimeline", request).body);
  EXPECT_THAT(TextsOf(second), ElementsAre("one"));
}

TEST_F(KlatchdHttpTest, EveryCallAnswersAsOverGrpc) {
  int calls = 0;
  for (const auto* service :
       {v1::FeedService::service_full_name(), v1::GroupService::service_full_name(),
        v1::PersonService::service_full_name()}) {
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    ASSERT_NE(descriptor, nullptr);
    for (int i = 0; i < descriptor->method_count(); ++i) {
      const auto& method = *descriptor->method(i);
      if (method.client_streaming() || method.server_streaming()) {
        continue;
      }
      const std::string path = fmt::format("/{}/{}", service, method.name());
      const grpc::Status expected = EmptyCallByGrpc(path);
      const HttpAnswer answer = AnswerTo(klatchd_.http_address(), Posting(path, "{}"));
      EXPECT_EQ(answer.code, HttpCodeOf(expected.error_code())) << path << answer.body;
      if (!expected.ok()) {
        EXPECT_EQ(ErrorIn(answer).SerializeAsString(), expected.error_details()) << path;
      }
      ++calls;
    }
  }
  EXPECT_GE(calls, 30);
}

TEST_F(KlatchdHttpTest, ServesNothingButTheCallsOfApps) {
  for (const char* path : {"/grpc.health.v1.Health/Check", "/klatch.v1.AdminService/GetStatus",
                           "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                           "/metrics", "/livez", "/"}) {
    EXPECT_EQ(AnswerTo(klatchd_.http_address(), Posting(path, "{}")).code, 404) << path;
  }
}

TEST_F(KlatchdHttpTest, IsCountedInTheMetrics) {
  EXPECT_EQ(Call("GroupService/CreateGroup", Creating("hiking")).code, 200);
  const auto [code, metrics] = klatchd_.Get("/metrics");
  EXPECT_EQ(code, 200);
  EXPECT_THAT(metrics, HasSubstr("klatch_http_requests_total{code=\"200\"} 1\n"));
}

TEST_F(KlatchdHttpTest, AnswersAtTheSameAddressAfterItsRedisWasRestarted) {
  ASSERT_EQ(Call("GroupService/CreateGroup", Creating("hiking")).code, 200);
  const pid_t redis = klatchd_.RedisProcess();
  ASSERT_NE(redis, 0);
  ASSERT_EQ(kill(redis, SIGKILL), 0);
  ASSERT_TRUE(Eventually([&] {
    const pid_t another = klatchd_.RedisProcess();
    return another != 0 && another != redis;
  }));
  EXPECT_TRUE(
      Eventually([&] { return Call("FeedService/ListHomeTimeline", HomeOf("ann")).code == 200; }));
}

TEST_F(KlatchdHttpTest, DrainEndsStreamsWithAStatusAndAnswersWhatIsUnderWay) {
  HttpPeer watch(klatchd_.http_address());
  watch.Send(Getting("/klatch.v1.FeedService/WatchHomeTimeline?actor=bob"));
  ASSERT_TRUE(watch.ReadHead().has_value());
  ASSERT_TRUE(watch.ReadEvent().has_value());
  HttpPeer idle(klatchd_.http_address());
  idle.Send(Posting("/klatch.v1.FeedService/ListHomeTimeline", R"({"actor": "bob"})"));
  ASSERT_EQ(idle.ReadAnswer()->code, 200);
  // A read of what nobody has posted waits until the drain ends it.
  v1::ListHomeTimelineRequest unreachable = HomeOf("bob");
  v1::Token* token = unreachable.add_tokens();
  token->set_position((uint64_t{1} << 62) - (uint64_t{1} << 22));
  HttpPeer waiting(klatchd_.http_address());
  waiting.Send(Posting("/klatch.v1.FeedService/ListHomeTimeline", JsonOf(unreachable)));
  ASSERT_TRUE(Eventually([&] {
    return klatchd_.Get("/metrics").second.find("klatch_calls_under_way 2\n") != std::string::npos;
  }));

  EXPECT_EQ(klatchd_.Terminate(), 0) << klatchd_.process().errors();

  const auto error = watch.ReadEvent();
  ASSERT_TRUE(error.has_value());
  EXPECT_THAT(*error, StartsWith("event: error\ndata: {\"code\":14"));
  EXPECT_THAT(*error, HasSubstr(R"("reason":"STOPPING")"));
  EXPECT_EQ(watch.ReadEvent(), std::nullopt);
  EXPECT_TRUE(watch.has_ended());
  const auto answer = waiting.ReadAnswer();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code, 503) << answer->body;
  EXPECT_TRUE(idle.AwaitClosed());
}

TEST_F(KlatchdHttpTest, TakenAddressEndsAnotherKlatchdWithOneLine) {
  Klatchd other({.arguments = {"--http-listen", klatchd_.http_address(), "--shards", "4",
                               "--partitions", "4"},
                 .begin = Klatchd::Begin::kNotStarted});
  other.Launch();
  EXPECT_EQ(other.process().AwaitEnd(), kExitUnreachable);
  EXPECT_THAT(other.process().errors(),
              HasSubstr(fmt::format("can't listen on {} for HTTP", klatchd_.http_address())));
}

}  // namespace
}  // namespace klatch::testing
