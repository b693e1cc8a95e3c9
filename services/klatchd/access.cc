#include "services/klatchd/access.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>
#include <string_view>
#include <utility>

#include "common/base/whole_file.h"

namespace klatch {
namespace {

constexpr unsigned kCertificateReloadSeconds = 5;
constexpr size_t kPemBytesMax = 1 << 20;

using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
using PrivateKey = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Memory = std::unique_ptr<BIO, int (*)(BIO*)>;

absl::Status Invalid(std::string_view option, std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, fmt::format("--{} {}", option, message));
}

absl::StatusOr<std::string> ReadPem(std::string_view option, const std::string& path) {
  absl::StatusOr<std::string> text = base::ReadWholeFile(path, kPemBytesMax);
  return text.ok() ? std::move(text) : Invalid(option, base::MessageOf(text.status()));
}

Memory MemoryOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

// The first certificate of the file, which holds now.
absl::StatusOr<Certificate> ReadCertificate(std::string_view option, const std::string& path) {
  KLATCH_ASSIGN_OR_RETURN(const std::string text, ReadPem(option, path));
  Certificate certificate(PEM_read_bio_X509(MemoryOf(text).get(), nullptr, nullptr, nullptr),
                          X509_free);
  if (certificate == nullptr) {
    return Invalid(option, fmt::format("{}: holds no certificate in PEM", path));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0) {
    return Invalid(option, fmt::format("{}: the certificate has expired", path));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0) {
    return Invalid(option, fmt::format("{}: the certificate is not valid yet", path));
  }
  return certificate;
}

// A key with a pass phrase is refused: nobody is there to be asked.
int NoPassPhrase(char*, int, int, void*) { return -1; }

absl::Status CheckPair(const KlatchdOptions& options) {
  KLATCH_ASSIGN_OR_RETURN(const Certificate certificate,
                          ReadCertificate("tls-cert", options.tls_cert));
  KLATCH_ASSIGN_OR_RETURN(const std::string text, ReadPem("tls-key", options.tls_key));
  const PrivateKey key(
      PEM_read_bio_PrivateKey(MemoryOf(text).get(), nullptr, NoPassPhrase, nullptr), EVP_PKEY_free);
  if (key == nullptr) {
    return Invalid("tls-key", fmt::format("{}: holds no private key in PEM without a pass phrase",
                                          options.tls_key));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Invalid("tls-key", fmt::format("{}: is not the key of the certificate {}",
                                          options.tls_key, options.tls_cert));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> OpenTls(const KlatchdOptions& options) {
  if (options.tls_cert.empty()) {
    return grpc::InsecureServerCredentials();
  }
  using grpc::experimental::FileWatcherCertificateProvider;
  KLATCH_RETURN_IF_ERROR(CheckPair(options));
  const std::string& client_ca = options.tls_client_ca;
  if (!client_ca.empty()) {
    KLATCH_RETURN_IF_ERROR(ReadCertificate("tls-client-ca", client_ca).status());
  }
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<FileWatcherCertificateProvider>(options.tls_key, options.tls_cert, client_ca,
                                                       kCertificateReloadSeconds));
  tls.watch_identity_key_cert_pairs();
  if (!client_ca.empty()) {
    tls.watch_root_certs();
    // Who has a token may come without a certificate; then the door asks for the token.
    tls.set_cert_request_type(options.token_keys.empty()
                                  ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace

absl::StatusOr<Access> OpenAccess(const KlatchdOptions& options, const base::Clock& clock) {
  Access access;
  KLATCH_ASSIGN_OR_RETURN(access.credentials, OpenTls(options));
  if (!options.policy.empty()) {
    absl::StatusOr<std::unique_ptr<Door>> door =
        Door::Open({.policy_file = options.policy,
                    .keys_folder = options.token_keys,
                    .takes_certificates = !options.tls_client_ca.empty(),
                    .namespace_ = options.namespaces.front()},
                   clock);
    if (!door.ok()) {
      return base::Annotate(door.status(), "--policy");
    }
    access.door = *std::move(door);
  }
  return access;
}

}  // namespace klatch
