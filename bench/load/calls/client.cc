#include "bench/load/calls/client.h"

#include <grpcpp/grpcpp.h>

#include <type_traits>

#include "bench/load/calls/retry.h"

namespace klatch::load {
namespace {

using klatch::v1::AddMembersRequest;
using klatch::v1::AddMembersResponse;
using klatch::v1::BatchPublishUpdatesResponse;
using klatch::v1::Completeness;
using klatch::v1::CreateGroupRequest;
using klatch::v1::CreateGroupResponse;
using klatch::v1::DeleteUpdateRequest;
using klatch::v1::DeleteUpdateResponse;
using klatch::v1::EditUpdateRequest;
using klatch::v1::EditUpdateResponse;
using klatch::v1::FeedService;
using klatch::v1::GetGroupRequest;
using klatch::v1::GetGroupResponse;
using klatch::v1::GetUpdateRequest;
using klatch::v1::GetUpdateResponse;
using klatch::v1::GroupService;
using klatch::v1::ListGroupTimelineRequest;
using klatch::v1::ListGroupTimelineResponse;
using klatch::v1::ListHomeTimelineRequest;
using klatch::v1::ListHomeTimelineResponse;
using klatch::v1::ListMembersRequest;
using klatch::v1::ListMembersResponse;
using klatch::v1::ListProfileTimelineRequest;
using klatch::v1::ListProfileTimelineResponse;
using klatch::v1::PublishUpdateRequest;
using klatch::v1::PublishUpdateResponse;
using klatch::v1::RemoveMembersRequest;
using klatch::v1::RemoveMembersResponse;
using klatch::v1::Token;
using klatch::v1::Update;

ClientAccess& AccessOfProcess() {
  static ClientAccess access;
  return access;
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // Without this, all channels of a process to one target share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A node that was killed is back within seconds; gRPC's own pauses grow to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // In spite of its name, what one attempt to connect is given: a node that has just started may
  // need a while for its first answer, and attempts that are given up make it no faster.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetMaxReceiveMessageSize(16 << 20);
  return arguments;
}

template <typename Request>
void SetTokens(Request& request, std::span<const Token> tokens) {
  for (const Token& token : tokens) {
    *request.add_tokens() = token;
  }
}

}  // namespace

absl::Status SetAccess(const ClientAccess& access) {
  KLATCH_RETURN_IF_ERROR(OpenChannel("unix:/nobody", access, Arguments()).status());
  AccessOfProcess() = access;
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target) {
  auto channel = OpenChannel(target, AccessOfProcess(), Arguments());
  // Files that could be read before and can't any more.
  return channel.ok()
             ? *channel
             : grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), Arguments());
}

void PauseOn(grpc::Channel& channel, std::chrono::milliseconds pause) {
  const auto end = std::chrono::system_clock::now() + pause;
  // Not a sleep: gRPC reads from connections only while some thread waits in it. While there is no
  // connection, calls fail at once; if everybody slept between them, the answer that makes a new
  // connection usable would lie unread until gRPC's own look, every 5 seconds.
  while (channel.WaitForStateChange(channel.GetState(/*try_to_connect=*/true), end)) {
  }
}

Client::Client(Options options, RunState& state)
    : options_(std::move(options)),
      state_(state),
      channel_(MakeChannel(options_.target)),
      feed_(FeedService::NewStub(channel_)),
      groups_(GroupService::NewStub(channel_)) {}

Client::~Client() = default;

bool Client::WaitConnected(std::chrono::milliseconds timeout) {
  // In short steps, so that an interrupt is noticed.
  auto end = std::chrono::steady_clock::now() + timeout;
  do {
    if (channel_->WaitForConnected(std::chrono::system_clock::now() +
                                   std::chrono::milliseconds(100))) {
      return true;
    }
  } while (std::chrono::steady_clock::now() < end && !state_.MustStop());
  return false;
}

template <typename Response, typename Call>
Outcome<Response> Client::Try(const Call& call) {
  Retry retry(options_, state_);
  Outcome<Response> outcome;
  do {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options_.call_deadline);
    outcome.response.Clear();
    outcome.status = call(&context, &outcome.response);
    ++outcome.tries;
  } while (retry.Again(outcome.status, [this](auto pause) { PauseOn(*channel_, pause); }));
  outcome.certainty = retry.CertaintyOf(outcome.status);
  return outcome;
}

void Client::NoteTokens(const google::protobuf::RepeatedPtrField<Token>& tokens) {
  for (const Token& token : tokens) {
    state_.watermarks.Raise(token.shard(), token.position());
  }
}

grpc::Status Client::PublishOnce(PublishBatch& batch) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + options_.call_deadline);
  if (options_.one_per_call && !batch.IsSingle()) {
    return PublishApart(batch);
  }
  if (batch.IsSingle()) {
    return feed_->PublishUpdate(&context, batch.single(), batch.single_answer());
  }
  return feed_->BatchPublishUpdates(&context, batch.NextRequest(), batch.answer());
}

grpc::Status Client::PublishApart(PublishBatch& batch) {
  struct Call {
    grpc::ClientContext context;
    PublishUpdateResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<PublishUpdateResponse>> reader;
  };
  const auto deadline = std::chrono::system_clock::now() + options_.call_deadline;
  std::vector<std::unique_ptr<Call>> calls(batch.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    calls[i] = std::make_unique<Call>();
    Call& call = *calls[i];
    call.context.set_deadline(deadline);
    call.reader = feed_->AsyncPublishUpdate(&call.context, batch.request(i), &apart_);
    call.reader->Finish(&call.response, &call.status, &call);
  }
  void* tag = nullptr;
  bool ok = false;
  for (size_t answered = 0; answered < calls.size() && apart_.Next(&tag, &ok); ++answered) {
  }
  BatchPublishUpdatesResponse& answer = *batch.answer();
  for (const std::unique_ptr<Call>& call : calls) {
    klatch::v1::BatchPublishResult& result = *answer.add_results();
    if (call->status.ok()) {
      *result.mutable_published() = std::move(call->response);
      continue;
    }
    // With the server's details, if there are any.
    google::rpc::Status& error = *result.mutable_error();
    if (!error.ParseFromString(call->status.error_details())) {
      error.Clear();
    }
    error.set_code(call->status.error_code());
    error.set_message(call->status.error_message());
  }
  return grpc::Status::OK;
}

std::vector<PublishOutcome> Client::Publish(const std::vector<PublishUpdateRequest>& requests) {
  PublishBatch batch(requests);
  Retry retry(options_, state_);
  grpc::Status worst;
  do {
    worst = batch.Take(PublishOnce(batch), state_);
  } while (retry.Again(worst, [this](auto pause) { PauseOn(*channel_, pause); }));
  return batch.TakeOutcomes();
}

Outcome<CreateGroupResponse> Client::CreateGroup(const CreateGroupRequest& request) {
  auto outcome = Try<CreateGroupResponse>([&](auto* context, auto* response) {
    return groups_->CreateGroup(context, request, response);
  });
  NoteTokens(outcome.response.tokens());
  return outcome;
}

Outcome<AddMembersResponse> Client::AddMembers(const AddMembersRequest& request) {
  auto outcome = Try<AddMembersResponse>([&](auto* context, auto* response) {
    return groups_->AddMembers(context, request, response);
  });
  NoteTokens(outcome.response.tokens());
  return outcome;
}

Outcome<RemoveMembersResponse> Client::RemoveMembers(const RemoveMembersRequest& request) {
  auto outcome = Try<RemoveMembersResponse>([&](auto* context, auto* response) {
    return groups_->RemoveMembers(context, request, response);
  });
  NoteTokens(outcome.response.tokens());
  return outcome;
}

Outcome<GetGroupResponse> Client::GetGroup(const GetGroupRequest& request) {
  return Try<GetGroupResponse>(
      [&](auto* context, auto* response) { return groups_->GetGroup(context, request, response); });
}

Outcome<ListMembersResponse> Client::ListMembers(const ListMembersRequest& request) {
  return Try<ListMembersResponse>([&](auto* context, auto* response) {
    return groups_->ListMembers(context, request, response);
  });
}

Outcome<GetUpdateResponse> Client::GetUpdate(const std::string& actor, uint64_t update_id,
                                             std::span<const Token> tokens) {
  GetUpdateRequest request;
  request.set_actor(actor);
  request.set_update_id(update_id);
  SetTokens(request, tokens);
  return Try<GetUpdateResponse>(
      [&](auto* context, auto* response) { return feed_->GetUpdate(context, request, response); });
}

Outcome<EditUpdateResponse> Client::EditUpdate(const EditUpdateRequest& request) {
  auto outcome = Try<EditUpdateResponse>(
      [&](auto* context, auto* response) { return feed_->EditUpdate(context, request, response); });
  NoteTokens(outcome.response.tokens());
  return outcome;
}

Outcome<DeleteUpdateResponse> Client::DeleteUpdate(const DeleteUpdateRequest& request) {
  auto outcome = Try<DeleteUpdateResponse>([&](auto* context, auto* response) {
    return feed_->DeleteUpdate(context, request, response);
  });
  if (outcome.tries > 1 && outcome.status.error_code() == grpc::StatusCode::NOT_FOUND) {
    outcome.certainty = Certainty::kDone;
  }
  NoteTokens(outcome.response.tokens());
  return outcome;
}

template <typename Response, typename Request, typename Call>
TimelineRead Client::ReadPages(Request request, std::span<const Token> tokens,
                               const ReadLimits& limits, const Call& call) {
  TimelineRead read;
  request.set_page_size(limits.page_size);
  SetTokens(request, tokens);
  for (int page = 0; page < limits.pages_max; ++page) {
    auto outcome = Try<Response>(
        [&](auto* context, auto* response) { return call(context, request, response); });
    read.status = outcome.status;
    if (!outcome.done()) {
      return read;
    }
    if constexpr (std::is_same_v<Response, ListHomeTimelineResponse>) {
      if (page == 0) {
        read.watch_token = outcome.response.watch_token();
      }
    }
    const Completeness& completeness = outcome.response.completeness();
    read.trimmed = read.trimmed || completeness.trimmed();
    if (completeness.hole_since() != 0) {
      read.hole_since = completeness.hole_since();
    }
    for (Update& update : *outcome.response.mutable_updates()) {
      read.updates.push_back(std::move(update));
    }
    bool far_enough = !read.updates.empty() && read.updates.back().id() < limits.down_to;
    if (outcome.response.next_page_token().empty() || far_enough) {
      return read;
    }
    read.endless = outcome.response.next_page_token() == request.page_token();
    if (read.endless) {
      return read;
    }
    request.set_page_token(outcome.response.next_page_token());
  }
  // Whoever asks for one page gets one; whoever asks for all must come to an end.
  read.endless = limits.pages_max > 1;
  return read;
}

TimelineRead Client::ReadHome(const std::string& actor, std::span<const Token> tokens,
                              const ReadLimits& limits) {
  ListHomeTimelineRequest request;
  request.set_actor(actor);
  return ReadPages<ListHomeTimelineResponse>(
      std::move(request), tokens, limits, [this](auto* context, const auto& page, auto* response) {
        return feed_->ListHomeTimeline(context, page, response);
      });
}

TimelineRead Client::ReadGroup(const std::string& actor, const std::string& group,
                               std::span<const Token> tokens, const ReadLimits& limits) {
  ListGroupTimelineRequest request;
  request.set_actor(actor);
  request.set_group(group);
  return ReadPages<ListGroupTimelineResponse>(
      std::move(request), tokens, limits, [this](auto* context, const auto& page, auto* response) {
        return feed_->ListGroupTimeline(context, page, response);
      });
}

TimelineRead Client::ReadProfile(const std::string& actor, const std::string& person,
                                 std::span<const Token> tokens, const ReadLimits& limits) {
  ListProfileTimelineRequest request;
  request.set_actor(actor);
  request.set_person(person);
  return ReadPages<ListProfileTimelineResponse>(
      std::move(request), tokens, limits, [this](auto* context, const auto& page, auto* response) {
        return feed_->ListProfileTimeline(context, page, response);
      });
}

}  // namespace klatch::load
