#include "common/redis/tls.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace klatch::redis {
namespace {

absl::Status Unavailable(std::string_view what) {
  return base::Error(absl::StatusCode::kUnavailable, what);
}

absl::Status Unusable(const std::string& file, std::string_view what) {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  return base::Error(absl::StatusCode::kInvalidArgument,
                     fmt::format("{}: {}{}{}", file, what, reason == nullptr ? "" : ": ",
                                 reason == nullptr ? "" : reason));
}

// A key with a pass phrase is refused: nobody is there to be asked.
int NoPassPhrase(char*, int, int, void*) { return -1; }

// OpenSSL's own socket raises SIGPIPE when the peer is gone.
int SendBytes(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = send(*static_cast<const int*>(BIO_get_data(bio)), bytes,
                            static_cast<size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    BIO_set_retry_write(bio);
  }
  return static_cast<int>(sent);
}

int ReceiveBytes(BIO* bio, char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  errno = 0;
  const ssize_t received =
      recv(*static_cast<const int*>(BIO_get_data(bio)), bytes, static_cast<size_t>(size), 0);
  if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    BIO_set_retry_read(bio);
  }
  return static_cast<int>(received);
}

long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

// `fd` outlives it.
BIO* NewSocket(const int& fd) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket of Redis");
    BIO_meth_set_write(made, SendBytes);
    BIO_meth_set_read(made, ReceiveBytes);
    BIO_meth_set_ctrl(made, Control);
    return made;
  }();
  BIO* const bio = BIO_new(method);
  BIO_set_data(bio, const_cast<int*>(&fd));
  BIO_set_init(bio, 1);
  return bio;
}

bool IsIpAddress(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

// Whom the certificate must be for, and whom the peer is asked for.
bool Expect(SSL& connection, const std::string& name) {
  if (IsIpAddress(name)) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(&connection), name.c_str()) == 1;
  }
  SSL_set_hostflags(&connection, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(&connection, name.c_str()) == 1 &&
         SSL_set_tlsext_host_name(&connection, name.c_str()) == 1;
}

std::string ErrorText(const SSL& connection, int error_number) {
  const long verified = SSL_get_verify_result(&connection);
  if (verified != X509_V_OK) {
    return fmt::format("the certificate is not trusted: {}",
                       X509_verify_cert_error_string(verified));
  }
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER) {
    return "the peer does not speak TLS (a port for plain text?)";
  }
  if (const char* const reason = ERR_reason_error_string(error)) {
    return reason;
  }
  return error_number == 0 ? "the connection was closed by the peer"
                           : std::generic_category().message(error_number);
}

}  // namespace

absl::StatusOr<Tls::Context> Tls::ContextOf(const TlsOptions& options) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  // What is still to be sent may have moved, or have grown, when it is sent again.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_default_passwd_cb(context.get(), NoPassPhrase);
  if (options.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_file(context.get(), options.ca_file.c_str()) != 1) {
    return Unusable(options.ca_file, "holds no certificates in PEM");
  }
  if (!options.cert_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context.get(), options.cert_file.c_str()) != 1) {
      return Unusable(options.cert_file, "holds no certificate in PEM");
    }
    if (SSL_CTX_use_PrivateKey_file(context.get(), options.key_file.c_str(), SSL_FILETYPE_PEM) !=
        1) {
      return Unusable(options.key_file,
                      "holds no private key of the certificate, in PEM without "
                      "a pass phrase");
    }
  }
  return context;
}

absl::Status CheckTls(const TlsOptions& options) { return Tls::ContextOf(options).status(); }

absl::StatusOr<std::unique_ptr<Tls>> Tls::Open(const TlsOptions& options, const std::string& host,
                                               int fd) {
  KLATCH_ASSIGN_OR_RETURN(Context context, ContextOf(options));
  std::unique_ptr<Tls> opened(new Tls(std::move(context), fd));
  const std::string& name = options.server_name.empty() ? host : options.server_name;
  if (!Expect(*opened->connection_, name)) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("no certificate can be for {}", name));
  }
  return opened;
}

Tls::Tls(Context context, int fd)
    : context_(std::move(context)), fd_(fd), connection_(SSL_new(context_.get())) {
  BIO* const socket = NewSocket(fd_);
  SSL_set_bio(connection_.get(), socket, socket);
  SSL_set_connect_state(connection_.get());
}

absl::Status Tls::Judge(int result) {
  const int error_number = errno;
  wants_ = 0;
  if (result > 0) {
    return absl::OkStatus();
  }
  switch (SSL_get_error(connection_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      wants_ = POLLIN;
      return absl::OkStatus();
    case SSL_ERROR_WANT_WRITE:
      wants_ = POLLOUT;
      return absl::OkStatus();
    case SSL_ERROR_ZERO_RETURN:
      return Unavailable("the connection was closed by the peer");
    default:
      return Unavailable(fmt::format("TLS: {}", ErrorText(*connection_, error_number)));
  }
}

absl::StatusOr<bool> Tls::Handshake() {
  ERR_clear_error();
  KLATCH_RETURN_IF_ERROR(Judge(SSL_do_handshake(connection_.get())));
  receiving_wants_ = wants_;
  has_begun_ = wants_ == 0;
  return has_begun_;
}

absl::StatusOr<size_t> Tls::Send(const char* bytes, size_t size) {
  ERR_clear_error();
  size_t taken = 0;
  KLATCH_RETURN_IF_ERROR(Judge(SSL_write_ex(connection_.get(), bytes, size, &taken)));
  sending_wants_ = wants_;
  return taken;
}

absl::StatusOr<size_t> Tls::Receive(char* bytes, size_t size) {
  KLATCH_RETURN_IF_ERROR(broken_);
  size_t received = 0;
  // Record by record: the rest of one that doesn't fit would be nothing that poll knows of.
  do {
    ERR_clear_error();
    size_t record = 0;
    broken_ = Judge(SSL_read_ex(connection_.get(), bytes + received, size - received, &record));
    received += record;
  } while (broken_.ok() && wants_ == 0 && size - received >= kRecordBytesMax);
  if (received == 0) {
    KLATCH_RETURN_IF_ERROR(broken_);
  }
  receiving_wants_ = wants_;
  // What sending waited for may have come.
  sending_wants_ = 0;
  return received;
}

short Tls::events(bool has_unsent) const {
  if (!has_begun_) {
    return receiving_wants_ == 0 ? POLLOUT : receiving_wants_;
  }
  const short sending = !has_unsent ? 0 : sending_wants_ == 0 ? POLLOUT : sending_wants_;
  return static_cast<short>(POLLIN | receiving_wants_ | sending);
}

}  // namespace klatch::redis
