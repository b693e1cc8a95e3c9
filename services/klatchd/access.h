#pragma once
// Who gets in: TLS of the API, and the door behind it, from the files that options name. Certificates and
// keys are read again while the server runs, when their files change; so are the policy and the keys of
// tokens.
//
// Thread safety: as its parts. Lifetime: outlives the servers.

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "services/identity/door.h"
#include "services/klatchd/certificates.h"
#include "services/klatchd/options.h"

namespace klatch {

struct Access {
  void StartReloading();
  // What is added outlives the registry's last scrape.
  void Register(obs::MetricsRegistry& metrics) const;

  std::unique_ptr<Certificates> certificates;  // null without --tls-cert
  // Then plain text.
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  bool takes_tokens = false;   // also without a certificate
  std::unique_ptr<Door> door;  // null without --policy
};

// INVALID_ARGUMENT in one line that names the option and what is wrong with its file: missing, no PEM, a
// key of another certificate, a certificate that has expired or begins later, a policy that can't hold.
absl::StatusOr<Access> OpenAccess(const KlatchdOptions& options, const base::Clock& clock);

}  // namespace klatch
