#pragma once
// GroupService over gRPC: each method is a line that hands the call to GroupCalls.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server; refers to the
// calls.

#include "klatch/v1/group_service.grpc.pb.h"
#include "services/accept/call.h"
#include "services/groups/group_calls.h"

namespace klatch {

// Every method raw (see accept/call.h), each layer adding one.
using RawGroupService = v1::GroupService::WithRawCallbackMethod_CreateGroup<
    v1::GroupService::WithRawCallbackMethod_GetGroup<
        v1::GroupService::WithRawCallbackMethod_UpdateGroup<
            v1::GroupService::WithRawCallbackMethod_DeleteGroup<
                v1::GroupService::WithRawCallbackMethod_AddMembers<
                    v1::GroupService::WithRawCallbackMethod_RemoveMembers<
                        v1::GroupService::WithRawCallbackMethod_UpdateMember<
                            v1::GroupService::WithRawCallbackMethod_ListMembers<
                                v1::GroupService::WithRawCallbackMethod_ListPersonGroups<
                                    v1::GroupService::Service>>>>>>>>>;

class GroupServiceImpl final : public RawGroupService {
 public:
  GroupServiceImpl(Calls& calls, GroupCalls& groups) : calls_(calls), groups_(groups) {}

  grpc::ServerUnaryReactor* CreateGroup(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::CreateGroup);
  }
  grpc::ServerUnaryReactor* GetGroup(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::GetGroup);
  }
  grpc::ServerUnaryReactor* UpdateGroup(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::UpdateGroup);
  }
  grpc::ServerUnaryReactor* DeleteGroup(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::DeleteGroup);
  }
  grpc::ServerUnaryReactor* AddMembers(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::AddMembers);
  }
  grpc::ServerUnaryReactor* RemoveMembers(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* in,
                                          grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::RemoveMembers);
  }
  grpc::ServerUnaryReactor* UpdateMember(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* in,
                                         grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::UpdateMember);
  }
  grpc::ServerUnaryReactor* ListMembers(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::ListMembers);
  }
  grpc::ServerUnaryReactor* ListPersonGroups(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* in,
                                             grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::ListPersonGroups);
  }

 private:
  Calls& calls_;
  GroupCalls& groups_;
};

}  // namespace klatch
