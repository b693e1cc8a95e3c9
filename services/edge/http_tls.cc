#include "services/edge/http_tls.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <utility>

#include "common/base/whole_file.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

namespace asio = boost::asio;
using TlsContext = asio::ssl::context;

constexpr size_t kPemBytesMax = 1 << 20;

}  // namespace

HttpTls::HttpTls(std::string cert_file, std::string key_file)
    : cert_file_(std::move(cert_file)), key_file_(std::move(key_file)) {}

absl::StatusOr<HttpTls::Pair> HttpTls::Read() const {
  Pair pair;
  for (const auto& [file, text] :
       {std::pair(&cert_file_, &pair.certificate), std::pair(&key_file_, &pair.key)}) {
    absl::StatusOr<std::string> read = base::ReadWholeFile(*file, kPemBytesMax);
    if (!read.ok()) {
      return base::Error(absl::StatusCode::kInvalidArgument, base::MessageOf(read.status()));
    }
    *text = *std::move(read);
  }
  return pair;
}

absl::StatusOr<std::shared_ptr<TlsContext>> HttpTls::Use(const Pair& pair) {
  auto tls = std::make_shared<TlsContext>(TlsContext::tls_server);
  boost::system::error_code error;
  tls->set_options(TlsContext::default_workarounds | TlsContext::no_sslv2 | TlsContext::no_sslv3 |
                       TlsContext::no_tlsv1 | TlsContext::no_tlsv1_1 | TlsContext::no_compression,
                   error);
  if (!error) {
    // Nobody is there to be asked for a pass phrase.
    tls->set_password_callback([](size_t, TlsContext::password_purpose) { return std::string(); },
                               error);
  }
  if (!error) {
    tls->use_certificate_chain(asio::buffer(pair.certificate), error);
  }
  if (!error) {
    tls->use_private_key(asio::buffer(pair.key), TlsContext::pem, error);
  }
  if (!error && SSL_CTX_check_private_key(tls->native_handle()) != 1) {
    return base::Error(absl::StatusCode::kInvalidArgument, "the key is another certificate's");
  }
  if (error) {
    return base::Error(absl::StatusCode::kInvalidArgument, error.message());
  }
  return tls;
}

absl::StatusOr<std::unique_ptr<HttpTls>> HttpTls::Open(std::string cert_file,
                                                       std::string key_file) {
  std::unique_ptr<HttpTls> opened(new HttpTls(std::move(cert_file), std::move(key_file)));
  KLATCH_ASSIGN_OR_RETURN(opened->pair_, opened->Read());
  KLATCH_ASSIGN_OR_RETURN(opened->context_, Use(opened->pair_));
  opened->reloading_.Start();
  return opened;
}

// The two files change one after the other: a pair that doesn't fit is looked at again.
void HttpTls::Reload() {
  const absl::StatusOr<Pair> pair = Read();
  if (pair.ok() && *pair == pair_) {
    error_.clear();
    return;
  }
  absl::StatusOr<std::shared_ptr<TlsContext>> used =
      pair.ok() ? Use(*pair) : absl::StatusOr<std::shared_ptr<TlsContext>>(pair.status());
  if (!used.ok()) {
    const std::string error = base::MessageOf(used.status());
    if (std::exchange(error_, error) != error) {
      obs::Log(obs::Level::kWarn, "edge", "the certificate can't be read again; the old one holds",
               {{"error", error}});
    }
    return;
  }
  error_.clear();
  pair_ = *pair;
  obs::Log(obs::Level::kInfo, "edge", "the certificate has changed", {});
  std::lock_guard lock(mutex_);
  context_ = *std::move(used);
}

}  // namespace klatch
