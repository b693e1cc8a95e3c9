#include "services/klatchd/access.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>

namespace klatch {
namespace {

constexpr unsigned kCopiesReadSeconds = 1;

std::shared_ptr<grpc::ServerCredentials> CredentialsBy(const Certificates& certificates,
                                                       bool takes_tokens) {
  using grpc::experimental::FileWatcherCertificateProvider;
  const std::string client_authority = certificates.client_authority();
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<FileWatcherCertificateProvider>(
          certificates.key(), certificates.certificate(), client_authority, kCopiesReadSeconds));
  tls.watch_identity_key_cert_pairs();
  if (!client_authority.empty()) {
    tls.watch_root_certs();
    // Who has a token may come without a certificate; then the door asks for the token.
    tls.set_cert_request_type(takes_tokens
                                  ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace

absl::StatusOr<Access> OpenAccess(const KlatchdOptions& options, const base::Clock& clock) {
  Access access;
  access.takes_tokens = !options.token_keys.empty();
  if (!options.tls_cert.empty()) {
    KLATCH_ASSIGN_OR_RETURN(access.certificates, Certificates::Open(options));
    access.credentials = CredentialsBy(*access.certificates, access.takes_tokens);
  }
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

void Access::StartReloading() {
  if (certificates != nullptr) {
    certificates->StartReloading();
  }
  if (door != nullptr) {
    door->StartReloading();
  }
}

void Access::Register(obs::MetricsRegistry& metrics) const {
  if (certificates != nullptr) {
    certificates->Register(metrics);
  }
  if (door != nullptr) {
    door->Register(metrics);
  }
}

}  // namespace klatch
