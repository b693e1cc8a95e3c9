#pragma once
// The calls of an open loop, each with its retries and what is to be taken down of it.
//
// Threads: the thread of the connection's completion queue, but for Begin.

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "bench/load/calls/retry.h"
#include "bench/load/cast/player.h"
#include "bench/load/plan/operation_mix.h"
#include "klatch/v1/feed_service.grpc.pb.h"

namespace klatch::load {

// What the calls of one connection share.
struct Connection {
  const Stage& stage;
  const Client::Options& client;
  klatch::v1::FeedService::Stub& feed;
  grpc::CompletionQueue& queue;
  History& history;
};

// A call under way. Its address is its tag in the queue, once per try and once per pause.
class OpenCall {
 public:
  using Moment = std::chrono::steady_clock::time_point;

  explicit OpenCall(const Connection& connection)
      : connection_(connection), retry_(connection.client, connection.stage.state) {}
  virtual ~OpenCall() = default;
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;

  void Begin();
  // The queue has returned it. True: it is over, and has been taken down.
  bool Advance();

 protected:
  // Sends one try; the queue returns `this` when it is answered.
  virtual void Send(grpc::ClientContext* context, grpc::Status* status) = 0;
  // What it has brought; the status to try again for, or OK.
  virtual grpc::Status Answered(const grpc::Status& status) = 0;
  // No more tries.
  virtual void End(const grpc::Status& last) = 0;

  // The last thing that Send does.
  template <typename Response>
  void Await(grpc::ClientAsyncResponseReader<Response>& reader, Response* response,
             grpc::Status* status) {
    handed_over_.store(true, std::memory_order_release);
    reader.Finish(response, status, this);
  }

  // An operation that was due then, and that the node had too much to do for.
  void TakeDownShed(Moment due) const;

  const Connection connection_;

 private:
  // The queue hands over what the sender wrote; the thread sanitizer doesn't see that inside gRPC.
  // Release and acquire, so that it is seen here.
  std::atomic<bool> handed_over_{false};
  Retry retry_;
  std::unique_ptr<grpc::ClientContext> context_;
  grpc::Status status_;
  grpc::Alarm pause_;
  bool pausing_ = false;
};

// `due` by post.
std::unique_ptr<OpenCall> MakePublishCall(const Connection& connection,
                                          std::vector<PlannedPost> posts,
                                          std::vector<OpenCall::Moment> due);

// The newest page of a home timeline, a profile or a group as somebody reads it who stays in their
// groups. The page is looked at: in order, nothing twice, and nothing of groups that the reader was
// never in.
struct PageOf {
  Operation operation = Operation::kHomePage;
  PersonNumber reader = kNobody;
  uint32_t subject = 0;  // author or group
};
std::unique_ptr<OpenCall> MakeReadCall(const Connection& connection, const PageOf& page,
                                       OpenCall::Moment due);

}  // namespace klatch::load
