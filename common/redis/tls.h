#pragma once
// TLS towards a Redis, upon a socket that doesn't block. OpenSSL does it; hiredis has no part in it, so that
// it is there whatever version of that there is.
//
//   auto tls = Tls::Open(options, host, fd);
//   while (!*(*tls)->Handshake()) { poll for (*tls)->events() }
//   (*tls)->Send(…); (*tls)->Receive(…);   // 0: not now
//
// Thread safety: one thread at a time. Lifetime: the socket outlives it. Errors: UNAVAILABLE; after one it is
// of no use.

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>

#include "common/base/status.h"

namespace klatch::redis {

// How a Redis is known, and what is shown to it. Files are in PEM.
struct TlsOptions {
  std::string ca_file = {};      // who signs; empty: those whom the machine trusts
  std::string cert_file = {};    // ours, with key_file; empty: none
  std::string key_file = {};     // without a pass phrase
  std::string server_name = {};  // what the certificate must hold for; empty: the host
};

// INVALID_ARGUMENT, naming the file, if one can't be used.
absl::Status CheckTls(const TlsOptions& options);

class Tls {
 public:
  // A buffer for Receive that holds less might leave bytes behind that poll doesn't tell of.
  static constexpr size_t kRecordBytesMax = 16 << 10;

  // Reads the files: what they hold now counts. INVALID_ARGUMENT if they can't be used.
  static absl::StatusOr<std::unique_ptr<Tls>> Open(const TlsOptions& options,
                                                   const std::string& host, int fd);
  ~Tls() = default;
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  // Goes on with it; true once it is done.
  absl::StatusOr<bool> Handshake();
  // How many bytes were taken. What wasn't is to be given again, with more behind it or not.
  absl::StatusOr<size_t> Send(const char* bytes, size_t size);
  // How many bytes came. REQUIRES: size >= kRecordBytesMax.
  absl::StatusOr<size_t> Receive(char* bytes, size_t size);

  // What to poll for, of POLLIN and POLLOUT, until it makes sense to go on with what was begun.
  // `has_unsent`: whether there is something to send.
  short events(bool has_unsent) const;

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* connection) const { SSL_free(connection); }
  };
  friend absl::Status CheckTls(const TlsOptions& options);
  using Context = std::unique_ptr<SSL_CTX, Free>;

  Tls(Context context, int fd);
  static absl::StatusOr<Context> ContextOf(const TlsOptions& options);
  // What became of one step that returned `result`: OK if it was done or has to wait, which sets `wants_`.
  absl::Status Judge(int result);

  const Context context_;
  const int fd_;
  const std::unique_ptr<SSL, Free> connection_;
  bool has_begun_ = false;
  // What the last step has to wait for: POLLIN, POLLOUT, or 0 if it was done.
  short wants_ = 0;
  short sending_wants_ = 0;
  short receiving_wants_ = 0;
  absl::Status broken_;  // found behind bytes that came, and told when they have been taken
};

}  // namespace klatch::redis
