#include "bench/versus/app.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bench/load/calls/client.h"
#include "common/base/hash.h"
#include "services/model/limits.h"

namespace klatch::versus {
namespace {

constexpr std::chrono::seconds kDeadline{60};
// Of a post that is refused for now.
constexpr int kTriesMax = 200;
constexpr std::chrono::milliseconds kRefusedPause{50};

template <typename Response, typename Request, typename Call>
absl::StatusOr<Response> Ask(const Request& request, std::string_view what, const Call& call) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  Response response;
  KLATCH_RETURN_IF_ERROR(StatusOf(call(&context, request, &response), what));
  return response;
}

}  // namespace

absl::Status StatusOf(const grpc::Status& status, std::string_view context) {
  return status.ok() ? absl::OkStatus()
                     : base::Error(static_cast<absl::StatusCode>(status.error_code()),
                                   fmt::format("{}: {}", context, status.error_message()));
}

App::App(const std::string& target) : run_(fmt::format("versus-{:016x}", base::RandomUint64())) {
  const auto channel = load::MakeChannel(target);
  feed_ = klatch::v1::FeedService::NewStub(channel);
  groups_ = klatch::v1::GroupService::NewStub(channel);
}

std::string App::NextRequestId() { return fmt::format("{}-{}", run_, ++requests_); }

absl::Status App::MakeGroup(const std::string& group, const std::vector<std::string>& members) {
  klatch::v1::CreateGroupRequest create;
  create.set_actor(members.front());
  create.set_request_id(NextRequestId());
  create.mutable_group()->set_id(group);
  create.mutable_group()->set_display_name(group);
  KLATCH_ASSIGN_OR_RETURN(
      const auto created,
      Ask<klatch::v1::CreateGroupResponse>(create, "creating " + group, [this](auto... arguments) {
        return groups_->CreateGroup(arguments...);
      }));
  tokens_.assign(created.tokens().begin(), created.tokens().end());
  for (size_t begin = 1; begin < members.size(); begin += limits::kMembersPerCallMax) {
    klatch::v1::AddMembersRequest add;
    add.set_actor(members.front());
    add.set_request_id(NextRequestId());
    add.set_group(group);
    const size_t end = std::min(members.size(), begin + limits::kMembersPerCallMax);
    for (size_t i = begin; i < end; ++i) {
      add.add_members()->set_person(members[i]);
    }
    KLATCH_ASSIGN_OR_RETURN(
        const auto added,
        Ask<klatch::v1::AddMembersResponse>(add, "adding to " + group, [this](auto... arguments) {
          return groups_->AddMembers(arguments...);
        }));
    tokens_.assign(added.tokens().begin(), added.tokens().end());
  }
  return absl::OkStatus();
}

absl::Status App::Post(const std::string& group, const std::string& author, const std::string& text,
                       int count) {
  for (int i = 0; i < count; ++i) {
    klatch::v1::PublishUpdateRequest post;
    post.set_actor(author);
    post.set_request_id(NextRequestId());
    post.mutable_update()->add_groups(group);
    post.mutable_update()->set_text(text);
    KLATCH_ASSIGN_OR_RETURN(const auto posted,
                            Ask<klatch::v1::PublishUpdateResponse>(
                                post, "posting to " + group, [this](auto... arguments) {
                                  return feed_->PublishUpdate(arguments...);
                                }));
    tokens_.assign(posted.tokens().begin(), posted.tokens().end());
  }
  return ReadHome(author, 1).status();
}

absl::Status App::PostToEach(const std::vector<GroupAndAuthor>& groups, const std::string& text) {
  klatch::v1::BatchPublishUpdatesRequest batch;
  for (const GroupAndAuthor& place : groups) {
    klatch::v1::PublishUpdateRequest& post = *batch.add_requests();
    post.set_actor(place.author);
    post.set_request_id(NextRequestId());
    post.mutable_update()->add_groups(place.group);
    post.mutable_update()->set_text(text);
  }
  for (int tries = 0; tries < kTriesMax; ++tries) {
    KLATCH_ASSIGN_OR_RETURN(const auto answer,
                            Ask<klatch::v1::BatchPublishUpdatesResponse>(
                                batch, "posting to many groups", [this](auto... arguments) {
                                  return feed_->BatchPublishUpdates(arguments...);
                                }));
    klatch::v1::BatchPublishUpdatesRequest refused;
    for (int i = 0; i < answer.results_size(); ++i) {
      const klatch::v1::BatchPublishResult& result = answer.results(i);
      if (result.has_published()) {
        tokens_.assign(result.published().tokens().begin(), result.published().tokens().end());
      } else if (result.error().code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
        *refused.add_requests() = batch.requests(i);
      } else {
        return base::Error(absl::StatusCode::kInternal, result.error().message());
      }
    }
    if (refused.requests_size() == 0) {
      return absl::OkStatus();
    }
    batch = std::move(refused);
    std::this_thread::sleep_for(kRefusedPause);
  }
  return base::Error(absl::StatusCode::kInternal, "posts are refused all the time");
}

absl::StatusOr<klatch::v1::ListHomeTimelineResponse> App::ReadHome(const std::string& person,
                                                                   int page_size) {
  klatch::v1::ListHomeTimelineRequest read;
  read.set_actor(person);
  read.set_page_size(page_size);
  for (const klatch::v1::Token& token : tokens_) {
    *read.add_tokens() = token;
  }
  return Ask<klatch::v1::ListHomeTimelineResponse>(
      read, "reading " + person,
      [this](auto... arguments) { return feed_->ListHomeTimeline(arguments...); });
}

}  // namespace klatch::versus
