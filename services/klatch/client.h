#pragma once
// The command's way to a Klatch server: one channel, calls with a deadline, bounded retries.
//
// Any number of threads may call at once. Where a retry helps (UNAVAILABLE, RESOURCE_EXHAUSTED) the
// same request is sent again, request_id and all, after the time that the server asks for or, where
// it names none, a growing pause; never past `timeout` counted from the first attempt.
//
//   KLATCH_ASSIGN_OR_RETURN(auto client, Client::Open(options));
//   KLATCH_RETURN_IF_ERROR(client->Connect());
//   auto response = client->Call(client->feed(), &v1::FeedService::Stub::PublishUpdate, request);

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "klatch/v1/admin_service.grpc.pb.h"
#include "klatch/v1/feed_service.grpc.pb.h"
#include "klatch/v1/group_service.grpc.pb.h"
#include "klatch/v1/import_service.grpc.pb.h"
#include "klatch/v1/person_service.grpc.pb.h"
#include "services/identity/client_access.h"

namespace klatch::cli {

struct ClientOptions {
  // "host:port" or "unix:/path/to/socket".
  std::string target = "127.0.0.1:7420";
  ClientAccess access = {};
  // For one call with all its retries, and for connecting.
  std::chrono::milliseconds timeout{10'000};
  // Before the first retry when the server names no time; doubles up to 20 times that.
  std::chrono::milliseconds first_pause{100};
  // Once true, nothing is tried again; null: never. Outlives the client.
  const std::atomic<bool>* interrupted = nullptr;
};

class Client {
 public:
  // INVALID_ARGUMENT, not unreachable, for files of `access` that can't be used.
  static absl::StatusOr<std::unique_ptr<Client>> Open(ClientOptions options);
  // Calls go to `channel`.
  Client(ClientOptions options, std::shared_ptr<grpc::Channel> channel);

  // Returns when the server answers at the connection's level. On failure an error for which
  // IsUnreachable holds, at once when the connection is refused.
  absl::Status Connect();

  v1::FeedService::Stub& feed() { return *feed_; }
  v1::GroupService::Stub& groups() { return *groups_; }
  v1::PersonService::Stub& persons() { return *persons_; }
  v1::ImportService::Stub& imports() { return *imports_; }
  v1::AdminService::Stub& admin() { return *admin_; }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    Response response;
    absl::Status status = CallWithRetries([&](grpc::ClientContext& context) {
      response.Clear();
      return (stub.*method)(&context, request, &response);
    });
    if (!status.ok()) {
      return status;
    }
    return response;
  }

  // The same for a call whose request is a stream; each attempt sends all of `parts`.
  template <typename Stub, typename Part, typename Response>
  absl::StatusOr<Response> Send(
      Stub& stub,
      std::unique_ptr<grpc::ClientWriter<Part>> (Stub::*method)(grpc::ClientContext*, Response*),
      const std::vector<Part>& parts) {
    Response response;
    absl::Status status = CallWithRetries([&](grpc::ClientContext& context) {
      response.Clear();
      const auto writer = (stub.*method)(&context, &response);
      // A part that can't be written has its reason in the status.
      static_cast<void>(
          std::ranges::all_of(parts, [&](const Part& part) { return writer->Write(part); }));
      writer->WritesDone();
      return writer->Finish();
    });
    if (!status.ok()) {
      return status;
    }
    return response;
  }

 private:
  absl::Status CallWithRetries(const std::function<grpc::Status(grpc::ClientContext&)>& attempt);
  absl::Status Unreachable(std::string_view why) const;
  // False if it is interrupted meanwhile.
  bool Pause(std::chrono::milliseconds wait) const;

  // Immutable after construction.
  const ClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::FeedService::Stub> feed_;
  const std::unique_ptr<v1::GroupService::Stub> groups_;
  const std::unique_ptr<v1::PersonService::Stub> persons_;
  const std::unique_ptr<v1::ImportService::Stub> imports_;
  const std::unique_ptr<v1::AdminService::Stub> admin_;
};

// A gRPC error with its rich details kept for DescribeError. REQUIRES: !status.ok().
absl::Status FromGrpc(const grpc::Status& status);

// No server answered, as opposed to one that answered with an error.
bool IsUnreachable(const absl::Status& status);

// For people: "INVALID_ARGUMENT: update.text is empty", then a line for each field at fault and for
// when to retry. No line feed at the end.
std::string DescribeError(const absl::Status& status);

// 128 random bits in hex: an idempotency key.
std::string NewRequestId();

}  // namespace klatch::cli
