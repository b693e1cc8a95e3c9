// The HTTP edge without its socket: heads, and JSON bodies or queries as requests of each call.

#include <variant>

#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "klatch/v1/feed_service.pb.h"
#include "klatch/v1/group_service.pb.h"
#include "klatch/v1/import_service.pb.h"
#include "klatch/v1/person_service.pb.h"
#include "services/edge/http_request.h"
#include "tests/fuzz/fuzz_input.h"

namespace klatch {
namespace {

using fuzz::Require;

std::optional<HttpHeader> HeaderOf(std::string_view line) {
  if (line.empty()) {
    return std::nullopt;
  }
  return HttpHeader{std::string(line.substr(1)), line[0] == '2'};
}

// Whoever names a message of each file has its services linked.
void LinkServices() {
  static_cast<void>(v1::PublishUpdateRequest::descriptor());
  static_cast<void>(v1::CreateGroupRequest::descriptor());
  static_cast<void>(v1::BlockPersonRequest::descriptor());
  static_cast<void>(v1::ImportUpdatesRequest::descriptor());
}

void Play(fuzz::Input input) {
  LinkServices();
  // As klatchd serves them.
  static const ServedMethods methods({"klatch.v1.FeedService", "klatch.v1.GroupService",
                                      "klatch.v1.PersonService", "klatch.v1.ImportService"});
  static const Transcoder transcoder;
  HttpHead head;
  head.wants_host = input.Choose(2) == 0;
  const HostRule rule = input.Choose(2) == 0 ? HostRule::kLoopbackOnly : HostRule::kAny;
  head.verb = input.Line();
  head.target = input.Line();
  head.host = HeaderOf(input.Line());
  head.content_type = HeaderOf(input.Line());
  head.content_encoding = HeaderOf(input.Line());
  head.timeout_ms = HeaderOf(input.Line());
  head.last_event_id = HeaderOf(input.Line());
  const std::variant<HttpCall, HttpRefusal> read = ReadHead(head, methods, rule);
  if (const auto* refusal = std::get_if<HttpRefusal>(&read)) {
    Require(refusal->http_code >= 400 && refusal->http_code < 600, "a refusal has its code");
    Require(!refusal->status.ok(), "a refusal says why");
    return;
  }
  const HttpCall& call = std::get<HttpCall>(read);
  Require(call.method != nullptr, "a call is of a method");
  const absl::StatusOr<std::string> bytes = RequestBytes(call, input.rest(), transcoder);
  if (!bytes.ok()) {
    Require(absl::IsInvalidArgument(bytes.status()), "what can't be read is an invalid argument");
    return;
  }
  google::protobuf::io::ArrayInputStream stream(bytes->data(), static_cast<int>(bytes->size()));
  const absl::StatusOr<std::string> json =
      transcoder.ToJson(*call.method->descriptor->input_type(), stream);
  Require(json.ok(), "what was read can be written");
  const absl::StatusOr<std::string> again =
      transcoder.ToBytes(*call.method->descriptor->input_type(), *json);
  Require(again.ok(), fmt::format("{} can be read: {}", *json, again.status().ToString()));
}

}  // namespace
}  // namespace klatch

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  klatch::Play(klatch::fuzz::Input(data, size));
  return 0;
}
