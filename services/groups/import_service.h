#pragma once
// ImportService over gRPC: each method is a line that hands the call to who writes updates or keeps
// groups.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server; refers to the calls.

#include "klatch/v1/import_service.grpc.pb.h"
#include "services/accept/call.h"
#include "services/accept/feed_writes.h"
#include "services/groups/group_calls.h"
#include "services/groups/sync_reactor.h"

namespace klatch {

// Every method raw (see accept/call.h), each layer adding one.
using RawImportService = v1::ImportService::WithRawCallbackMethod_ImportUpdates<
    v1::ImportService::WithRawCallbackMethod_SyncMembers<
        v1::ImportService::WithRawCallbackMethod_SyncManyMembers<v1::ImportService::Service>>>;

class ImportServiceImpl final : public RawImportService {
 public:
  ImportServiceImpl(Calls& calls, FeedWrites& writes, GroupCalls& groups, SyncCalls& syncs)
      : calls_(calls), writes_(writes), groups_(groups), syncs_(syncs) {}

  grpc::ServerUnaryReactor* ImportUpdates(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* in,
                                          grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &writes_, &FeedWrites::Import);
  }
  grpc::ServerUnaryReactor* SyncMembers(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &groups_, &GroupCalls::SyncMembers);
  }
  grpc::ServerReadReactor<grpc::ByteBuffer>* SyncManyMembers(grpc::CallbackServerContext* context,
                                                             grpc::ByteBuffer* out) override {
    return syncs_.SyncMany(context, out);
  }

 private:
  Calls& calls_;
  FeedWrites& writes_;
  GroupCalls& groups_;
  SyncCalls& syncs_;
};

}  // namespace klatch
