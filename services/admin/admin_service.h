#pragma once
// AdminService over gRPC: each method is a line that hands the call to AdminCalls.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server; refers to the calls.

#include "klatch/v1/admin_service.grpc.pb.h"
#include "services/accept/call.h"
#include "services/admin/admin_calls.h"

namespace klatch {

// Every method raw (see accept/call.h), each layer adding one.
using RawAdminService = v1::AdminService::WithRawCallbackMethod_GetStatus<
    v1::AdminService::WithRawCallbackMethod_RebuildTimelines<
        v1::AdminService::WithRawCallbackMethod_ScrubTimelines<
            v1::AdminService::WithRawCallbackMethod_ReadLog<v1::AdminService::Service>>>>;

class AdminServiceImpl final : public RawAdminService {
 public:
  AdminServiceImpl(Calls& calls, AdminCalls& admin) : calls_(calls), admin_(admin) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &admin_, &AdminCalls::GetStatus);
  }
  grpc::ServerUnaryReactor* RebuildTimelines(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* in,
                                             grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &admin_, &AdminCalls::RebuildTimelines);
  }
  grpc::ServerUnaryReactor* ScrubTimelines(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* in,
                                           grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &admin_, &AdminCalls::ScrubTimelines);
  }
  grpc::ServerUnaryReactor* ReadLog(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &admin_, &AdminCalls::ReadLog);
  }

 private:
  Calls& calls_;
  AdminCalls& admin_;
};

}  // namespace klatch
