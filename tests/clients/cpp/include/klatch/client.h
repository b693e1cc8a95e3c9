#pragma once
// A thin client of Klatch: retries, reads that see one's writes, and pages, on top of the stubs.
//
//   klatch::Client client("127.0.0.1:7420");
//   klatch::Person alice(client, "alice");
//   klatch::v1::PublishUpdateRequest request;
//   request.mutable_update()->add_groups("club");
//   request.mutable_update()->set_text("Knights at eight?");
//   auto posted = alice.Call(&klatch::v1::FeedService::Stub::PublishUpdate, request);
//   if (!posted.ok()) std::cerr << posted.error().text() << "\n";
//
// Thread safety: any number may use a Client and its Persons. Lifetime: a Client outlives its
// Persons. Calls block, each at most for its timeout; nothing runs on between them. C++17.

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/message.h>
#include <google/protobuf/reflection.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "klatch/v1/feed_service.grpc.pb.h"
#include "klatch/v1/group_service.grpc.pb.h"

namespace klatch {

using std::chrono::milliseconds;

// The server waits no longer for one try, and takes no more tokens.
constexpr milliseconds kTryMax{10'000};
constexpr size_t kTokensMax = 128;
// Before the second try, where the server names no time; doubles up to the maximum.
constexpr milliseconds kPauseFirst{100};
constexpr milliseconds kPauseMax{2'000};

// Why a call failed, after all its tries.
struct Error {
  using Code = grpc::StatusCode;

  Error() = default;
  Error(const grpc::Status& status, int try_number, const Error& previous)
      : code(status.error_code()), message(status.error_message()), tries(try_number) {
    google::rpc::Status details;
    details.ParseFromString(status.error_details());
    for (const auto& detail : details.details()) {
      Read(detail);
    }
    unknown = previous.unknown || (Is({Code::UNAVAILABLE, Code::DEADLINE_EXCEEDED, Code::INTERNAL,
                                       Code::DATA_LOSS, Code::UNKNOWN, Code::CANCELLED}) &&
                                   reason != "NOT_SENT");
    text = absl::StrCat(code_name(), ": ", message);
    if (tries > 1) {
      absl::StrAppend(&text, " (try ", tries, ", after ", previous.code_name(), ": ",
                      previous.message, ")");
    }
  }

  Code code = Code::OK;
  std::string message;
  // The two and the failure before, for people.
  std::string text;
  // Of google.rpc.ErrorInfo, or empty.
  std::string reason;
  // Of the request: which one is wrong how.
  std::map<std::string, std::string> fields;
  // If the server names a time.
  std::optional<milliseconds> retry_after;
  int tries = 0;
  // The call may have had its effect all the same; then repeat it with the same request_id.
  bool unknown = false;

  std::string code_name() const {
    return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  }

  // Until the next try; nothing if none would help. Random, so that clients spread.
  std::optional<milliseconds> Pause(milliseconds growing) const {
    thread_local std::mt19937_64 random{std::random_device{}()};
    const auto part = milliseconds(random() % (growing.count() / 2 + 1));
    if (retry_after) {
      return *retry_after + part;
    }
    // OK and CANCELLED are the ends of a watch's stream; a call doesn't fail with them by itself.
    const bool again = Is({Code::UNAVAILABLE, Code::DEADLINE_EXCEEDED, Code::OK, Code::CANCELLED});
    return again ? std::optional(growing / 2 + part) : std::nullopt;
  }

 private:
  bool Is(std::set<Code> codes) const { return codes.count(code) != 0; }

  void Read(const google::protobuf::Any& detail) {
    google::rpc::BadRequest bad_request;
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&bad_request)) {
      for (const auto& violation : bad_request.field_violations()) {
        fields[violation.field()] = violation.description();
      }
    } else if (detail.UnpackTo(&info)) {
      reason = info.reason();
    } else if (detail.UnpackTo(&retry)) {
      const auto& delay = retry.retry_delay();
      retry_after = milliseconds(delay.seconds() * 1'000 + (delay.nanos() + 999'999) / 1'000'000);
    }
  }
};

// A response if ok(), else why there is none.
template <typename Response>
class [[nodiscard]] Result {
 public:
  Result(Response response) : response_(std::move(response)) {}
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return response_.has_value(); }
  const Error& error() const { return error_; }
  const Response& operator*() const { return *response_; }
  const Response* operator->() const { return &*response_; }

 private:
  std::optional<Response> response_;
  Error error_;
};

// A method of a generated stub, such as &v1::FeedService::Stub::PublishUpdate.
template <typename Stub, typename Request, typename Response>
using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

// An empty name_space is the server's first; the timeout is a call's with all its tries.
struct ClientOptions {
  std::string name_space = "";
  milliseconds timeout{10'000};
};

class Client {
 public:
  explicit Client(const std::string& target, ClientOptions settings = {})
      : Client(NewChannel(target), std::move(settings)) {}
  explicit Client(std::shared_ptr<grpc::Channel> way, ClientOptions settings = {})
      : channel(std::move(way)), options(std::move(settings)) {}

  // Sends a whole request as it is, as often as it helps within the time.
  template <typename Stub, typename Request, typename Response>
  Result<Response> Call(Method<Stub, Request, Response> method, const Request& request,
                        milliseconds time) const {
    using Clock = std::chrono::system_clock;
    const auto deadline = Clock::now() + time;
    Stub stub(channel);
    Error failed;
    for (milliseconds growing = kPauseFirst;; growing = std::min(growing * 2, kPauseMax)) {
      grpc::ClientContext context;
      context.set_deadline(std::min(deadline, Clock::now() + kTryMax));
      // A lost connection is made again only while somebody waits for it.
      context.set_wait_for_ready(failed.tries > 0);
      Response response;
      const grpc::Status status = (stub.*method)(&context, request, &response);
      if (status.ok()) {
        return response;
      }
      failed = Error(status, failed.tries + 1, failed);
      const auto pause = failed.Pause(growing);
      if (!pause || Clock::now() + *pause >= deadline) {
        return failed;
      }
      std::this_thread::sleep_for(*pause);
    }
  }

  const std::shared_ptr<grpc::Channel> channel;
  const ClientOptions options;

 private:
  static std::shared_ptr<grpc::Channel> NewChannel(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
};

// One who acts. Keeps the tokens of what was written through it, of each shard the highest, and
// sends them with its reads, which see it. tokens() and See() hand them on to another Person.
class Person {
 public:
  Person(const Client& way, std::string name) : client(way), actor(std::move(name)) {}

  // Fills in what is empty of namespace, actor and request_id, and the tokens.
  template <typename Stub, typename Request, typename Response>
  Result<Response> Call(Method<Stub, Request, Response> method, Request request,
                        std::optional<milliseconds> timeout = std::nullopt) {
    FillIn(request);
    auto result = client.Call(method, request, timeout.value_or(client.options.timeout));
    if (result.ok()) {
      SeeTokensOf(*result);
    }
    return result;
  }

  // Hands the pages of a List call to `take`, which says whether it wants another.
  template <typename Stub, typename Request, typename Response, typename Take>
  Result<Response> CallPages(Method<Stub, Request, Response> method, Request request, Take take) {
    while (true) {
      auto page = Call(method, request);
      if (!page.ok() || !take(*page) || page->next_page_token().empty()) {
        return page;
      }
      request.set_page_token(page->next_page_token());
    }
  }

  // From now on reads see what these tokens stand for, too.
  template <typename Tokens>
  void See(const Tokens& tokens) {
    const std::lock_guard lock(mutex_);
    for (const v1::Token& token : tokens) {
      uint64_t& position = positions_[token.shard()];
      position = std::max<uint64_t>(position, token.position());
    }
    while (positions_.size() > kTokensMax) {  // What is oldest has been applied long since.
      positions_.erase(std::min_element(positions_.begin(), positions_.end(),
                                        [](auto& a, auto& b) { return a.second < b.second; }));
    }
  }

  std::vector<v1::Token> tokens() const {
    const std::lock_guard lock(mutex_);
    std::vector<v1::Token> all;
    for (const auto& [shard, position] : positions_) {
      all.emplace_back().set_shard(shard);
      all.back().set_position(position);
    }
    return all;
  }

  void FillIn(google::protobuf::Message& request) {
    const auto& reflection = *request.GetReflection();
    const auto& type = *request.GetDescriptor();
    const auto fill = [&](const char* name, const std::string& value) {
      const auto* field = type.FindFieldByName(name);
      if (field != nullptr && reflection.GetString(request, field).empty()) {
        reflection.SetString(&request, field, value);
      }
    };
    fill("namespace", client.options.name_space);
    fill("actor", actor);
    fill("request_id", NewRequestId());
    if (const auto* field = type.FindFieldByName("tokens")) {
      SeeTokensOf(request);
      reflection.GetMutableRepeatedFieldRef<v1::Token>(&request, field).CopyFrom(tokens());
    }
    if (const auto* items = type.FindFieldByName("requests")) {
      for (int i = 0; i < reflection.FieldSize(request, items); ++i) {
        FillIn(*reflection.MutableRepeatedMessage(&request, items, i));
      }
    }
  }

  const Client& client;
  const std::string actor;

 private:
  void SeeTokensOf(const google::protobuf::Message& message) {
    if (const auto* field = message.GetDescriptor()->FindFieldByName("tokens")) {
      See(message.GetReflection()->GetRepeatedFieldRef<v1::Token>(message, field));
    }
    if (const auto* batch = dynamic_cast<const v1::BatchPublishUpdatesResponse*>(&message)) {
      for (const v1::BatchPublishResult& result : batch->results()) {
        See(result.published().tokens());
      }
    }
  }

  // 128 random bits.
  static std::string NewRequestId() {
    std::random_device word;
    return absl::StrCat(word(), "-", word(), "-", word(), "-", word());
  }

  mutable std::mutex mutex_;
  // Guarded by mutex_. Of each shard the highest position.
  std::map<uint32_t, uint64_t> positions_;
};

}  // namespace klatch
