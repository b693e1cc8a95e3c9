#pragma once
// A klatchd and a table of calls that it must refuse: for tests of bad input over gRPC.
//
// Thread safety: one thread.

#include <google/protobuf/descriptor.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_contents.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {

struct Row {
  std::string name;
  grpc::StatusCode code;
  std::string field;
  std::function<grpc::Status()> call;
};

// A klatchd with a group "g" of "owner", "ann", "bob" and a moderator "mod", an update of "ann", a
// deleted group "gone", and a group "hidden" of "owner" alone with an update.
class KlatchdBadInputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    klatchd_ = std::make_unique<Klatchd>(
        Klatchd::Options{.arguments = {"--shards", "4", "--partitions", "4", "--workers", "1",
                                       "--http-listen", "127.0.0.1:0"}});
    Client client(klatchd_->Channel());
    for (const char* group : {"g", "gone", "hidden"}) {
      ASSERT_THAT(client.CreateGroup("owner", group), Succeeds());
    }
    ASSERT_THAT(client.Add("owner", "g", {"ann", "bob"}), Succeeds());
    ASSERT_THAT(client.Add("owner", "g", {"mod"}, v1::ROLE_MODERATOR), Succeeds());
    ASSERT_THAT(client.DeleteGroup("owner", "gone"), Succeeds());
    for (int i = 0; i < 3; ++i) {
      update_ = client.Publish("ann", "g", "hello")->update_id();
    }
    hidden_ = client.Publish("owner", "hidden", "psst")->update_id();
    ASSERT_NE(update_, 0u);
    ASSERT_NE(hidden_, 0u);
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    EXPECT_EQ(klatchd_->RedisProcess(), 0) << "its redis-server is still there";
    klatchd_.reset();
  }

  // Restarts klatchd, so that nothing of earlier calls waits to be written.
  void Settle() {
    ASSERT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    klatchd_->Start();
    ASSERT_TRUE(Eventually([this] { return client_.Get("bob", update_).ok(); }));
  }

  // Every row is refused as it says, and leaves Redis and the server as they were.
  void Check(const std::vector<Row>& rows) {
    ASSERT_NO_FATAL_FAILURE(Settle());
    auto redis = klatchd_->ConnectRedis();
    const Contents before = ContentsOf(*redis);
    for (const Row& row : rows) {
      const grpc::Status status = row.call();
      EXPECT_EQ(status.error_code(), row.code) << row.name << ": " << status.error_message();
      EXPECT_EQ(BadField(status), row.field) << row.name << ": " << status.error_message();
      // gRPC itself says no more of a method that it does not know.
      EXPECT_EQ(status.error_message().empty(), row.code == grpc::StatusCode::UNIMPLEMENTED)
          << row.name;
      EXPECT_LE(status.error_message().size(), 1'100u) << row.name;
      ASSERT_THAT(Differences(before, ContentsOf(*redis)), ::testing::IsEmpty()) << row.name;
    }
    ASSERT_TRUE(klatchd_->process().running());
    EXPECT_THAT(client_.Get("bob", update_), Succeeds());
  }

  template <typename Request, typename Response>
  std::function<grpc::Status()> Feed(grpc::Status (v1::FeedService::Stub::*method)(
                                         grpc::ClientContext*, const Request&, Response*),
                                     std::type_identity_t<Request> request) {
    return [=, this] { return client_.Feed(method, request).status; };
  }
  template <typename Request, typename Response>
  std::function<grpc::Status()> Groups(grpc::Status (v1::GroupService::Stub::*method)(
                                           grpc::ClientContext*, const Request&, Response*),
                                       std::type_identity_t<Request> request) {
    return [=, this] { return client_.Groups(method, request).status; };
  }

  template <typename Request, typename Response>
  std::function<grpc::Status()> Persons(grpc::Status (v1::PersonService::Stub::*method)(
                                            grpc::ClientContext*, const Request&, Response*),
                                        std::type_identity_t<Request> request) {
    return [=, this] { return client_.Persons(method, request).status; };
  }

  template <typename Request, typename Response>
  std::function<grpc::Status()> Admin(grpc::Status (v1::AdminService::Stub::*method)(
                                          grpc::ClientContext*, const Request&, Response*),
                                      std::type_identity_t<Request> request) {
    return [=, this] { return client_.Admin(method, request).status; };
  }

  // A good post of "ann" after `change`.
  std::function<grpc::Status()> Post(const std::function<void(v1::PublishUpdateRequest&)>& change) {
    v1::PublishUpdateRequest request = Client::Post("ann", "g", "hello");
    change(request);
    return Feed(&v1::FeedService::Stub::PublishUpdate, request);
  }
  std::function<grpc::Status()> PostUpdate(const std::function<void(v1::Update&)>& change) {
    return Post([&](auto& request) { change(*request.mutable_update()); });
  }
  std::function<grpc::Status()> EditUpdate(const std::function<void(v1::Update&)>& change) {
    v1::EditUpdateRequest request;
    request.set_actor("ann");
    request.set_update_id(update_);
    change(*request.mutable_update());
    return Feed(&v1::FeedService::Stub::EditUpdate, request);
  }

  static inline std::unique_ptr<Klatchd> klatchd_;
  static inline uint64_t update_ = 0;
  static inline uint64_t hidden_ = 0;
  Client client_{klatchd_->Channel()};
};

// The method that takes such a request.
inline std::string MethodOf(const google::protobuf::Message& request) {
  const std::string& name = request.GetDescriptor()->name();
  return name.substr(0, name.rfind("Request"));
}
// All of the service whose file this request is in: who has rows for each method compares with it, so
// that a new method without rows is noticed.
template <typename Request>
std::set<std::string> MethodsBeside() {
  const google::protobuf::ServiceDescriptor* service = Request::descriptor()->file()->service(0);
  std::set<std::string> names;
  for (int i = 0; i < service->method_count(); ++i) {
    names.insert(service->method(i)->name());
  }
  return names;
}

// Requests that are good but for the one id that is set last.
template <typename Request>
Request ByAnn() {
  Request request;
  request.set_actor("ann");
  return request;
}
template <typename Request>
Request ByAnnOfG() {
  auto request = ByAnn<Request>();
  request.set_group("g");
  return request;
}
template <typename Request>
Request ByOwnerKeyed() {
  Request request;
  request.set_actor("owner");
  request.set_request_id(Client::NewRequestId());
  return request;
}

inline v1::AddMembersRequest Adding(const std::string& person) {
  auto request = ByOwnerKeyed<v1::AddMembersRequest>();
  request.set_group("g");
  request.add_members()->set_person(person);
  return request;
}
inline v1::RemoveMembersRequest Removing(const std::string& person) {
  auto request = ByOwnerKeyed<v1::RemoveMembersRequest>();
  request.set_group("g");
  request.add_persons(person);
  return request;
}
inline v1::CreateGroupRequest Creating(const std::string& group) {
  auto request = ByOwnerKeyed<v1::CreateGroupRequest>();
  request.mutable_group()->set_id(group);
  return request;
}
inline v1::UpdateMemberRequest Promoting(const std::string& person, v1::Role role) {
  v1::UpdateMemberRequest request;
  request.set_actor("owner");
  request.set_group("g");
  request.mutable_member()->set_person(person);
  request.mutable_member()->set_role(role);
  return request;
}
inline v1::UpdateGroupRequest Renaming(const std::string& group) {
  v1::UpdateGroupRequest request;
  request.set_actor("owner");
  request.mutable_group()->set_id(group);
  request.mutable_group()->set_display_name("New");
  return request;
}

}  // namespace klatch::testing
