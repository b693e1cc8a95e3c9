#pragma once
// A Klatch with one fault: a gRPC server that hands every call on to a real klatchd and may change
// what comes back, to see whether whoever watches notices.
//
//   Faults faults;
//   faults.publish = [](const auto& request, grpc::Status& status, auto& response) { … };
//   FaultyProxy proxy(klatchd.Channel(), "unix:/tmp/x/proxy.sock", std::move(faults));
//
// Of a gateway's stream the first request is handed on, and no other.
//
// Thread safety: hooks run on gRPC's threads, one at a time.

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "klatch/v1/feed_service.grpc.pb.h"
#include "klatch/v1/group_service.grpc.pb.h"
#include "klatch/v1/person_service.grpc.pb.h"

namespace klatch::testing {

enum class Path { kHome, kGroup, kProfile, kSingle };

// A read: of a page, or of one update.
struct ReadCall {
  Path path = Path::kHome;
  std::string actor;
  std::string subject;  // the group or the author
  uint64_t update = 0;
  int page_size = 0;
  bool first_page = true;
};

using WatchEvents = google::protobuf::RepeatedPtrField<v1::WatchEvent>;
using Updates = google::protobuf::RepeatedPtrField<v1::Update>;

struct Faults {
  // After a page, or a single update (then none or one), was read.
  std::function<void(const ReadCall&, grpc::Status&, Updates&)> read;
  // Before a post is handed on, also one of a batch.
  std::function<void(v1::PublishUpdateRequest&)> before_publish;
  // After a post that was not sent in a batch of several.
  std::function<void(const v1::PublishUpdateRequest&, grpc::Status&, v1::PublishUpdateResponse&)>
      publish;
  // Each answer of a batch.
  std::function<void(const v1::PublishUpdateRequest&, v1::BatchPublishResult&)> batch_result;
  std::function<void(const v1::RemoveMembersRequest&)> removed;
  std::function<void(const v1::AddMembersRequest&)> added;
  // Say true to answer OK without doing it.
  std::function<bool(const v1::EditUpdateRequest&)> pretend_edit;
  std::function<bool(const v1::DeleteUpdateRequest&)> pretend_delete;
  // The events of one message of a watch; of one person's with that person in each.
  std::function<void(WatchEvents&)> watched;
  // Of blocks, mutes and hidden updates: say true to answer OK without doing it.
  std::function<bool(const google::protobuf::Message&)> pretend_personal;
};

class FaultyProxy {
 public:
  FaultyProxy(const std::shared_ptr<grpc::Channel>& upstream, const std::string& address,
              Faults faults);
  ~FaultyProxy();
  FaultyProxy(const FaultyProxy&) = delete;
  FaultyProxy& operator=(const FaultyProxy&) = delete;

 private:
  class Feed;
  class Groups;
  class Persons;

  Faults faults_;
  std::mutex mutex_;
  std::unique_ptr<Feed> feed_;
  std::unique_ptr<Groups> groups_;
  std::unique_ptr<Persons> persons_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace klatch::testing
