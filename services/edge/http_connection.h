#pragma once
// One connection of a client over HTTP/1.1 or 1.0: reads a request, makes its call, answers, reads
// the next. Requests that are sent ahead wait their turn unread. A stream is the last thing on its
// connection.
//
//   (handshake ─▶) head ─▶ body ─▶ call ─▶ answer ─▶ head …            ─▶ linger ─▶ closed
//                                    └──▶ event, event, … error or end ─┘
//
// Threads: its loop's.
// Lifetime: shared by what it waits for; it goes when it is closed and its call has ended.
// Bounds: head, body and times of model/limits.h; one answer or one event in writing, for which the
// node's stream waits. A client that closes its connection ends its watch; a unary call runs on.

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "services/edge/http_loop.h"
#include "services/edge/http_stream.h"

namespace klatch {

class HttpConnection final : public std::enable_shared_from_this<HttpConnection> {
 public:
  // `tls` null: plain text.
  HttpConnection(HttpStream::Socket socket, std::shared_ptr<HttpStream::TlsContext> tls,
                 HttpShared& shared, HttpLoop& loop, CallGate::Pass pass);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void Start();
  // Says that there are too many connections, then closes. REQUIRES: plain text; a handshake is work.
  void TurnAway();
  // Closes at once if nothing is under way, else after the answer to it.
  void Drain();
  // Closes at once; its call is cancelled. Idempotent.
  void Close();

 private:
  using ErrorCode = boost::system::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Response = boost::beast::http::response<boost::beast::http::string_body>;

  // Reading.
  void Handshake();
  void AwaitRequest();
  void OnReadable(const ErrorCode& error);
  void ReadHead();
  void OnHead(const ErrorCode& error);
  bool AskDoor();
  void OnBody(const ErrorCode& error);
  void OnBadRequest(const ErrorCode& error);

  // The call.
  void BeginCall(const HttpCall& call);
  void OnMessage(grpc::ByteBuffer message);
  void OnEnd(const grpc::Status& status);
  void AnswerUnary(const grpc::Status& status);

  // A stream.
  void WriteEvent(std::string event);
  void EndStream(const grpc::Status& status);

  // Answers.
  void Prepare(unsigned http_code, std::string json);
  void PrepareError(unsigned http_code, const google::rpc::Status& error);
  void AnswerError(const google::rpc::Status& error);
  void AnswerError(const absl::Status& status);
  void Refuse(const HttpRefusal& refusal);
  void WriteResponse();
  void OnWritten(const ErrorCode& error);

  // The end.
  void Linger();
  void LingerInPlain();
  void PassOver();
  void AwaitPeer();

  // What takes longer is cancelled: its handler gets operation_aborted, and timed_out_ is set.
  void Limit(std::chrono::milliseconds time);
  void Unlimit();
  void AwaitLimit(uint64_t limit, std::chrono::milliseconds time);

  HttpStream stream_;
  boost::asio::steady_timer timer_;
  HttpShared& shared_;
  HttpLoop& loop_;
  const CallGate::Pass pass_;

  // Which limit is in force; an earlier one's timer may have gone off already.
  uint64_t limit_ = 0;
  bool timed_out_ = false;
  bool is_closed_ = false;

  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  bool has_had_request_ = false;
  bool is_under_way_ = false;  // from a request's first byte until its answer is written
  std::variant<HttpCall, HttpRefusal> asked_;
  Credentials certified_;                 // by the connection's certificate
  Credentials credentials_;               // what the request shows
  const ServedMethod* method_ = nullptr;  // of the call

  NodeCall* call_ = nullptr;  // until OnEnd
  grpc::ByteBuffer message_;
  bool has_message_ = false;
  bool is_streaming_ = false;
  bool stream_is_chunked_ = false;
  bool stream_has_ended_ = false;
  bool awaits_peer_ = false;

  bool must_close_ = false;
  bool keeps_ = false;  // the connection, after response_
  Response response_;
  std::string event_;
  char away_[512];
};

}  // namespace klatch
