#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "accept_fakes.h"
#include "common/base/executor.h"
#include "google/rpc/error_details.pb.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/accept/call.h"
#include "services/accept/grpc_status.h"
#include "services/accept/when_all.h"
#include "services/accept/wire_check.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::Await;
using testing::FakeClock;

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Bytes of a message with a string that is no UTF-8, which protobuf's own writer would refuse.
std::string Replaced(std::string bytes, const std::string& what, const std::string& with) {
  return bytes.replace(bytes.find(what), what.size(), with);
}

TEST(ToGrpcStatusTest, CarriesFieldRetryAndReason) {
  absl::Status status = base::FieldError(absl::StatusCode::kNotFound, "update.text", "is bad");
  grpc::Status out = ToGrpcStatus(status);
  EXPECT_EQ(out.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(out.error_message(), "update.text is bad");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(out.error_details()));
  EXPECT_EQ(details.code(), grpc::StatusCode::NOT_FOUND);
  ASSERT_EQ(details.details_size(), 1);
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(details.details(0).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(), "update.text");
  EXPECT_EQ(bad_request.field_violations(0).description(), "is bad");

  status = base::RetryLater(absl::StatusCode::kUnavailable, "later", milliseconds(1'250));
  details = ToRpcStatus(base::WithReason(status, "OUTCOME_UNKNOWN"));
  ASSERT_EQ(details.details_size(), 2);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(0).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(1).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(info.domain(), "klatch");
}

TEST(ToGrpcStatusTest, CutsLongMessagesAtACharacter) {
  std::string message(kErrorMessageBytesMax - 1, 'x');
  message += "€ and more";
  const grpc::Status out = ToGrpcStatus(base::Error(absl::StatusCode::kInternal, message));
  EXPECT_EQ(out.error_message(), std::string(kErrorMessageBytesMax - 1, 'x'));
}

TEST(ToGrpcStatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(ToRpcStatus(absl::OkStatus()).ByteSizeLong(), 0u);
}

TEST(ParseRequestTest, NamesTheFieldThatIsNotUtf8) {
  v1::BatchPublishUpdatesRequest request;
  request.add_requests()->set_actor("ann");
  v1::PublishUpdateRequest* second = request.add_requests();
  second->set_actor("bob");
  second->mutable_update()->add_groups("g");
  second->mutable_update()->add_groups("WRONG");
  const std::string bytes = Replaced(request.SerializeAsString(), "WRONG", "WR\xFFNG");
  v1::BatchPublishUpdatesRequest parsed;
  const absl::Status status = ParseRequest(BufferOf(bytes), parsed);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(base::FieldViolationOf(status));
  EXPECT_EQ(base::FieldViolationOf(status)->field, "requests[1].update.groups[1]");
}

TEST(ParseRequestTest, RefusesWhatIsNoMessage) {
  v1::PublishUpdateRequest request;
  request.set_actor("ann");
  std::string whole = request.SerializeAsString();
  for (const std::string& bytes :
       {whole.substr(0, whole.size() - 1), std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        std::string("\x0A\xFF\xFF\xFF\xFF\x07")}) {
    v1::PublishUpdateRequest parsed;
    const absl::Status status = ParseRequest(BufferOf(bytes), parsed);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(base::FieldViolationOf(status));
  }
}

TEST(ParseRequestTest, ReadsWhatSerializeResponseWrote) {
  v1::PublishUpdateResponse written;
  written.set_update_id(77);
  written.add_tokens()->set_shard(3);
  grpc::ByteBuffer bytes;
  ASSERT_TRUE(SerializeResponse(written, bytes).ok());
  v1::PublishUpdateResponse read;
  ASSERT_TRUE(ParseRequest(bytes, read).ok());
  EXPECT_EQ(read.update_id(), 77u);
  EXPECT_EQ(read.tokens(0).shard(), 3u);
}

TEST(DeadlineFromTest, IsTheSoonerOfTheCallersAndTheDefault) {
  const FakeClock clock;
  EXPECT_EQ(DeadlineFrom(base::WallTime::max(), clock),
            clock.monotonic + limits::kCallDeadlineDefault);
  EXPECT_EQ(DeadlineFrom(clock.wall + std::chrono::hours(1), clock),
            clock.monotonic + limits::kCallDeadlineDefault);
  EXPECT_EQ(DeadlineFrom(clock.wall + milliseconds(70), clock), clock.monotonic + milliseconds(70));
  EXPECT_EQ(DeadlineFrom(clock.wall - milliseconds(70), clock), clock.monotonic);
  EXPECT_EQ(DeadlineFrom(base::WallTime::min(), clock), clock.monotonic);
}

TEST(CallGateTest, DrainWaitsForCallsUnderWayAndLetsNobodyElseIn) {
  CallGate gate;
  auto pass = std::make_unique<CallGate::Pass>(gate.Enter());
  ASSERT_TRUE(pass->granted());
  EXPECT_FALSE(gate.Drain(std::chrono::steady_clock::now()));
  EXPECT_FALSE(gate.Enter().granted());
  std::future<bool> drained = std::async(std::launch::async, [&gate] {
    return gate.Drain(std::chrono::steady_clock::now() + std::chrono::minutes(1));
  });
  pass.reset();
  EXPECT_TRUE(drained.get());
  EXPECT_EQ(gate.under_way(), 0u);
}

base::Task<void> AddOnPool(base::Executor& executor, int* sum, int value) {
  co_await executor.Schedule();
  *sum += value;
}

TEST(WhenAllTest, ContinuesWhenTheLastTaskHasEnded) {
  // One thread runs all the additions, so that they need no lock of their own.
  base::Executor executor(1, "test");
  for (int round = 0; round < 200; ++round) {
    int sum = 0;
    std::vector<base::Task<void>> tasks;
    for (int value = 1; value <= 10; ++value) {
      tasks.push_back(AddOnPool(executor, &sum, value));
    }
    auto run = [](std::vector<base::Task<void>> all, const int* result) -> base::Task<int> {
      auto waiting = WhenAll(std::move(all));
      co_await std::move(waiting);
      co_return *result;
    };
    EXPECT_EQ(Await(run(std::move(tasks), &sum)), 55);
  }
}

TEST(WhenAllTest, OfNothingContinuesAtOnce) {
  auto run = []() -> base::Task<int> {
    std::vector<base::Task<void>> none;
    auto waiting = WhenAll(std::move(none));
    co_await std::move(waiting);
    co_return 1;
  };
  EXPECT_EQ(Await(run()), 1);
}

}  // namespace
}  // namespace klatch
