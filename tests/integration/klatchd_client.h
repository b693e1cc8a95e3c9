#pragma once
// A client of a klatchd for tests: calls over gRPC with short words around them.
//
//   auto posted = client.Publish("ann", "hiking", "up we go");
//   ASSERT_THAT(posted, Succeeds());
//   EXPECT_THAT(client.Home("bob", posted->tokens()).Texts(), ElementsAre("up we go"));
//
// Thread safety: any thread.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "klatch/v1/admin_service.grpc.pb.h"
#include "klatch/v1/feed_service.grpc.pb.h"
#include "klatch/v1/group_service.grpc.pb.h"
#include "klatch/v1/import_service.grpc.pb.h"
#include "klatch/v1/person_service.grpc.pb.h"

namespace klatch::testing {

constexpr std::chrono::seconds kCallDeadline{20};

using Tokens = google::protobuf::RepeatedPtrField<v1::Token>;

// The field that an error's BadRequest names; empty if it has none.
inline std::string BadField(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&bad_request) && bad_request.field_violations_size() == 1) {
      return bad_request.field_violations(0).field();
    }
  }
  return "";
}

inline std::string BadField(const grpc::Status& status) {
  google::rpc::Status details;
  return details.ParseFromString(status.error_details()) ? BadField(details) : "";
}

// How long the service asks to wait before a retry, if it does.
inline std::optional<std::chrono::nanoseconds> RetryDelay(const grpc::Status& status) {
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      google::rpc::RetryInfo info;
      if (detail.UnpackTo(&info)) {
        return std::chrono::seconds(info.retry_delay().seconds()) +
               std::chrono::nanoseconds(info.retry_delay().nanos());
      }
    }
  }
  return std::nullopt;
}

// What a call came back with. Looking into an answer that is an error fails the test: a read that
// failed would look like an empty page.
template <typename Response>
struct Answer {
  grpc::Status status;
  Response response;

  bool ok() const { return status.ok(); }
  const Response* operator->() const { return &**this; }
  const Response& operator*() const {
    if (!ok()) {
      ADD_FAILURE() << "the answer is an error: code " << status.error_code() << ", "
                    << status.error_message();
    }
    return response;
  }
};

template <typename Response>
void PrintTo(const Answer<Response>& answer, std::ostream* out) {
  *out << "code " << answer.status.error_code() << ", field \"" << BadField(answer.status) << "\", "
       << answer.status.error_message() << ", "
       << answer.response.ShortDebugString().substr(0, 500);
}

MATCHER(Succeeds, "") { return arg.ok(); }
// Matches an answer that failed with this code and names this field.
MATCHER_P2(Refuses, code, field, "") {
  return arg.status.error_code() == code && BadField(arg.status) == std::string(field);
}
MATCHER_P(RefusesWith, code, "") { return arg.status.error_code() == code; }

template <typename Page>
std::vector<std::string> TextsOf(const Page& page) {
  std::vector<std::string> texts;
  for (const v1::Update& update : page.updates()) {
    texts.push_back(update.text());
  }
  return texts;
}

class Client {
 public:
  explicit Client(const std::shared_ptr<grpc::Channel>& channel)
      : feed_(v1::FeedService::NewStub(channel)),
        groups_(v1::GroupService::NewStub(channel)),
        persons_(v1::PersonService::NewStub(channel)),
        imports_(v1::ImportService::NewStub(channel)),
        admin_(v1::AdminService::NewStub(channel)) {}

  template <typename Request, typename Response>
  Answer<Response> Feed(grpc::Status (v1::FeedService::Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                        const std::type_identity_t<Request>& request) {
    return Call(*feed_, method, request);
  }
  template <typename Request, typename Response>
  Answer<Response> Groups(grpc::Status (v1::GroupService::Stub::*method)(grpc::ClientContext*,
                                                                         const Request&, Response*),
                          const std::type_identity_t<Request>& request) {
    return Call(*groups_, method, request);
  }
  template <typename Request, typename Response>
  Answer<Response> Persons(grpc::Status (v1::PersonService::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                           const std::type_identity_t<Request>& request) {
    return Call(*persons_, method, request);
  }
  template <typename Request, typename Response>
  Answer<Response> Imports(grpc::Status (v1::ImportService::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                           const std::type_identity_t<Request>& request) {
    return Call(*imports_, method, request);
  }
  template <typename Request, typename Response>
  Answer<Response> Admin(grpc::Status (v1::AdminService::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                         const std::type_identity_t<Request>& request) {
    return Call(*admin_, method, request);
  }
  v1::FeedService::Stub& feed() { return *feed_; }
  v1::ImportService::Stub& imports() { return *imports_; }

  // A request id that this process has not used yet.
  static std::string NewRequestId() {
    static std::atomic<int> count{0};
    return "request-" + std::to_string(count.fetch_add(1, std::memory_order_relaxed));
  }

  Answer<v1::CreateGroupResponse> CreateGroup(
      const std::string& actor, const std::string& group, v1::History history = v1::HISTORY_NONE,
      v1::Audience audience = v1::AUDIENCE_MEMBERS_AT_POSTING) {
    v1::CreateGroupRequest request;
    request.set_actor(actor);
    request.set_request_id(NewRequestId());
    request.mutable_group()->set_id(group);
    request.mutable_group()->set_history(history);
    request.mutable_group()->set_default_audience(audience);
    return Groups(&v1::GroupService::Stub::CreateGroup, request);
  }

  Answer<v1::AddMembersResponse> Add(const std::string& actor, const std::string& group,
                                     const std::vector<std::string>& persons,
                                     v1::Role role = v1::ROLE_MEMBER) {
    v1::AddMembersRequest request;
    request.set_actor(actor);
    request.set_request_id(NewRequestId());
    request.set_group(group);
    for (const std::string& person : persons) {
      v1::Member* member = request.add_members();
      member->set_person(person);
      member->set_role(role);
    }
    return Groups(&v1::GroupService::Stub::AddMembers, request);
  }
  // As Add, and has been applied when it returns: a watch that begins then does not show it.
  Answer<v1::AddMembersResponse> AddApplied(const std::string& actor, const std::string& group,
                                            const std::vector<std::string>& persons) {
    Answer<v1::AddMembersResponse> added = Add(actor, group, persons);
    if (added.ok()) {
      EXPECT_TRUE(Home(persons.front(), added->tokens()).ok());
    }
    return added;
  }

  Answer<v1::RemoveMembersResponse> Remove(const std::string& actor, const std::string& group,
                                           const std::vector<std::string>& persons) {
    v1::RemoveMembersRequest request;
    request.set_actor(actor);
    request.set_request_id(NewRequestId());
    request.set_group(group);
    for (const std::string& person : persons) {
      request.add_persons(person);
    }
    return Groups(&v1::GroupService::Stub::RemoveMembers, request);
  }

  Answer<v1::DeleteGroupResponse> DeleteGroup(const std::string& actor, const std::string& group) {
    v1::DeleteGroupRequest request;
    request.set_actor(actor);
    request.set_group(group);
    return Groups(&v1::GroupService::Stub::DeleteGroup, request);
  }

  static v1::PublishUpdateRequest Post(const std::string& actor, const std::string& group,
                                       const std::string& text) {
    v1::PublishUpdateRequest request;
    request.set_actor(actor);
    request.set_request_id(NewRequestId());
    request.mutable_update()->add_groups(group);
    request.mutable_update()->set_text(text);
    return request;
  }

  Answer<v1::PublishUpdateResponse> Publish(const v1::PublishUpdateRequest& request) {
    return Feed(&v1::FeedService::Stub::PublishUpdate, request);
  }
  Answer<v1::PublishUpdateResponse> Publish(const std::string& actor, const std::string& group,
                                            const std::string& text) {
    return Publish(Post(actor, group, text));
  }

  Answer<v1::GetUpdateResponse> Get(const std::string& actor, uint64_t update,
                                    const Tokens& tokens = {}) {
    v1::GetUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(update);
    *request.mutable_tokens() = tokens;
    return Feed(&v1::FeedService::Stub::GetUpdate, request);
  }

  Answer<v1::EditUpdateResponse> Edit(const std::string& actor, uint64_t update,
                                      const std::string& text) {
    v1::EditUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(update);
    request.mutable_update()->set_text(text);
    return Feed(&v1::FeedService::Stub::EditUpdate, request);
  }

  Answer<v1::DeleteUpdateResponse> Delete(const std::string& actor, uint64_t update) {
    v1::DeleteUpdateRequest request;
    request.set_actor(actor);
    request.set_update_id(update);
    return Feed(&v1::FeedService::Stub::DeleteUpdate, request);
  }

  Answer<v1::ListHomeTimelineResponse> Home(const std::string& actor, const Tokens& tokens = {},
                                            int page_size = 200, const std::string& token = "") {
    v1::ListHomeTimelineRequest request;
    request.set_actor(actor);
    request.set_page_size(page_size);
    request.set_page_token(token);
    *request.mutable_tokens() = tokens;
    return Feed(&v1::FeedService::Stub::ListHomeTimeline, request);
  }

  Answer<v1::ListGroupTimelineResponse> GroupPage(const std::string& actor,
                                                  const std::string& group,
                                                  const Tokens& tokens = {}, int page_size = 200,
                                                  const std::string& token = "") {
    v1::ListGroupTimelineRequest request;
    request.set_actor(actor);
    request.set_group(group);
    request.set_page_size(page_size);
    request.set_page_token(token);
    *request.mutable_tokens() = tokens;
    return Feed(&v1::FeedService::Stub::ListGroupTimeline, request);
  }

  Answer<v1::ListProfileTimelineResponse> Profile(const std::string& actor,
                                                  const std::string& person,
                                                  const Tokens& tokens = {}, int page_size = 200,
                                                  const std::string& token = "") {
    v1::ListProfileTimelineRequest request;
    request.set_actor(actor);
    request.set_person(person);
    request.set_page_size(page_size);
    request.set_page_token(token);
    *request.mutable_tokens() = tokens;
    return Feed(&v1::FeedService::Stub::ListProfileTimeline, request);
  }

 private:
  template <typename Stub, typename Request, typename Response>
  static Answer<Response> Call(Stub& stub,
                               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                               const Request& request) {
    const auto deadline = std::chrono::system_clock::now() + kCallDeadline;
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(deadline);
      Answer<Response> answer;
      answer.status = (stub.*method)(&context, request, &answer.response);
      // An honest client waits as it is asked to when the service is behind.
      const auto delay = RetryDelay(answer.status);
      if (answer.status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED || !delay) {
        return answer;
      }
      std::this_thread::sleep_for(*delay);
    }
  }

  const std::unique_ptr<v1::FeedService::Stub> feed_;
  const std::unique_ptr<v1::GroupService::Stub> groups_;
  const std::unique_ptr<v1::PersonService::Stub> persons_;
  const std::unique_ptr<v1::ImportService::Stub> imports_;
  const std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace klatch::testing
