#pragma once
// PersonService over gRPC: each method is a line that hands the call to PersonCalls.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server; refers to the
// calls.

#include "klatch/v1/person_service.grpc.pb.h"
#include "services/accept/call.h"
#include "services/personal/person_calls.h"

namespace klatch {

// Every method raw (see accept/call.h), each layer adding one.
using RawPersonService = v1::PersonService::WithRawCallbackMethod_BlockPerson<
    v1::PersonService::WithRawCallbackMethod_UnblockPerson<
        v1::PersonService::WithRawCallbackMethod_ListBlocks<
            v1::PersonService::WithRawCallbackMethod_MutePerson<
                v1::PersonService::WithRawCallbackMethod_UnmutePerson<
                    v1::PersonService::WithRawCallbackMethod_MuteGroup<
                        v1::PersonService::WithRawCallbackMethod_UnmuteGroup<
                            v1::PersonService::WithRawCallbackMethod_ListMutes<
                                v1::PersonService::Service>>>>>>>>;
using RawPersonServiceWhole = v1::PersonService::WithRawCallbackMethod_HideUpdate<
    v1::PersonService::WithRawCallbackMethod_UnhideUpdate<
        v1::PersonService::WithRawCallbackMethod_ListHidden<
            v1::PersonService::WithRawCallbackMethod_SetReadMarker<
                v1::PersonService::WithRawCallbackMethod_GetReadMarkers<
                    v1::PersonService::WithRawCallbackMethod_GetUnreadCounts<
                        v1::PersonService::WithRawCallbackMethod_UpdateProfile<
                            v1::PersonService::WithRawCallbackMethod_GetProfile<
                                RawPersonService>>>>>>>>;

class PersonServiceImpl final : public RawPersonServiceWhole {
 public:
  PersonServiceImpl(Calls& calls, PersonCalls& persons) : calls_(calls), persons_(persons) {}

  grpc::ServerUnaryReactor* BlockPerson(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::BlockPerson);
  }
  grpc::ServerUnaryReactor* UnblockPerson(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* in,
                                          grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::UnblockPerson);
  }
  grpc::ServerUnaryReactor* ListBlocks(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::ListBlocks);
  }
  grpc::ServerUnaryReactor* MutePerson(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::MutePerson);
  }
  grpc::ServerUnaryReactor* UnmutePerson(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* in,
                                         grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::UnmutePerson);
  }
  grpc::ServerUnaryReactor* MuteGroup(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::MuteGroup);
  }
  grpc::ServerUnaryReactor* UnmuteGroup(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::UnmuteGroup);
  }
  grpc::ServerUnaryReactor* ListMutes(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::ListMutes);
  }
  grpc::ServerUnaryReactor* HideUpdate(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::HideUpdate);
  }
  grpc::ServerUnaryReactor* UnhideUpdate(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* in,
                                         grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::UnhideUpdate);
  }
  grpc::ServerUnaryReactor* ListHidden(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::ListHidden);
  }
  grpc::ServerUnaryReactor* SetReadMarker(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* in,
                                          grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::SetReadMarker);
  }
  grpc::ServerUnaryReactor* GetReadMarkers(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* in,
                                           grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::GetReadMarkers);
  }
  grpc::ServerUnaryReactor* GetUnreadCounts(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* in,
                                            grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::GetUnreadCounts);
  }
  grpc::ServerUnaryReactor* UpdateProfile(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* in,
                                          grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::UpdateProfile);
  }
  grpc::ServerUnaryReactor* GetProfile(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &persons_, &PersonCalls::GetProfile);
  }

 private:
  Calls& calls_;
  PersonCalls& persons_;
};

}  // namespace klatch
