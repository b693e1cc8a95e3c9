#include "services/edge/http_tls.h"

#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>
#include <string_view>
#include <utility>

#include "common/obs/log.h"

namespace klatch {
namespace {

namespace asio = boost::asio;
using Context = HttpTls::Context;
using ErrorCode = boost::system::error_code;

void AskClients(const std::string& authority, bool requires_client, Context& tls,
                ErrorCode& error) {
  tls.add_certificate_authority(asio::buffer(authority), error);
  if (!error) {
    tls.set_verify_mode(
        asio::ssl::verify_peer | (requires_client ? asio::ssl::verify_fail_if_no_peer_cert : 0),
        error);
  }
  // Who comes back shows the certificate again: by a ticket it would hold beyond its end.
  SSL_CTX_set_options(tls.native_handle(), SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(tls.native_handle(), SSL_SESS_CACHE_OFF);
}

absl::StatusOr<std::shared_ptr<Context>> ContextOf(const TlsTexts& texts, bool requires_client) {
  auto tls = std::make_shared<Context>(Context::tls_server);
  ErrorCode error;
  tls->set_options(Context::default_workarounds | Context::no_sslv2 | Context::no_sslv3 |
                       Context::no_tlsv1 | Context::no_tlsv1_1 | Context::no_compression,
                   error);
  if (!error) {
    // Nobody is there to be asked for a pass phrase.
    tls->set_password_callback([](size_t, Context::password_purpose) { return std::string(); },
                               error);
  }
  if (!error) {
    tls->use_certificate_chain(asio::buffer(texts.certificate), error);
  }
  if (!error) {
    tls->use_private_key(asio::buffer(texts.key), Context::pem, error);
  }
  if (!error && SSL_CTX_check_private_key(tls->native_handle()) != 1) {
    return base::Error(absl::StatusCode::kInvalidArgument, "the key is another certificate's");
  }
  if (!error && !texts.client_authority.empty()) {
    AskClients(texts.client_authority, requires_client, *tls, error);
  }
  if (error) {
    return base::Error(absl::StatusCode::kInvalidArgument, error.message());
  }
  return tls;
}

}  // namespace

absl::Status HttpTls::Take(std::shared_ptr<const TlsTexts> texts) {
  seen_ = std::move(texts);
  KLATCH_ASSIGN_OR_RETURN(context_, ContextOf(*seen_, requires_client_));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<HttpTls>> HttpTls::Open(TlsSource source, bool requires_client) {
  std::unique_ptr<HttpTls> opened(new HttpTls(std::move(source), requires_client));
  KLATCH_RETURN_IF_ERROR(opened->Take(opened->source_()));
  return opened;
}

std::shared_ptr<Context> HttpTls::Current() {
  std::shared_ptr<const TlsTexts> texts = source_();
  if (texts != seen_) {
    const absl::Status taken = Take(std::move(texts));
    if (!taken.ok()) {
      obs::Log(obs::Level::kError, "edge", "the certificate can't be used; the old one holds",
               {{"error", base::MessageOf(taken)}});
    }
  }
  return context_;
}

bool ReadClientNames(const SSL& connection, std::vector<std::string>& names) {
  // Neither function changes the connection; the first counts one more who holds the certificate.
  auto* const tls = const_cast<SSL*>(&connection);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(SSL_get1_peer_certificate(tls),
                                                           X509_free);
  if (certificate == nullptr || SSL_get_verify_result(tls) != X509_V_OK) {
    return false;
  }
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> all(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; all != nullptr && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all.get(), i), &type);
    if (type != GEN_DNS && type != GEN_URI) {
      continue;
    }
    const auto* const text = static_cast<const ASN1_STRING*>(value);
    std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<size_t>(ASN1_STRING_length(text)));
    // A URI without a scheme would pass for a DNS name, and a name that goes on behind a zero for another.
    const bool is_uri = name.find("://") != std::string::npos;
    if (is_uri == (type == GEN_URI) && name.find('\0') == std::string::npos) {
      names.push_back(std::move(name));
    }
  }
  return true;
}

}  // namespace klatch
