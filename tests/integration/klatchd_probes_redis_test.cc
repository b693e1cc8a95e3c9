// How operators and balancers look at a klatchd: health protocol, reflection, metrics, probes.

#include "grpc/health/v1/health.pb.h"
#include "tests/integration/any_call.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

class KlatchdProbesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { klatchd_ = std::make_unique<Klatchd>(); }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    EXPECT_EQ(klatchd_->RedisProcess(), 0) << "its redis-server is still there";
    klatchd_.reset();
  }

  static inline std::unique_ptr<Klatchd> klatchd_;
};

// Sends one request on the reflection protocol's stream; the bytes of its one answer.
std::string AskReflection(const std::shared_ptr<grpc::Channel>& channel,
                          const std::string& request) {
  const AnyAnswer answer =
      CallAny(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", request,
              kCallDeadline);
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  return answer.first;
}

TEST_F(KlatchdProbesTest, HealthProtocolSaysServing) {
  const AnyAnswer answer =
      CallAny(klatchd_->Channel(), "/grpc.health.v1.Health/Check", "", kCallDeadline);
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_TRUE(response.ParseFromString(answer.first));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(KlatchdProbesTest, ReflectionListsAndDescribesTheServices) {
  // ServerReflectionRequest.list_services = 7, file_containing_symbol = 4.
  const std::string services = AskReflection(klatchd_->Channel(), std::string("\x3a\x01*"));
  const std::vector<std::string> names = {"klatch.v1.FeedService", "klatch.v1.GroupService",
                                          "klatch.v1.PersonService", "klatch.v1.AdminService",
                                          "grpc.health.v1.Health"};
  for (const std::string& name : names) {
    EXPECT_NE(services.find(name), std::string::npos) << name;
    const std::string file = AskReflection(
        klatchd_->Channel(), std::string("\x22") + static_cast<char>(name.size()) + name);
    const std::string service = name.substr(name.rfind('.') + 1);
    EXPECT_NE(file.find(service), std::string::npos) << name;
    EXPECT_NE(file.find(".proto"), std::string::npos) << name;
  }
}

TEST_F(KlatchdProbesTest, MetricsAndProbesAnswer) {
  EXPECT_EQ(klatchd_->Get("/livez").first, 200);
  const auto ready = klatchd_->Get("/readyz");
  EXPECT_EQ(ready.first, 200) << ready.second;
  Client client(klatchd_->Channel());
  ASSERT_THAT(client.CreateGroup("owner", "measured"), Succeeds());
  const auto posted = client.Publish("owner", "measured", "count me");
  ASSERT_THAT(client.Home("owner", posted->tokens()), Succeeds());
  const auto metrics = klatchd_->Get("/metrics");
  EXPECT_EQ(metrics.first, 200);
  for (const char* name :
       {"klatch_log_records_total", "klatch_deliveries_total", "klatch_flushed_entries_total",
        "klatch_unflushed_entries", "klatch_checkpoint_lag_seconds",
        "klatch_flushed_entry_age_seconds", "klatch_calls_under_way", "klatch_personal_persons"}) {
    EXPECT_NE(metrics.second.find(std::string("\n") + name), std::string::npos) << name;
  }
  EXPECT_EQ(metrics.second.find("\nklatch_deliveries_total 0\n"), std::string::npos);
  EXPECT_EQ(klatchd_->Get("/nothing").first, 404);
}

TEST(KlatchdListenTest, ServesOverTcpOnAFreePort) {
  Klatchd klatchd({.arguments = {"--workers", "1"}, .listen = Klatchd::Listen::kTcp});
  EXPECT_TRUE(klatchd.address().starts_with("127.0.0.1:")) << klatchd.address();
  EXPECT_FALSE(klatchd.address().ends_with(":0"));
  Client client(klatchd.Channel());
  EXPECT_THAT(client.CreateGroup("ann", "tcp"), Succeeds());
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
  EXPECT_EQ(klatchd.RedisProcess(), 0);
}

}  // namespace
}  // namespace klatch::testing
