#include "services/edge/http_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>
#include <vector>

#include "common/base/decimal.h"
#include "common/base/endpoint.h"
#include "common/base/utf8.h"
#include "services/edge/event_stream.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using google::protobuf::FieldDescriptor;

constexpr char kJsonType[] = "application/json";
constexpr size_t kQuotedBytesMax = 100;

HttpRefusal Refuse(unsigned http_code, absl::StatusCode code, std::string_view message) {
  return {http_code, base::Error(code, message), ""};
}

HttpRefusal RefuseHeader(unsigned http_code, std::string_view header, std::string_view words) {
  return {http_code, base::FieldError(absl::StatusCode::kInvalidArgument, header, words), ""};
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  quoted.append(base::Utf8Prefix(text, kQuotedBytesMax)).append("\"");
  return quoted;
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

// "localhost:7422", "[::1]", "127.0.0.1:80".
bool NamesLoopback(std::string_view authority) {
  std::string host = Lower(authority);
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    host = end == std::string::npos ? "" : host.substr(1, end - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  if (host.ends_with('.')) {
    host.pop_back();
  }
  base::Endpoint endpoint;
  endpoint.host = host;
  return !host.empty() && endpoint.is_loopback();
}

struct Target {
  std::optional<std::string> authority;
  std::string path;
  std::string query;
};

// A whole URL is a proxy's form of request; servers have to take it, too.
Target ReadTarget(std::string_view text) {
  Target target;
  const std::string lower = Lower(text.substr(0, std::string_view("https://").size()));
  if (lower.starts_with("http://") || lower.starts_with("https://")) {
    text.remove_prefix(text.find("//") + 2);
    const size_t slash = text.find_first_of("/?");
    target.authority = std::string(text.substr(0, slash));
    text = slash == std::string_view::npos ? "/" : text.substr(slash);
  }
  const size_t question = text.find('?');
  target.path = text.substr(0, question);
  if (question != std::string_view::npos) {
    target.query = text.substr(question + 1);
  }
  return target;
}

std::optional<HttpRefusal> CheckHost(const HttpHead& head, const Target& target, HostRule rule) {
  if (head.host ? head.host->is_repeated : head.wants_host) {
    return RefuseHeader(400, "Host", "must come once");
  }
  const std::string& host = target.authority ? *target.authority
                            : head.host      ? head.host->value
                                             : "localhost";
  if (rule == HostRule::kLoopbackOnly && !NamesLoopback(host)) {
    return HttpRefusal{403,
                       base::FieldError(absl::StatusCode::kPermissionDenied, "Host",
                                        fmt::format("is {}; what listens on loopback answers to "
                                                    "localhost, 127.0.0.1 and [::1] only",
                                                    Quoted(host))),
                       ""};
  }
  return std::nullopt;
}

std::optional<HttpRefusal> CheckVerb(std::string_view verb, const ServedMethod& method) {
  if (method.kind == ServedMethod::Kind::kClientStreaming) {
    return Refuse(501, absl::StatusCode::kUnimplemented,
                  fmt::format("{} takes a stream of requests, which only gRPC has", method.path));
  }
  const bool is_stream = method.kind == ServedMethod::Kind::kServerStreaming;
  if (verb == "POST" || (verb == "GET" && is_stream)) {
    return std::nullopt;
  }
  HttpRefusal refusal =
      Refuse(405, absl::StatusCode::kUnimplemented,
             fmt::format("{} is called by {}", method.path, is_stream ? "POST or GET" : "POST"));
  refusal.allow = is_stream ? "GET, POST" : "POST";
  return refusal;
}

// A form of another site can post text/plain without being asked for leave, but not this.
std::optional<HttpRefusal> CheckContent(const HttpHead& head) {
  const std::string type = head.content_type ? Lower(head.content_type->value) : "";
  std::string media = type.substr(0, type.find(';'));
  media.erase(media.find_last_not_of(" \t") + 1);
  const size_t charset = type.find("charset=");
  const bool other_charset = charset != std::string::npos &&
                             !type.substr(charset).starts_with("charset=utf-8") &&
                             !type.substr(charset).starts_with("charset=\"utf-8\"");
  if (media != kJsonType || other_charset || head.content_type->is_repeated) {
    return RefuseHeader(415, "Content-Type", "must be application/json, in UTF-8");
  }
  if (head.content_encoding && Lower(head.content_encoding->value) != "identity") {
    return RefuseHeader(415, "Content-Encoding", "is not taken: send the body as it is");
  }
  return std::nullopt;
}

std::variant<std::monostate, std::chrono::milliseconds, HttpRefusal> ReadTimeout(
    const HttpHead& head) {
  if (!head.timeout_ms) {
    return {};
  }
  const std::optional<uint64_t> value = base::ParseDecimal(head.timeout_ms->value);
  if (!value || *value > limits::kHttpTimeoutMsMax || head.timeout_ms->is_repeated) {
    return RefuseHeader(400, "X-Timeout-Ms",
                        fmt::format("must be a number from 0 to {}", limits::kHttpTimeoutMsMax));
  }
  return std::chrono::milliseconds(*value);
}

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? std::optional<int>(lower - 'a' + 10) : std::nullopt;
}

// Of a part of a query, '+' being a blank; nothing if a '%' is not followed by two digits.
std::optional<std::string> Decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    const auto high = i + 2 < text.size() ? HexDigit(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? HexDigit(text[i + 2]) : std::nullopt;
    if (!high || !low) {
      return std::nullopt;
    }
    decoded.push_back(static_cast<char>(*high * 16 + *low));
    i += 2;
  }
  return decoded;
}

const FieldDescriptor* FindField(const google::protobuf::Descriptor& message,
                                 const std::string& name) {
  const FieldDescriptor* field = message.FindFieldByName(name);
  return field != nullptr ? field : message.FindFieldByCamelcaseName(name);
}

void AppendJsonText(std::string& json, std::string_view text) {
  json.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json.push_back('\\');
      json.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      json.push_back(c);
    }
  }
  json.push_back('"');
}

absl::Status BadParameter(std::string_view name, std::string_view words) {
  return base::FieldError(absl::StatusCode::kInvalidArgument,
                          base::Utf8Prefix(name, kQuotedBytesMax), words);
}

// The values by field, in the order of the query.
using Parameters = std::map<const FieldDescriptor*, std::vector<std::string>>;

absl::Status ReadParameter(std::string_view part, const google::protobuf::Descriptor& message,
                           Parameters& parameters) {
  const size_t equals = part.find('=');
  const auto name = Decoded(part.substr(0, equals));
  const auto value =
      Decoded(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
  if (!name || !value) {
    return BadParameter(name.value_or("query"), "has a % that is no escape");
  }
  const FieldDescriptor* field = FindField(message, *name);
  if (field == nullptr) {
    return BadParameter(*name, "is no field of this message");
  }
  if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
    return BadParameter(*name, "can't stand in a query; send it by POST");
  }
  if (!base::IsValidUtf8(*value)) {
    return BadParameter(*name, "is not UTF-8");
  }
  std::vector<std::string>& values = parameters[field];
  if (!values.empty() && !field->is_repeated()) {
    return BadParameter(*name, "must come once");
  }
  values.push_back(*value);
  return absl::OkStatus();
}

// The query's fields as JSON: protobuf reads numbers and truth from texts, too.
absl::StatusOr<std::string> QueryAsJson(std::string_view query,
                                        const google::protobuf::Descriptor& message) {
  Parameters parameters;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    if (end > 0) {
      KLATCH_RETURN_IF_ERROR(ReadParameter(query.substr(0, end), message, parameters));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  std::string json = "{";
  for (const auto& [field, values] : parameters) {
    json += json.size() == 1 ? "\"" : ",\"";
    json += field->name() + (field->is_repeated() ? "\":[" : "\":");
    for (size_t i = 0; i < values.size(); ++i) {
      json += i == 0 ? "" : ",";
      AppendJsonText(json, values[i]);
    }
    json += field->is_repeated() ? "]" : "";
  }
  json += "}";
  return json;
}

}  // namespace

std::variant<HttpCall, HttpRefusal> ReadHead(const HttpHead& head, const ServedMethods& methods,
                                             HostRule rule) {
  Target target = ReadTarget(head.target);
  if (auto refusal = CheckHost(head, target, rule)) {
    return *std::move(refusal);
  }
  HttpCall call;
  call.method = methods.Find(target.path);
  if (call.method == nullptr) {
    return Refuse(404, absl::StatusCode::kNotFound,
                  fmt::format("there is no call {}; calls are named as in "
                              "/klatch.v1.FeedService/PublishUpdate",
                              Quoted(target.path)));
  }
  if (auto refusal = CheckVerb(head.verb, *call.method)) {
    return *std::move(refusal);
  }
  call.has_body = head.verb == "POST";
  if (call.has_body) {
    if (auto refusal = CheckContent(head)) {
      return *std::move(refusal);
    }
    if (!target.query.empty()) {
      return Refuse(400, absl::StatusCode::kInvalidArgument,
                    "a POST has its fields in the body, not in a query");
    }
  }
  call.query = std::move(target.query);
  auto timeout = ReadTimeout(head);
  if (auto* refusal = std::get_if<HttpRefusal>(&timeout)) {
    return std::move(*refusal);
  }
  if (const auto* limit = std::get_if<std::chrono::milliseconds>(&timeout)) {
    call.timeout = *limit;
  }
  if (head.last_event_id) {
    call.last_event_id = head.last_event_id->value;
  }
  if (head.authorization) {
    call.authorization = head.authorization->value;
    if (head.authorization->is_repeated || !IsPrintable(*call.authorization)) {
      return Refuse(401, absl::StatusCode::kUnauthenticated,
                    "the header Authorization can't be read");
    }
  }
  return call;
}

absl::StatusOr<std::string> RequestBytes(const HttpCall& call, std::string_view body,
                                         const Transcoder& transcoder) {
  const google::protobuf::Descriptor& message = *call.method->descriptor->input_type();
  std::string json(body);
  if (!call.has_body) {
    if (!body.empty()) {
      return base::Error(absl::StatusCode::kInvalidArgument,
                         "a GET has its fields in the query, not in a body");
    }
    KLATCH_ASSIGN_OR_RETURN(json, QueryAsJson(call.query, message));
  }
  KLATCH_ASSIGN_OR_RETURN(std::string bytes, transcoder.ToBytes(message, json));
  // What a browser sends when it comes back is newer than what stood in the address.
  const FieldDescriptor* resume_token = ResumeTokenOf(message);
  if (!call.last_event_id.empty() && resume_token != nullptr) {
    if (!base::IsValidUtf8(call.last_event_id)) {
      return base::FieldError(absl::StatusCode::kInvalidArgument, resume_token->name(),
                              "of Last-Event-ID is not UTF-8");
    }
    AppendResumeToken(*resume_token, call.last_event_id, bytes);
  }
  return bytes;
}

}  // namespace klatch
