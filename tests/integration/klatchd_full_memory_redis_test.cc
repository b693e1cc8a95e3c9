// A klatchd whose Redis has reached its maxmemory: posts are refused, reads and removals go on,
// also after a restart.

#include <algorithm>
#include <charconv>

#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kLeaseMs = 1'000;

class KlatchdFullMemoryTest : public ::testing::Test {
 protected:
  void SetMemoryMax(const std::string& bytes) {
    ASSERT_TRUE(klatchd_.ConnectRedis()->Call({"CONFIG", "SET", "maxmemory", bytes}).ok());
  }
  int64_t LeasedUntil() {
    Layout layout;
    layout.shard_count = 8;
    layout.partition_count = 8;
    const auto reply =
        klatchd_.ConnectRedis()->Call({"HGET", Keys(layout).Lease(PartitionIndex(0)), "until"});
    EXPECT_TRUE(reply.ok());
    const std::string_view text = reply->text();
    int64_t until = 0;
    std::from_chars(text.data(), text.data() + text.size(), until);
    return until;
  }
  // Until leases from before this call would all have run out.
  bool OutliveALease() {
    const int64_t begin = LeasedUntil();
    return Eventually([&] { return LeasedUntil() > begin + kLeaseMs; }, std::chrono::seconds(20));
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
