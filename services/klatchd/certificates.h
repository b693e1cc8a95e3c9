#pragma once
// The certificate of the API, its key, and the authority of clients' certificates, from files that change.
//
// gRPC reads files again by itself, and takes what it finds: a key that came before its certificate, or a
// file that is none, and it refuses every new connection until that is mended. So it is given copies in
// memory, which are changed only to what fits together and holds.
//
// Thread safety: any thread; "certificates" reads, every kReloadEvery. Lifetime: outlives the servers.

#include <openssl/x509.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/periodic_thread.h"
#include "common/base/status.h"
#include "common/obs/metrics.h"
#include "services/edge/tls_texts.h"
#include "services/klatchd/options.h"

namespace klatch {

class Certificates {
 public:
  static constexpr std::chrono::milliseconds kReloadEvery{5'000};

  // INVALID_ARGUMENT in one line that names the option and what is wrong with its file.
  static absl::StatusOr<std::unique_ptr<Certificates>> Open(const KlatchdOptions& options);
  ~Certificates();
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // What holds. Any thread.
  std::shared_ptr<const TlsTexts> current() const {
    std::lock_guard lock(mutex_);
    return current_;
  }
  // Paths of this process's copies. The authority's is empty without --tls-client-ca.
  std::string certificate() const { return PathOf(kCertificate); }
  std::string key() const { return PathOf(kKey); }
  std::string client_authority() const { return PathOf(kAuthority); }

  void StartReloading() { reloading_.Start(); }
  // What is added outlives the registry's last scrape.
  void Register(obs::MetricsRegistry& metrics) const;

 private:
  enum File { kCertificate, kKey, kAuthority };
  static constexpr size_t kFiles = 3;

  explicit Certificates(const KlatchdOptions& options);
  absl::StatusOr<TlsTexts> Read() const;
  // Also when the certificate ends, in seconds since 1970.
  absl::StatusOr<int64_t> Check(const TlsTexts& texts) const;
  absl::Status Take(const TlsTexts& texts, int64_t expires);
  void Reload();
  std::string PathOf(File file) const;

  const std::array<std::string, kFiles> paths_;
  std::array<int, kFiles> copies_{-1, -1, -1};
  std::string error_;  // of who reloads
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsTexts> current_;  // guarded by mutex_

  // Numbers on their own.
  std::atomic<int64_t> expires_{0};
  std::atomic<uint64_t> failures_{0};

  // Last: it reloads.
  base::PeriodicThread reloading_{"certificates", kReloadEvery, [this] { Reload(); }};
};

}  // namespace klatch
