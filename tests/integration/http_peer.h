#pragma once
// A client of HTTP for tests, down at the socket: sends what it is told, and reads answers and
// server-sent events apart from each other.
//
//   HttpPeer peer(address);
//   peer.Send(Posting("/klatch.v1.FeedService/PublishUpdate", R"({"actor": "ann"})"));
//   EXPECT_EQ(peer.ReadAnswer()->code, 400);
//
// Thread safety: one thread. Bound: a read waits kPeerWaitSeconds at most.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace klatch::testing {

constexpr int kPeerWaitSeconds = 60;

struct HttpAnswer {
  int code = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// Requests as text. `headers` are whole lines, each with its end.
inline std::string Posting(std::string_view path, std::string_view body,
                           std::string_view headers = "Content-Type: application/json\r\n") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: {}\r\n\r\n{}", path,
                     headers, body.size(), body);
}
inline std::string Getting(std::string_view target, std::string_view headers = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", target, headers);
}

class HttpPeer {
 public:
  // `receive_bytes`: of the kernel's buffer; 0: as it is.
  explicit HttpPeer(std::string_view address, int receive_bytes = 0)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval wait{kPeerWaitSeconds, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (receive_bytes != 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    }
    uint16_t port = 0;
    const std::string_view text = address.substr(address.rfind(':') + 1);
    std::from_chars(text.data(), text.data() + text.size(), port);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0;
  }
  ~HttpPeer() { Close(); }
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  bool is_connected() const { return is_connected_; }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // No more will be sent.
  void HalfClose() { shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) {
      close(fd_);
    }
    fd_ = -1;
  }

  // The next answer, its body as long as it says; nothing if the connection ends before.
  std::optional<HttpAnswer> ReadAnswer() {
    std::optional<HttpAnswer> answer = ReadHead();
    if (!answer || answer->code == 100) {
      return answer;
    }
    size_t length = 0;
    const std::string text = answer->Header("content-length");
    std::from_chars(text.data(), text.data() + text.size(), length);
    if (!Fill([&] { return raw_.size() >= length; })) {
      return std::nullopt;
    }
    answer->body = raw_.substr(0, length);
    raw_.erase(0, length);
    return answer;
  }
  // The head alone, as of a stream.
  std::optional<HttpAnswer> ReadHead() {
    size_t end = 0;
    if (!Fill([&] { return (end = raw_.find("\r\n\r\n")) != std::string::npos; })) {
      return std::nullopt;
    }
    HttpAnswer answer = ParseHead(raw_.substr(0, end + 2));
    raw_.erase(0, end + 4);
    is_chunked_ = answer.Header("transfer-encoding") == "chunked";
    return answer;
  }
  // The next event of a stream whose head was read, with its lines but for the blank one. Nothing
  // at the end of the stream; has_ended tells whether it ended as it should.
  std::optional<std::string> ReadEvent() {
    while (true) {
      const size_t end = events_.find("\n\n");
      if (end != std::string::npos) {
        std::string event = events_.substr(0, end);
        events_.erase(0, end + 2);
        return event;
      }
      if (has_ended_ || !ReadChunk()) {
        return std::nullopt;
      }
    }
  }
  bool has_ended() const { return has_ended_; }
  // Whether the other side closes; what comes before that is dropped.
  bool AwaitClosed() {
    raw_.clear();
    while (Receive() > 0) {
      raw_.clear();
    }
    return is_closed_;
  }

 private:
  static HttpAnswer ParseHead(std::string_view head) {
    HttpAnswer answer;
    const size_t space = head.find(' ');
    std::from_chars(head.data() + space + 1, head.data() + head.size(), answer.code);
    size_t line = head.find("\r\n") + 2;
    while (line < head.size()) {
      const size_t end = head.find("\r\n", line);
      const std::string_view text = head.substr(line, end - line);
      const size_t colon = text.find(": ");
      std::string name(text.substr(0, colon));
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
      answer.headers[name] = colon == std::string_view::npos ? "" : text.substr(colon + 2);
      line = end + 2;
    }
    return answer;
  }
  template <typename Condition>
  bool Fill(Condition enough) {
    while (!enough()) {
      if (Receive() <= 0) {
        return false;
      }
    }
    return true;
  }
  bool ReadChunk() {
    if (!is_chunked_) {
      const bool more = Fill([this] { return !raw_.empty(); });
      has_ended_ = !more && is_closed_;
      events_ += raw_;
      raw_.clear();
      return more;
    }
    size_t end = 0;
    size_t length = 0;
    if (!Fill([&] { return (end = raw_.find("\r\n")) != std::string::npos; })) {
      return false;
    }
    std::from_chars(raw_.data(), raw_.data() + end, length, 16);
    if (!Fill([&] { return raw_.size() >= end + 2 + length + 2; })) {
      return false;
    }
    events_ += raw_.substr(end + 2, length);
    raw_.erase(0, end + 2 + length + 2);
    has_ended_ = length == 0;
    return true;
  }
  ssize_t Receive() {
    char bytes[16'384];
    const ssize_t n = recv(fd_, bytes, sizeof(bytes), 0);
    if (n > 0) {
      raw_.append(bytes, static_cast<size_t>(n));
    }
    is_closed_ = n == 0;
    return n;
  }

  int fd_;
  bool is_connected_ = false;
  bool is_chunked_ = false;
  bool has_ended_ = false;
  bool is_closed_ = false;
  std::string raw_;
  std::string events_;
};

// One request on a connection of its own.
inline HttpAnswer AnswerTo(std::string_view address, std::string_view request) {
  HttpPeer peer(address);
  peer.Send(request);
  return peer.ReadAnswer().value_or(HttpAnswer());
}

}  // namespace klatch::testing
