#pragma once
// What a request of HTTP asks for, or why it is refused: all that is decided without a socket.
//
//   POST /klatch.v1.FeedService/PublishUpdate      Content-Type: application/json; the body asks
//   GET  /klatch.v1.FeedService/WatchHomeTimeline?actor=bob        streams only, for EventSource
//
// Thread safety: functions without state. Bounds: the caller's on head and body.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/status.h"
#include "services/edge/served_methods.h"
#include "services/edge/transcoder.h"

namespace klatch {

// Of a header that came: its value, and whether it came more than once.
struct HttpHeader {
  std::string value;
  bool is_repeated = false;
};

// The parts of a request's head that count.
struct HttpHead {
  std::string verb;
  std::string target;  // path and query, or a whole URL
  // HTTP/1.0 has no Host.
  bool wants_host = true;
  std::optional<HttpHeader> host;
  std::optional<HttpHeader> content_type;
  std::optional<HttpHeader> content_encoding;
  std::optional<HttpHeader> timeout_ms;     // X-Timeout-Ms
  std::optional<HttpHeader> last_event_id;  // Last-Event-ID
  std::optional<HttpHeader> authorization;
};

// A call to make. `method` is ServedMethods'.
struct HttpCall {
  const ServedMethod* method = nullptr;
  bool has_body = false;  // else the fields stand in the query
  std::string query;
  // 0: it is over already.
  std::optional<std::chrono::milliseconds> timeout;
  std::string last_event_id;
  std::optional<std::string> authorization;  // printable ASCII, if it came
};

struct HttpRefusal {
  unsigned http_code = 400;
  absl::Status status;
  std::string allow;  // of 405
};

// Who may be named in Host. A page in a browser can make the name of its own site lead to
// 127.0.0.1; what listens on loopback answers to loopback's names only.
enum class HostRule { kLoopbackOnly, kAny };

std::variant<HttpCall, HttpRefusal> ReadHead(const HttpHead& head, const ServedMethods& methods,
                                             HostRule rule);

// The request of the call, serialised. INVALID_ARGUMENT, with the field at fault where there is
// one.
absl::StatusOr<std::string> RequestBytes(const HttpCall& call, std::string_view body,
                                         const Transcoder& transcoder);

}  // namespace klatch
