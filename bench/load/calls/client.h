#pragma once
// One connection to Klatch with a caller's manners: a deadline on each call, retries with the same
// idempotency key where a retry can help, the server's retry hint honoured, and an honest word on
// how the call ended.
//
// Thread safety: one thread at a time. Connections of several clients are really several.
// Errors: an outcome is kDone, kRefused (it did not happen) or kUnknown (it may have; retries ran
// out). Bounds: a call is tried for retry_for, at least once; each try has call_deadline.

#include <grpcpp/completion_queue.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/load/calls/publish_batch.h"
#include "bench/load/calls/run_state.h"
#include "klatch/v1/feed_service.grpc.pb.h"
#include "klatch/v1/group_service.grpc.pb.h"
#include "services/identity/client_access.h"

namespace klatch::load {

template <typename Response>
struct Outcome {
  Certainty certainty = Certainty::kRefused;
  Response response;
  grpc::Status status;  // of the last try
  int tries = 0;

  bool done() const { return certainty == Certainty::kDone; }
};

// A timeline read to its end, or up to what was asked for.
struct TimelineRead {
  bool ok() const { return status.ok(); }

  std::vector<klatch::v1::Update> updates;
  bool trimmed = false;
  uint64_t hole_since = 0;
  // The server handed out the same page token twice, or more pages than any cap allows.
  bool endless = false;
  // Of a home timeline's first page.
  std::string watch_token;
  grpc::Status status;
};

// How the channels of this process show who they are; said once, before the first is made, since a process
// plays against one node. INVALID_ARGUMENT if no channel can be made with it.
absl::Status SetAccess(const ClientAccess& access);

// Our way to a node: a connection of its own, made again soon when it breaks.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target);

// Lets time pass while the connection, if it is lost, is made again.
void PauseOn(grpc::Channel& channel, std::chrono::milliseconds pause);

struct ReadLimits {
  int page_size = 200;
  // Stop behind this id: what is older is of no interest.
  uint64_t down_to = 0;
  int pages_max = 64;
};

class Client {
 public:
  struct Options {
    std::string target;  // host:port or unix:path
    std::chrono::milliseconds call_deadline{10'000};
    std::chrono::milliseconds retry_for{30'000};  // longer than a node needs to come back
    // What a node refuses as it has too much to do is not tried again.
    bool sheds = false;
    // Several posts go each in a call of its own, all under way together.
    bool one_per_call = false;
  };

  // `state` must outlive the client.
  Client(Options options, RunState& state);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // False if no connection comes about in time.
  bool WaitConnected(std::chrono::milliseconds timeout);

  // Each on its own, at most 100; outcomes in the order of the requests. One request goes as a
  // PublishUpdate, several as batches that shrink to what is still undecided, or as a
  // PublishUpdate each.
  std::vector<PublishOutcome> Publish(
      const std::vector<klatch::v1::PublishUpdateRequest>& requests);

  Outcome<klatch::v1::CreateGroupResponse> CreateGroup(
      const klatch::v1::CreateGroupRequest& request);
  Outcome<klatch::v1::AddMembersResponse> AddMembers(const klatch::v1::AddMembersRequest& request);
  Outcome<klatch::v1::RemoveMembersResponse> RemoveMembers(
      const klatch::v1::RemoveMembersRequest& request);
  Outcome<klatch::v1::GetGroupResponse> GetGroup(const klatch::v1::GetGroupRequest& request);
  Outcome<klatch::v1::ListMembersResponse> ListMembers(
      const klatch::v1::ListMembersRequest& request);
  Outcome<klatch::v1::GetUpdateResponse> GetUpdate(const std::string& actor, uint64_t update_id,
                                                   std::span<const klatch::v1::Token> tokens);
  Outcome<klatch::v1::EditUpdateResponse> EditUpdate(const klatch::v1::EditUpdateRequest& request);
  // Done also if an earlier try had deleted it.
  Outcome<klatch::v1::DeleteUpdateResponse> DeleteUpdate(
      const klatch::v1::DeleteUpdateRequest& request);

  TimelineRead ReadHome(const std::string& actor, std::span<const klatch::v1::Token> tokens,
                        const ReadLimits& limits);
  TimelineRead ReadGroup(const std::string& actor, const std::string& group,
                         std::span<const klatch::v1::Token> tokens, const ReadLimits& limits);
  TimelineRead ReadProfile(const std::string& actor, const std::string& person,
                           std::span<const klatch::v1::Token> tokens, const ReadLimits& limits);

 private:
  template <typename Response, typename Call>
  Outcome<Response> Try(const Call& call);
  template <typename Response, typename Request, typename Call>
  TimelineRead ReadPages(Request request, std::span<const klatch::v1::Token> tokens,
                         const ReadLimits& limits, const Call& call);
  void NoteTokens(const google::protobuf::RepeatedPtrField<klatch::v1::Token>& tokens);
  grpc::Status PublishOnce(PublishBatch& batch);
  grpc::Status PublishApart(PublishBatch& batch);

  const Options options_;
  RunState& state_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<klatch::v1::FeedService::Stub> feed_;
  std::unique_ptr<klatch::v1::GroupService::Stub> groups_;
  grpc::CompletionQueue apart_;  // of PublishApart; empty between its calls
};

}  // namespace klatch::load
