// A klatchd whose Redis has reached its maxmemory: posts are refused, reads and removals go on,
// also after a restart.

#include <algorithm>
#include <set>
#include <string>

#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Three for each duration, and the one that was there.
constexpr size_t kRenewals = 4;

class KlatchdFullMemoryTest : public ::testing::Test {
 protected:
  void SetMemoryMax(const std::string& bytes) {
    ASSERT_TRUE(klatchd_.ConnectRedis()->Call({"CONFIG", "SET", "maxmemory", bytes}).ok());
  }
  std::string Renewal() {
    Layout layout;
    layout.shard_count = 8;
    layout.partition_count = 8;
    const auto reply =
        klatchd_.ConnectRedis()->Call({"HGET", Keys(layout).Lease(PartitionIndex(0)), "renewal"});
    EXPECT_TRUE(reply.ok());
    return std::string(reply->text());
  }
  // Until leases from before this call would all have run out.
  bool OutliveALease() {
    std::set<std::string> renewals;
    return Eventually([&] { return renewals.insert(Renewal()), renewals.size() > kRenewals; },
                      std::chrono::seconds(20));
  }
  // Once, where Client would retry as it is asked to.
  grpc::Status PublishOnce() {
    v1::PublishUpdateRequest request;
    request.set_actor("ann");
    request.set_request_id(Client::NewRequestId());
    request.mutable_update()->add_groups("g");
    request.mutable_update()->set_text("refused");
    grpc::ClientContext context;
    v1::PublishUpdateResponse response;
    return client_->feed().PublishUpdate(&context, request, &response);
  }

  Klatchd klatchd_{{.arguments = {"--shards", "8", "--partitions", "8", "--flush-interval", "50ms",
                                  "--lease-duration", "1s"}}};
  std::unique_ptr<Client> client_ = std::make_unique<Client>(klatchd_.Channel());
};

TEST_F(KlatchdFullMemoryTest, ReadsAndRemovalsGoOnWhilePostsAreRefused) {
  ASSERT_THAT(client_->CreateGroup("ann", "g"), Succeeds());
  ASSERT_THAT(client_->Add("ann", "g", {"bob", "cid"}), Succeeds());
  const auto posted = client_->Publish("ann", "g", "seen");
  ASSERT_THAT(posted, Succeeds());
  SetMemoryMax("1");
  ASSERT_TRUE(OutliveALease());
  EXPECT_THAT(TextsOf(*client_->Home("bob", posted->tokens())), ElementsAre("seen"));
  EXPECT_EQ(PublishOnce().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(client_->Remove("ann", "g", {"bob"}), Succeeds());
  EXPECT_THAT(TextsOf(*client_->Home("bob")), IsEmpty());
  klatchd_.Kill();
  klatchd_.Start();
  client_ = std::make_unique<Client>(klatchd_.Channel());
  ASSERT_TRUE(OutliveALease());
  EXPECT_THAT(TextsOf(*client_->Home("bob")), IsEmpty());
  EXPECT_THAT(TextsOf(*client_->Home("cid")), ElementsAre("seen"));
  SetMemoryMax("0");
  EXPECT_THAT(client_->Publish("ann", "g", "again"), Succeeds());
}

}  // namespace
}  // namespace klatch::testing
