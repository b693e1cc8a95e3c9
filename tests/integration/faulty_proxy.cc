#include "tests/integration/faulty_proxy.h"

namespace klatch::testing {
namespace {

// Hands a call on, with its deadline.
template <typename Stub, typename Request, typename Response>
grpc::Status HandOn(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const grpc::ServerContext& from, const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(from.deadline());
  return (stub.*method)(&context, request, response);
}

}  // namespace

class FaultyProxy::Feed final : public v1::FeedService::Service {
 public:
  using Stub = v1::FeedService::Stub;

  Feed(const std::shared_ptr<grpc::Channel>& upstream, const Faults& faults, std::mutex& mutex)
      : stub_(v1::FeedService::NewStub(upstream)), faults_(faults), mutex_(mutex) {}

  grpc::Status PublishUpdate(grpc::ServerContext* context, const v1::PublishUpdateRequest* request,
                             v1::PublishUpdateResponse* response) override {
    v1::PublishUpdateRequest changed = *request;
    BeforePublish(changed);
    grpc::Status status = HandOn(*stub_, &Stub::PublishUpdate, *context, changed, response);
    if (faults_.publish) {
      const std::lock_guard lock(mutex_);
      faults_.publish(*request, status, *response);
    }
    return status;
  }

  grpc::Status BatchPublishUpdates(grpc::ServerContext* context,
                                   const v1::BatchPublishUpdatesRequest* request,
                                   v1::BatchPublishUpdatesResponse* response) override {
    v1::BatchPublishUpdatesRequest changed = *request;
    for (v1::PublishUpdateRequest& one : *changed.mutable_requests()) {
      BeforePublish(one);
    }
    grpc::Status status = HandOn(*stub_, &Stub::BatchPublishUpdates, *context, changed, response);
    if (status.ok() && faults_.batch_result) {
      const std::lock_guard lock(mutex_);
      for (int i = 0; i < response->results_size(); ++i) {
        faults_.batch_result(request->requests(i), *response->mutable_results(i));
      }
    }
    return status;
  }

  grpc::Status GetUpdate(grpc::ServerContext* context, const v1::GetUpdateRequest* request,
                         v1::GetUpdateResponse* response) override {
    grpc::Status status = HandOn(*stub_, &Stub::GetUpdate, *context, *request, response);
    Updates updates;
    if (status.ok()) {
      *updates.Add() = response->update();
    }
    AfterRead({.path = Path::kSingle,
               .actor = request->actor(),
               .subject = {},
               .update = request->update_id()},
              status, updates);
    if (status.ok() && !updates.empty()) {
      *response->mutable_update() = updates.Get(0);
    }
    return status;
  }

  grpc::Status EditUpdate(grpc::ServerContext* context, const v1::EditUpdateRequest* request,
                          v1::EditUpdateResponse* response) override {
    if (faults_.pretend_edit) {
      const std::lock_guard lock(mutex_);
      if (faults_.pretend_edit(*request)) {
        return grpc::Status::OK;
      }
    }
    return HandOn(*stub_, &Stub::EditUpdate, *context, *request, response);
  }

  grpc::Status DeleteUpdate(grpc::ServerContext* context, const v1::DeleteUpdateRequest* request,
                            v1::DeleteUpdateResponse* response) override {
    if (faults_.pretend_delete) {
      const std::lock_guard lock(mutex_);
      if (faults_.pretend_delete(*request)) {
        return grpc::Status::OK;
      }
    }
    return HandOn(*stub_, &Stub::DeleteUpdate, *context, *request, response);
  }

  grpc::Status ListHomeTimeline(grpc::ServerContext* context,
                                const v1::ListHomeTimelineRequest* request,
                                v1::ListHomeTimelineResponse* response) override {
    grpc::Status status = HandOn(*stub_, &Stub::ListHomeTimeline, *context, *request, response);
    AfterRead(CallOf(Path::kHome, *request, {}), status, *response->mutable_updates());
    return status;
  }

  grpc::Status ListGroupTimeline(grpc::ServerContext* context,
                                 const v1::ListGroupTimelineRequest* request,
                                 v1::ListGroupTimelineResponse* response) override {
    grpc::Status status = HandOn(*stub_, &Stub::ListGroupTimeline, *context, *request, response);
    AfterRead(CallOf(Path::kGroup, *request, request->group()), status,
              *response->mutable_updates());
    return status;
  }

  grpc::Status ListProfileTimeline(grpc::ServerContext* context,
                                   const v1::ListProfileTimelineRequest* request,
                                   v1::ListProfileTimelineResponse* response) override {
    grpc::Status status = HandOn(*stub_, &Stub::ListProfileTimeline, *context, *request, response);
    AfterRead(CallOf(Path::kProfile, *request, request->person()), status,
              *response->mutable_updates());
    return status;
  }

  grpc::Status WatchHomeTimeline(
      grpc::ServerContext* context, const v1::WatchHomeTimelineRequest* request,
      grpc::ServerWriter<v1::WatchHomeTimelineResponse>* writer) override {
    const auto upstream = grpc::ClientContext::FromServerContext(*context);
    auto reader = stub_->WatchHomeTimeline(upstream.get(), *request);
    v1::WatchHomeTimelineResponse message;
    while (reader->Read(&message)) {
      for (v1::WatchEvent& event : *message.mutable_events()) {
        event.add_persons(request->actor());
      }
      AfterWatched(*message.mutable_events());
      for (v1::WatchEvent& event : *message.mutable_events()) {
        event.clear_persons();
      }
      if (!writer->Write(message)) {
        upstream->TryCancel();
      }
    }
    return reader->Finish();
  }

  grpc::Status WatchHomeTimelines(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::WatchHomeTimelinesResponse, v1::WatchHomeTimelinesRequest>*
          stream) override {
    const auto upstream = grpc::ClientContext::FromServerContext(*context);
    auto watch = stub_->WatchHomeTimelines(upstream.get());
    v1::WatchHomeTimelinesRequest request;
    if (stream->Read(&request)) {
      watch->Write(request);
    }
    v1::WatchHomeTimelinesResponse message;
    while (watch->Read(&message)) {
      AfterWatched(*message.mutable_events());
      if (!stream->Write(message)) {
        upstream->TryCancel();
      }
    }
    return watch->Finish();
  }

 private:
  void AfterWatched(WatchEvents& events) const {
    if (faults_.watched) {
      const std::lock_guard lock(mutex_);
      faults_.watched(events);
    }
  }
  template <typename Request>
  static ReadCall CallOf(Path path, const Request& request, const std::string& subject) {
    return {.path = path,
            .actor = request.actor(),
            .subject = subject,
            .page_size = request.page_size(),
            .first_page = request.page_token().empty()};
  }
  void BeforePublish(v1::PublishUpdateRequest& request) const {
    if (faults_.before_publish) {
      const std::lock_guard lock(mutex_);
      faults_.before_publish(request);
    }
  }
  void AfterRead(const ReadCall& call, grpc::Status& status, Updates& updates) const {
    if (faults_.read) {
      const std::lock_guard lock(mutex_);
      faults_.read(call, status, updates);
    }
  }

  const std::unique_ptr<Stub> stub_;
  const Faults& faults_;
  std::mutex& mutex_;
};

class FaultyProxy::Groups final : public v1::GroupService::Service {
 public:
  using Stub = v1::GroupService::Stub;

  Groups(const std::shared_ptr<grpc::Channel>& upstream, const Faults& faults, std::mutex& mutex)
      : stub_(v1::GroupService::NewStub(upstream)), faults_(faults), mutex_(mutex) {}

  grpc::Status CreateGroup(grpc::ServerContext* context, const v1::CreateGroupRequest* request,
                           v1::CreateGroupResponse* response) override {
    return HandOn(*stub_, &Stub::CreateGroup, *context, *request, response);
  }
  grpc::Status GetGroup(grpc::ServerContext* context, const v1::GetGroupRequest* request,
                        v1::GetGroupResponse* response) override {
    return HandOn(*stub_, &Stub::GetGroup, *context, *request, response);
  }
  grpc::Status ListMembers(grpc::ServerContext* context, const v1::ListMembersRequest* request,
                           v1::ListMembersResponse* response) override {
    return HandOn(*stub_, &Stub::ListMembers, *context, *request, response);
  }
  grpc::Status AddMembers(grpc::ServerContext* context, const v1::AddMembersRequest* request,
                          v1::AddMembersResponse* response) override {
    if (faults_.added) {
      const std::lock_guard lock(mutex_);
      faults_.added(*request);
    }
    return HandOn(*stub_, &Stub::AddMembers, *context, *request, response);
  }
  grpc::Status RemoveMembers(grpc::ServerContext* context, const v1::RemoveMembersRequest* request,
                             v1::RemoveMembersResponse* response) override {
    grpc::Status status = HandOn(*stub_, &Stub::RemoveMembers, *context, *request, response);
    if (status.ok() && faults_.removed) {
      const std::lock_guard lock(mutex_);
      faults_.removed(*request);
    }
    return status;
  }

 private:
  const std::unique_ptr<Stub> stub_;
  const Faults& faults_;
  std::mutex& mutex_;
};

class FaultyProxy::Persons final : public v1::PersonService::Service {
 public:
  using Stub = v1::PersonService::Stub;

  Persons(const std::shared_ptr<grpc::Channel>& upstream, const Faults& faults, std::mutex& mutex)
      : stub_(v1::PersonService::NewStub(upstream)), faults_(faults), mutex_(mutex) {}

  grpc::Status BlockPerson(grpc::ServerContext* context, const v1::BlockPersonRequest* request,
                           v1::BlockPersonResponse* response) override {
    return Pretends(*request) ? grpc::Status::OK
                              : HandOn(*stub_, &Stub::BlockPerson, *context, *request, response);
  }
  grpc::Status MutePerson(grpc::ServerContext* context, const v1::MutePersonRequest* request,
                          v1::MutePersonResponse* response) override {
    return Pretends(*request) ? grpc::Status::OK
                              : HandOn(*stub_, &Stub::MutePerson, *context, *request, response);
  }
  grpc::Status MuteGroup(grpc::ServerContext* context, const v1::MuteGroupRequest* request,
                         v1::MuteGroupResponse* response) override {
    return Pretends(*request) ? grpc::Status::OK
                              : HandOn(*stub_, &Stub::MuteGroup, *context, *request, response);
  }
  grpc::Status HideUpdate(grpc::ServerContext* context, const v1::HideUpdateRequest* request,
                          v1::HideUpdateResponse* response) override {
    return Pretends(*request) ? grpc::Status::OK
                              : HandOn(*stub_, &Stub::HideUpdate, *context, *request, response);
  }
  grpc::Status UnblockPerson(grpc::ServerContext* context, const v1::UnblockPersonRequest* request,
                             v1::UnblockPersonResponse* response) override {
    return Pretends(*request) ? grpc::Status::OK
                              : HandOn(*stub_, &Stub::UnblockPerson, *context, *request, response);
  }
  grpc::Status UnmutePerson(grpc::ServerContext* context, const v1::UnmutePersonRequest* request,
                            v1::UnmutePersonResponse* response) override {
    return HandOn(*stub_, &Stub::UnmutePerson, *context, *request, response);
  }
  grpc::Status UnmuteGroup(grpc::ServerContext* context, const v1::UnmuteGroupRequest* request,
                           v1::UnmuteGroupResponse* response) override {
    return HandOn(*stub_, &Stub::UnmuteGroup, *context, *request, response);
  }
  grpc::Status UnhideUpdate(grpc::ServerContext* context, const v1::UnhideUpdateRequest* request,
                            v1::UnhideUpdateResponse* response) override {
    return HandOn(*stub_, &Stub::UnhideUpdate, *context, *request, response);
  }
  grpc::Status ListBlocks(grpc::ServerContext* context, const v1::ListBlocksRequest* request,
                          v1::ListBlocksResponse* response) override {
    return HandOn(*stub_, &Stub::ListBlocks, *context, *request, response);
  }
  grpc::Status ListMutes(grpc::ServerContext* context, const v1::ListMutesRequest* request,
                         v1::ListMutesResponse* response) override {
    return HandOn(*stub_, &Stub::ListMutes, *context, *request, response);
  }
  grpc::Status ListHidden(grpc::ServerContext* context, const v1::ListHiddenRequest* request,
                          v1::ListHiddenResponse* response) override {
    return HandOn(*stub_, &Stub::ListHidden, *context, *request, response);
  }

 private:
  bool Pretends(const google::protobuf::Message& request) const {
    const std::lock_guard lock(mutex_);
    return faults_.pretend_personal && faults_.pretend_personal(request);
  }

  const std::unique_ptr<Stub> stub_;
  const Faults& faults_;
  std::mutex& mutex_;
};

FaultyProxy::FaultyProxy(const std::shared_ptr<grpc::Channel>& upstream, const std::string& address,
                         Faults faults)
    : faults_(std::move(faults)),
      feed_(std::make_unique<Feed>(upstream, faults_, mutex_)),
      groups_(std::make_unique<Groups>(upstream, faults_, mutex_)),
      persons_(std::make_unique<Persons>(upstream, faults_, mutex_)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(feed_.get());
  builder.RegisterService(groups_.get());
  builder.RegisterService(persons_.get());
  server_ = builder.BuildAndStart();
}

FaultyProxy::~FaultyProxy() {
  if (server_ != nullptr) {
    server_->Shutdown();
  }
}

}  // namespace klatch::testing
