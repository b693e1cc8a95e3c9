#pragma once
// The bytes of a connection, in plain text or by TLS. Included by the files that know Boost.
//
// Threads: its loop's. Bounds: those of who reads and writes; a handshake has the caller's time.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace klatch {

// A stream of Asio (AsyncReadStream, AsyncWriteStream) whose operations take a handler.
class HttpStream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using TlsContext = boost::asio::ssl::context;
  using ErrorCode = boost::system::error_code;
  using executor_type = Socket::executor_type;

  // `tls` null: plain text.
  HttpStream(Socket socket, std::shared_ptr<TlsContext> tls)
      : tls_(std::move(tls)), socket_(std::move(socket)) {
    if (tls_ != nullptr) {
      stream_.emplace(socket_, *tls_);
    }
  }
  HttpStream(const HttpStream&) = delete;
  HttpStream& operator=(const HttpStream&) = delete;

  bool is_tls() const { return stream_.has_value(); }
  executor_type get_executor() { return socket_.get_executor(); }
  Socket& socket() { return socket_; }

  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (stream_) {
      stream_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      socket_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (stream_) {
      stream_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      socket_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }

  // REQUIRES: is_tls().
  const SSL& tls() { return *stream_->native_handle(); }
  // REQUIRES: is_tls().
  template <typename Handler>
  void AsyncHandshake(Handler&& handler) {
    stream_->async_handshake(boost::asio::ssl::stream_base::server, std::forward<Handler>(handler));
  }
  // Says that no more comes, and waits until the peer says so too. REQUIRES: is_tls(), and nothing is being
  // read.
  template <typename Handler>
  void AsyncShutdown(Handler&& handler) {
    stream_->async_shutdown(std::forward<Handler>(handler));
  }

 private:
  const std::shared_ptr<TlsContext> tls_;  // outlives stream_
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> stream_;
};

}  // namespace klatch
