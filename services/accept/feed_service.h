#pragma once
// FeedService over gRPC: each method is a line that hands the call to the write or the read side.
//
// Thread safety: gRPC calls it from its threads. Lifetime: outlives the server; refers to the
// sides.

#include "klatch/v1/feed_service.grpc.pb.h"
#include "services/accept/call.h"
#include "services/accept/feed_writes.h"
#include "services/live/watch_reactors.h"
#include "services/read/feed_reads.h"

namespace klatch {

// Every method raw (see call.h), each layer adding one.
using RawFeedService = v1::FeedService::WithRawCallbackMethod_PublishUpdate<
    v1::FeedService::WithRawCallbackMethod_BatchPublishUpdates<
        v1::FeedService::WithRawCallbackMethod_GetUpdate<
            v1::FeedService::WithRawCallbackMethod_EditUpdate<
                v1::FeedService::WithRawCallbackMethod_DeleteUpdate<
                    v1::FeedService::WithRawCallbackMethod_ListHomeTimeline<
                        v1::FeedService::WithRawCallbackMethod_ListGroupTimeline<
                            v1::FeedService::WithRawCallbackMethod_ListProfileTimeline<
                                v1::FeedService::WithRawCallbackMethod_WatchHomeTimeline<
                                    v1::FeedService::WithRawCallbackMethod_WatchHomeTimelines<
                                        v1::FeedService::Service>>>>>>>>>>;

class FeedServiceImpl final : public RawFeedService {
 public:
  FeedServiceImpl(Calls& calls, FeedWrites& writes, FeedReads& reads, WatchCalls& watches)
      : calls_(calls), writes_(writes), reads_(reads), watches_(watches) {}

  grpc::ServerUnaryReactor* PublishUpdate(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* in,
                                          grpc::ByteBuffer* out) override {
    return calls_.RunIf(writes_.Admit(), context, in, out, &writes_, &FeedWrites::Publish);
  }
  grpc::ServerUnaryReactor* BatchPublishUpdates(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* in,
                                                grpc::ByteBuffer* out) override {
    return calls_.RunIf(writes_.Admit(), context, in, out, &writes_, &FeedWrites::BatchPublish);
  }
  grpc::ServerUnaryReactor* EditUpdate(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &writes_, &FeedWrites::Edit);
  }
  grpc::ServerUnaryReactor* DeleteUpdate(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* in,
                                         grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &writes_, &FeedWrites::Delete);
  }
  grpc::ServerUnaryReactor* GetUpdate(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &reads_, &FeedReads::GetUpdate);
  }
  grpc::ServerUnaryReactor* ListHomeTimeline(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* in,
                                             grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &reads_, &FeedReads::ListHome);
  }
  grpc::ServerUnaryReactor* ListGroupTimeline(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* in,
                                              grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &reads_, &FeedReads::ListGroup);
  }
  grpc::ServerUnaryReactor* ListProfileTimeline(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* in,
                                                grpc::ByteBuffer* out) override {
    return calls_.Run(context, in, out, &reads_, &FeedReads::ListProfile);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchHomeTimeline(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* in) override {
    return watches_.Watch(context, in);
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchHomeTimelines(
      grpc::CallbackServerContext* context) override {
    return watches_.WatchMany(context);
  }

 private:
  Calls& calls_;
  FeedWrites& writes_;
  FeedReads& reads_;
  WatchCalls& watches_;
};

}  // namespace klatch
