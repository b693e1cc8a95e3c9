#include "bench/versus/peer_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <thread>

#include "klatch/v1/feed_service.grpc.pb.h"

namespace klatch::versus {
namespace {

using klatch::v1::FeedService;
using klatch::v1::ListHomeTimelineRequest;
using klatch::v1::ListHomeTimelineResponse;

constexpr std::chrono::milliseconds kLook{50};

class EmptyService final : public FeedService::CallbackService {
 public:
  grpc::ServerUnaryReactor* PublishUpdate(grpc::CallbackServerContext* context,
                                          const klatch::v1::PublishUpdateRequest*,
                                          klatch::v1::PublishUpdateResponse*) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// Raw, so that the message is serialised as it stands, without a copy for each call.
class PageService final
    : public FeedService::WithRawCallbackMethod_ListHomeTimeline<FeedService::Service> {
 public:
  explicit PageService(ListHomeTimelineResponse page) : page_(std::move(page)) {}

  grpc::ServerUnaryReactor* ListHomeTimeline(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* raw,
                                             grpc::ByteBuffer* answer) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    grpc::ByteBuffer buffer(*raw);
    ListHomeTimelineRequest request;
    grpc::Status status =
        grpc::SerializationTraits<ListHomeTimelineRequest>::Deserialize(&buffer, &request);
    if (status.ok()) {
      bool owned = false;
      status =
          grpc::SerializationTraits<ListHomeTimelineResponse>::Serialize(page_, answer, &owned);
    }
    reactor->Finish(status);
    return reactor;
  }

 private:
  const ListHomeTimelineResponse page_;
};

absl::StatusOr<std::unique_ptr<grpc::Service>> MakeService(const std::string& what) {
  if (what == kServeEmpty) {
    return std::make_unique<EmptyService>();
  }
  ListHomeTimelineResponse page;
  const std::string_view prefix = kServePage;
  if (what.starts_with(prefix)) {
    std::ifstream file(what.substr(prefix.size()), std::ios::binary);
    if (file && page.ParseFromIstream(&file)) {
      return std::make_unique<PageService>(std::move(page));
    }
  }
  return base::Error(absl::StatusCode::kInvalidArgument,
                     fmt::format("--serve is \"{}\": wants {}, or {} and a file with a page", what,
                                 kServeEmpty, kServePage));
}

}  // namespace

absl::Status ServePeer(const std::string& what, const std::string& listen,
                       const std::atomic<bool>& interrupted) {
  KLATCH_ASSIGN_OR_RETURN(const std::unique_ptr<grpc::Service> service, MakeService(what));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials());
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return base::Error(absl::StatusCode::kUnavailable, fmt::format("cannot listen on {}", listen));
  }
  while (!interrupted.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(kLook);
  }
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  return absl::OkStatus();
}

}  // namespace klatch::versus
