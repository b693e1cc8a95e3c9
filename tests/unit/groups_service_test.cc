// GroupService over a real in-process channel: what callers see on the wire.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "accept_fakes.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "services/groups/group_service.h"

namespace klatch {
namespace {

class NoGroups final : public GroupReader {
 public:
  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId) override {
    co_return base::FieldError(absl::StatusCode::kNotFound, "group", "is no group");
  }
  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId, PersonId) override { co_return Stay{}; }
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId, uint64_t, size_t) override {
    co_return MemberScan{};
  }
};

class NoPersonGroups final : public PersonGroups {
 public:
  absl::StatusOr<std::vector<GroupStay>> List(const PersonId&, std::string_view,
                                              size_t) const override {
    return std::vector<GroupStay>{};
  }
};

class GroupServiceTest : public ::testing::Test {
 protected:
  GroupServiceTest()
      : appender_(layout_),
        admission_(appender_, pressure_, Admission::Bounds{}),
        executor_(2, "test"),
        groups_({layout_, appender_, reader_, person_groups_, barrier_, admission_, executor_,
                 clock_, "secret"}),
        calls_(clock_, gate_),
        service_(calls_, groups_) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    // Over a socket: in process, gRPC hands the server's own bytes to the client, inside a library
    // where the thread sanitizer doesn't see the hand-over.
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    server_ = builder.BuildAndStart();
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::GroupService::NewStub(channel_);
  }
  ~GroupServiceTest() override {
    AwaitCalls();
    server_->Shutdown();
    server_->Wait();
  }

  // Before a test looks at what calls have left behind on the server's threads. No call passes
  // afterwards.
  void AwaitCalls() {
    EXPECT_TRUE(gate_.Drain(std::chrono::steady_clock::now() + std::chrono::minutes(1)));
  }

  static v1::CreateGroupRequest CreateRequest() {
    v1::CreateGroupRequest request;
    request.set_actor("ann");
    request.set_request_id("key");
    request.mutable_group()->set_id("hiking");
    return request;
  }

  static std::string FieldOf(const grpc::Status& status) {
    google::rpc::Status details;
    google::rpc::BadRequest bad_request;
    if (!details.ParseFromString(status.error_details()) || details.details_size() == 0 ||
        !details.details(0).UnpackTo(&bad_request)) {
      return "";
    }
    return bad_request.field_violations(0).field();
  }

  // Sends bytes as they are.
  grpc::Status SendRaw(const std::string& method, const std::string& bytes) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status;
  }

  const Layout layout_;
  const base::SystemClock clock_;
  testing::FakeAppender appender_;
  testing::FakePressure pressure_;
  testing::FakeBarrier barrier_;
  NoGroups reader_;
  NoPersonGroups person_groups_;
  Admission admission_;
  base::Executor executor_;
  GroupCalls groups_;
  CallGate gate_;
  Calls calls_;
  GroupServiceImpl service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::GroupService::Stub> stub_;
};

TEST_F(GroupServiceTest, AnswersACall) {
  grpc::ClientContext context;
  v1::CreateGroupResponse response;
  const grpc::Status status = stub_->CreateGroup(&context, CreateRequest(), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.group().id(), "hiking");
  AwaitCalls();
  EXPECT_EQ(response.tokens(0).position(), appender_.last.value());
}

TEST_F(GroupServiceTest, NamesTheFieldAtFaultInTheDetails) {
  grpc::ClientContext context;
  v1::CreateGroupResponse response;
  v1::CreateGroupRequest request = CreateRequest();
  request.mutable_group()->set_id("a\nb");
  const grpc::Status status = stub_->CreateGroup(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldOf(status), "group.id");
  AwaitCalls();
  EXPECT_TRUE(appender_.created.empty());
}

TEST_F(GroupServiceTest, NamesTheFieldThatIsNotUtf8) {
  v1::CreateGroupRequest request = CreateRequest();
  request.mutable_group()->set_display_name("WRONG");
  std::string bytes = request.SerializeAsString();
  bytes[bytes.find("WRONG")] = '\xFF';
  const grpc::Status status = SendRaw("/klatch.v1.GroupService/CreateGroup", bytes);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldOf(status), "group.display_name");
  AwaitCalls();
  EXPECT_TRUE(appender_.created.empty());
}

TEST_F(GroupServiceTest, RefusesCallsOnceTheGateIsClosed) {
  gate_.Close();
  grpc::ClientContext context;
  v1::CreateGroupResponse response;
  const grpc::Status status = stub_->CreateGroup(&context, CreateRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(appender_.created.empty());
}

TEST_F(GroupServiceTest, AnsweredCallsHaveLeftTheGate) {
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext context;
    v1::ListPersonGroupsRequest request;
    request.set_actor("ann");
    v1::ListPersonGroupsResponse response;
    ASSERT_TRUE(stub_->ListPersonGroups(&context, request, &response).ok());
  }
  AwaitCalls();
}

TEST_F(GroupServiceTest, ADeadlineThatIsOverDoesNothing) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(1));
  v1::CreateGroupResponse response;
  const grpc::Status status = stub_->CreateGroup(&context, CreateRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  AwaitCalls();
  EXPECT_TRUE(appender_.created.empty());
}

}  // namespace
}  // namespace klatch
