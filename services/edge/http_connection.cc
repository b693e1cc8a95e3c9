#include "services/edge/http_connection.h"

#include <fmt/format.h>

#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <iterator>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "services/accept/call.h"
#include "services/accept/grpc_status.h"
#include "services/edge/event_stream.h"
#include "services/edge/http_tls.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr char kJson[] = "application/json";
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr char kStreamHead[] =
    "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\nConnection: close\r\n";
constexpr std::chrono::milliseconds kRetryAfter{1'000};
constexpr std::chrono::milliseconds kCancelPause{100};
constexpr size_t kBufferBytesMax = limits::kHttpHeadBytesMax + 65'536;

std::optional<HttpHeader> HeaderOf(const http::fields& fields, const std::string& name) {
  const auto [begin, end] = fields.equal_range(name);
  if (begin == end) {
    return std::nullopt;
  }
  const auto value = begin->value();
  return HttpHeader{std::string(value.data(), value.size()), std::next(begin) != end};
}

template <typename Message>
HttpHead HeadOf(const Message& request) {
  const auto text = [](const auto& view) { return std::string(view.data(), view.size()); };
  HttpHead head;
  head.verb = text(request.method_string());
  head.target = text(request.target());
  head.wants_host = request.version() >= 11;
  head.host = HeaderOf(request, "Host");
  head.content_type = HeaderOf(request, "Content-Type");
  head.content_encoding = HeaderOf(request, "Content-Encoding");
  head.timeout_ms = HeaderOf(request, "X-Timeout-Ms");
  head.last_event_id = HeaderOf(request, "Last-Event-ID");
  head.authorization = HeaderOf(request, "Authorization");
  return head;
}

absl::Status TooLarge(std::string_view what, size_t bytes_max) {
  return base::Error(absl::StatusCode::kResourceExhausted,
                     fmt::format("the {} is larger than {} bytes", what, bytes_max));
}

absl::Status Malformed(std::string_view why) {
  return base::Error(absl::StatusCode::kInvalidArgument,
                     fmt::format("this is no request of HTTP/1.1: {}", why));
}

}  // namespace

HttpConnection::HttpConnection(HttpStream::Socket socket,
                               std::shared_ptr<HttpStream::TlsContext> tls, HttpShared& shared,
                               HttpLoop& loop, CallGate::Pass pass)
    : stream_(std::move(socket), std::move(tls)),
      timer_(loop.context),
      shared_(shared),
      loop_(loop),
      pass_(std::move(pass)),
      buffer_(kBufferBytesMax) {
  loop_.connections.insert(this);
}

HttpConnection::~HttpConnection() { loop_.connections.erase(this); }

void HttpConnection::Start() {
  ErrorCode ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  if (stream_.is_tls()) {
    Handshake();
  } else {
    AwaitRequest();
  }
}

void HttpConnection::Handshake() {
  Limit(shared_.times.head);
  stream_.AsyncHandshake([self = shared_from_this()](const ErrorCode& error) {
    if (error || self->timed_out_ || self->is_closed_) {
      self->Close();
    } else {
      self->certified_.has_certificate =
          ReadClientNames(self->stream_.tls(), self->certified_.certificate);
      self->AwaitRequest();
    }
  });
}

void HttpConnection::TurnAway() {
  is_under_way_ = true;
  Refuse({503,
          base::RetryLater(absl::StatusCode::kUnavailable, "too many connections", kRetryAfter),
          ""});
}

void HttpConnection::Drain() {
  if (!is_under_way_) {
    Close();
  }
}

void HttpConnection::AwaitRequest() {
  is_under_way_ = false;
  if (shared_.is_draining.load(std::memory_order_relaxed)) {
    Close();
    return;
  }
  parser_.emplace();
  parser_->header_limit(limits::kHttpHeadBytesMax);
  parser_->body_limit(shared_.body_bytes_max);
  if (buffer_.size() > 0) {
    ReadHead();
    return;
  }
  buffer_.shrink_to_fit();  // who is idle, mostly, holds nothing
  Limit(std::exchange(has_had_request_, true) ? shared_.times.idle : shared_.times.head);
  if (stream_.is_tls()) {
    // What has come may be in the cipher's hands already, where the kernel says nothing of it.
    stream_.async_read_some(buffer_.prepare(1),
                            [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
                              self->buffer_.commit(bytes);
                              self->OnReadable(error);
                            });
    return;
  }
  stream_.socket().async_wait(
      asio::ip::tcp::socket::wait_read,
      [self = shared_from_this()](const ErrorCode& error) { self->OnReadable(error); });
}

void HttpConnection::OnReadable(const ErrorCode& error) {
  if (error || timed_out_ || is_closed_) {
    Close();
  } else {
    ReadHead();
  }
}

void HttpConnection::ReadHead() {
  Limit(shared_.times.head);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](const ErrorCode& error, size_t) { self->OnHead(error); });
}

void HttpConnection::OnHead(const ErrorCode& error) {
  if (is_closed_) {
    return;  // after the head had come, before it was looked at
  }
  if (error) {
    OnBadRequest(error);
    return;
  }
  is_under_way_ = true;
  const auto& head = parser_->get();
  asked_ = klatch::ReadHead(HeadOf(head), shared_.methods, shared_.rule);
  const bool is_let_in = AskDoor();
  Limit(shared_.times.body);
  const auto read_body = [self = shared_from_this()] {
    http::async_read(self->stream_, self->buffer_, *self->parser_,
                     [self](const ErrorCode& failed, size_t) { self->OnBody(failed); });
  };
  const bool is_expected = HeaderOf(head, "Expect").has_value();
  if (parser_->is_done() || (is_let_in && !is_expected)) {
    read_body();
  } else if (std::holds_alternative<HttpRefusal>(asked_)) {
    // The body is not on its way yet and need not be, or is a stranger's.
    must_close_ = true;
    Refuse(std::get<HttpRefusal>(asked_));
  } else {
    asio::async_write(stream_, asio::buffer(kContinue, sizeof(kContinue) - 1),
                      [self = shared_from_this(), read_body](const ErrorCode& failed, size_t) {
                        if (failed || self->timed_out_ || self->is_closed_) {
                          self->Close();
                        } else {
                          read_body();
                        }
                      });
  }
}

// Who makes the call, where it is known what they show: false if they are refused.
bool HttpConnection::AskDoor() {
  const auto* const call = std::get_if<HttpCall>(&asked_);
  if (call == nullptr) {
    return true;
  }
  credentials_ =
      call->authorization ? Credentials{.token = TokenOf(*call->authorization)} : certified_;
  if (shared_.door == nullptr) {
    return true;
  }
  const absl::Status in =
      shared_.door->Look(credentials_, CallOf(*call->method->descriptor->input_type()));
  if (!in.ok()) {
    asked_ = HttpRefusal{HttpCodeOf(static_cast<int32_t>(in.code())), in, ""};
  }
  return in.ok();
}

void HttpConnection::OnBody(const ErrorCode& error) {
  if (is_closed_) {
    return;
  }
  if (error) {
    OnBadRequest(error);
    return;
  }
  if (auto* refusal = std::get_if<HttpRefusal>(&asked_)) {
    Refuse(*refusal);
  } else {
    BeginCall(std::get<HttpCall>(asked_));
  }
}

// After any of these nobody knows where the next request would begin.
void HttpConnection::OnBadRequest(const ErrorCode& error) {
  must_close_ = true;
  is_under_way_ = true;
  if (timed_out_ && parser_->got_some()) {
    Refuse(
        {408, base::Error(absl::StatusCode::kDeadlineExceeded, "the request came too slowly"), ""});
  } else if (error == http::error::body_limit) {
    Refuse({413, TooLarge("body", shared_.body_bytes_max), ""});
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    Refuse({431, TooLarge("head", limits::kHttpHeadBytesMax), ""});
  } else if (error == http::error::bad_version) {
    Refuse({505, Malformed("another version"), ""});
  } else if (error.category() == make_error_code(http::error::bad_method).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    Refuse({400, Malformed(error.message()), ""});
  } else {
    Close();  // The client has gone, or said nothing.
  }
}

void HttpConnection::BeginCall(const HttpCall& call) {
  Unlimit();
  absl::StatusOr<std::string> request =
      RequestBytes(call, parser_->get().body(), shared_.transcoder);
  if (!request.ok()) {
    AnswerError(request.status());
    return;
  }
  if (call.timeout && call.timeout->count() == 0) {
    AnswerError(
        base::Error(absl::StatusCode::kDeadlineExceeded, "the deadline was over on arrival"));
    return;
  }
  CallGate::Pass pass = shared_.calls.Enter();
  if (!pass.granted()) {
    AnswerError(RefusalStatus(pass.refusal()));
    return;
  }
  method_ = call.method;
  has_message_ = false;
  const auto self = shared_from_this();
  call_ = NodeCall::Start(
      *shared_.stub, {method_->path, *std::move(request), credentials_}, call.timeout, loop_,
      std::move(pass),
      {.on_message = [self](grpc::ByteBuffer message) { self->OnMessage(std::move(message)); },
       .on_end = [self](const grpc::Status& status) { self->OnEnd(status); }});
  if (method_->kind == ServedMethod::Kind::kServerStreaming) {
    // A client of a stream has no more to say, and its end is the stream's.
    must_close_ = true;
    buffer_.clear();
    buffer_.shrink_to_fit();
    AwaitPeer();
  }
}

void HttpConnection::OnMessage(grpc::ByteBuffer message) {
  if (method_->kind == ServedMethod::Kind::kUnary) {
    message_ = std::move(message);
    has_message_ = true;
    call_->ReadNext();
    return;
  }
  const google::protobuf::Descriptor& type = *method_->descriptor->output_type();
  const auto* resume_token = ResumeTokenOf(type);
  const std::string id = resume_token == nullptr ? "" : ReadResumeToken(*resume_token, message);
  grpc::ProtoBufferReader reader(&message);
  absl::StatusOr<std::string> json = shared_.transcoder.ToJson(type, reader);
  if (!json.ok()) {
    EndStream(ToGrpcStatus(json.status()));
    return;
  }
  WriteEvent(DataEvent(id, *json));
}

void HttpConnection::OnEnd(const grpc::Status& status) {
  call_ = nullptr;
  if (is_closed_) {
    return;
  }
  if (method_->kind == ServedMethod::Kind::kUnary) {
    AnswerUnary(status);
  } else if (is_streaming_ || status.ok()) {
    EndStream(status);
  } else {
    AnswerError(ErrorOf(status));
  }
}

void HttpConnection::AnswerUnary(const grpc::Status& status) {
  if (!status.ok() || !has_message_) {
    google::rpc::Status error = ErrorOf(status);
    if (status.ok()) {
      error = ToRpcStatus(base::Error(absl::StatusCode::kInternal, "the call had no answer"));
    }
    AnswerError(error);
    return;
  }
  grpc::ProtoBufferReader reader(&message_);
  absl::StatusOr<std::string> json =
      shared_.transcoder.ToJson(*method_->descriptor->output_type(), reader);
  message_.Clear();
  if (!json.ok()) {
    AnswerError(json.status());
    return;
  }
  Prepare(200, *std::move(json));
  WriteResponse();
}

void HttpConnection::WriteEvent(std::string event) {
  event_.clear();
  if (!std::exchange(is_streaming_, true)) {
    // Only HTTP/1.1 has chunks; before it the end of the connection is the end of the body.
    stream_is_chunked_ = parser_->get().version() >= 11;
    event_ = fmt::format("HTTP/1.{} 200 OK\r\n{}{}\r\n", stream_is_chunked_ ? 1 : 0, kStreamHead,
                         stream_is_chunked_ ? "Transfer-Encoding: chunked\r\n" : "");
    shared_.Count(200);
  }
  if (!event.empty()) {
    event_ += stream_is_chunked_ ? Chunk(event) : event;
  }
  if (stream_has_ended_ && stream_is_chunked_) {
    event_ += "0\r\n\r\n";
  }
  Limit(shared_.times.event);
  asio::async_write(stream_, asio::buffer(event_),
                    [self = shared_from_this()](const ErrorCode& error, size_t) {
                      self->Unlimit();
                      if (error || self->is_closed_) {
                        self->Close();
                      } else if (self->stream_has_ended_) {
                        self->Linger();
                      } else {
                        self->call_->ReadNext();
                      }
                    });
}

// Also while the call is under way, when what it sent can't be told.
void HttpConnection::EndStream(const grpc::Status& status) {
  if (call_ != nullptr) {
    call_->Cancel();
  }
  if (std::exchange(stream_has_ended_, true)) {
    return;
  }
  const std::string json = status.ok() ? "" : shared_.transcoder.ErrorJson(ErrorOf(status));
  WriteEvent(json.empty() ? "" : ErrorEvent(json));
}

// Passes over what comes, until the client closes.
void HttpConnection::AwaitPeer() {
  awaits_peer_ = true;
  stream_.async_read_some(asio::buffer(away_),
                          [self = shared_from_this()](const ErrorCode& error, size_t) {
                            if (error || self->timed_out_) {
                              self->Close();
                            } else {
                              self->AwaitPeer();
                            }
                          });
}

void HttpConnection::Prepare(unsigned http_code, std::string json) {
  response_ = Response();
  response_.result(http_code);
  response_.set(http::field::content_type, kJson);
  response_.set(http::field::cache_control, "no-store");
  response_.set("X-Content-Type-Options", "nosniff");
  response_.body() = std::move(json);
}

void HttpConnection::PrepareError(unsigned http_code, const google::rpc::Status& error) {
  Prepare(http_code, shared_.transcoder.ErrorJson(error));
  if (const auto seconds = RetryAfterSeconds(error)) {
    response_.set(http::field::retry_after, std::to_string(*seconds));
  }
}

void HttpConnection::AnswerError(const google::rpc::Status& error) {
  PrepareError(HttpCodeOf(error.code()), error);
  WriteResponse();
}

void HttpConnection::AnswerError(const absl::Status& status) { AnswerError(ToRpcStatus(status)); }

void HttpConnection::Refuse(const HttpRefusal& refusal) {
  PrepareError(refusal.http_code, ToRpcStatus(refusal.status));
  if (!refusal.allow.empty()) {
    response_.set(http::field::allow, refusal.allow);
  }
  WriteResponse();
}

void HttpConnection::WriteResponse() {
  const bool is_parsed = parser_ && parser_->is_header_done();
  keeps_ = is_parsed && !must_close_ && parser_->keep_alive() &&
           !shared_.is_draining.load(std::memory_order_relaxed);
  if (response_.result() == http::status::unauthorized) {
    response_.set(http::field::www_authenticate, "Bearer");
  }
  response_.version(is_parsed ? parser_->get().version() : 11);
  response_.keep_alive(keeps_);
  response_.prepare_payload();
  if (is_parsed && parser_->get().method() == http::verb::head) {
    response_.body().clear();  // its length is told all the same
  }
  shared_.Count(response_.result_int());
  Limit(shared_.times.write);
  http::async_write(
      stream_, response_,
      [self = shared_from_this()](const ErrorCode& error, size_t) { self->OnWritten(error); });
}

void HttpConnection::OnWritten(const ErrorCode& error) {
  if (error || is_closed_) {
    Close();
  } else if (keeps_) {
    AwaitRequest();
  } else {
    Linger();
  }
}

// What a client has sent and nobody read would make the kernel reset the connection, and the client
// might lose the answer.
void HttpConnection::Linger() {
  Limit(shared_.times.linger);
  if (stream_.is_tls() && !awaits_peer_) {
    stream_.AsyncShutdown([self = shared_from_this()](const ErrorCode&) {
      // A client that still sends is an error to the cipher; it is given the answer all the same.
      self->LingerInPlain();
    });
    return;
  }
  LingerInPlain();
}

void HttpConnection::LingerInPlain() {
  if (is_closed_ || timed_out_) {
    Close();
    return;
  }
  ErrorCode ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  if (!awaits_peer_) {
    PassOver();
  }
}

void HttpConnection::PassOver() {
  stream_.socket().async_read_some(asio::buffer(away_),
                                   [self = shared_from_this()](const ErrorCode& error, size_t) {
                                     if (error || self->timed_out_ || self->is_closed_) {
                                       self->Close();
                                     } else {
                                       self->PassOver();
                                     }
                                   });
}

void HttpConnection::Close() {
  if (std::exchange(is_closed_, true)) {
    return;
  }
  Unlimit();
  ErrorCode ignored;
  stream_.socket().close(ignored);
  if (call_ != nullptr) {
    call_->Cancel();
  }
}

void HttpConnection::Limit(std::chrono::milliseconds time) {
  timed_out_ = false;
  AwaitLimit(++limit_, time);
}

void HttpConnection::AwaitLimit(uint64_t limit, std::chrono::milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([weak = weak_from_this(), limit](const ErrorCode& error) {
    const auto self = weak.lock();
    if (!error && self && self->limit_ == limit) {
      self->timed_out_ = true;
      ErrorCode ignored;
      self->stream_.socket().cancel(ignored);
      // Between two steps of what is to end there is nothing to cancel.
      self->AwaitLimit(limit, kCancelPause);
    }
  });
}

void HttpConnection::Unlimit() {
  timed_out_ = false;
  ++limit_;
  timer_.cancel();
}

}  // namespace klatch
