#pragma once
// Where each call shows who makes it: a token in its metadata ("authorization: Bearer …"), or else the
// certificate of its connection, held against a policy. Whoever is in no policy, calls what theirs doesn't
// name, or too often, is refused.
//
//   door.Enter(CredentialsOf(*context), CallOf(*Request::descriptor()))  ->  Caller
//
// Files are read again every kReloadEvery; what can't be read or is wrong is logged and counted. Of a bad
// policy the last that was good stays in force; a bad key is none, and one whose file is gone is gone. Who was
// let in by a file that says something else now is out with the next call, and a watch with its next message.
//
// Thread safety: any thread. Lifetime: outlives the servers.
// Bounds: those of Policy and TokenKeys; tokens that were verified are remembered, by a digest of 16 bytes, twice
// kTokensRemembered at most.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/periodic_thread.h"
#include "common/base/status.h"
#include "common/obs/metrics.h"
#include "services/identity/caller.h"
#include "services/identity/caller_rates.h"
#include "services/identity/credentials.h"
#include "services/identity/policy.h"
#include "services/identity/token_keys.h"

namespace klatch {

class Door {
 public:
  static constexpr std::chrono::milliseconds kReloadEvery{5'000};
  static constexpr size_t kTokensRemembered = 16 * 1024;

  struct Options {
    std::string policy_file;
    std::string keys_folder;          // empty: no tokens
    bool takes_certificates = false;  // whether connections verify those of clients
    std::string namespace_;           // the node's
  };

  // INVALID_ARGUMENT in one line for files that can't be read or are wrong.
  static absl::StatusOr<std::unique_ptr<Door>> Open(Options options, const base::Clock& clock);
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  // UNAUTHENTICATED: nobody we know; PERMISSION_DENIED: somebody who may not call this, or not this
  // namespace; RESOURCE_EXHAUSTED with reason RATE_LIMITED: too often.
  absl::StatusOr<Caller> Enter(const Credentials& credentials, const CallName& call);
  // The same without the rate, for whoever is to know before Enter whether it makes sense to go on.
  absl::Status Look(const Credentials& credentials, const CallName& call);
  // Of who is in: what they are now, which may have other rights. Refusals are not counted.
  absl::StatusOr<Caller> StillIn(const Credentials& credentials, const CallName& call);
  // Whether StillIn would say what made `caller`: nothing has been read anew, and their token has not ended.
  bool Holds(const Caller& caller) const;

  // Reads the files again from now on.
  void StartReloading() { reloading_.Start(); }
  // Once; StartReloading does it every kReloadEvery. One thread at a time.
  void Reload();

  // What is added outlives the registry's last scrape.
  void Register(obs::MetricsRegistry& metrics) const;

 private:
  // What is in force, and the tokens that were verified by it.
  struct Rules;

  Door(Options options, const base::Clock& clock, std::shared_ptr<Rules> rules);
  // What keeps `before` in force, or what is new; `problems` says what is wrong.
  static std::shared_ptr<Rules> ReadRules(const Options& options, const Rules* before,
                                          std::vector<absl::Status>& problems);

  std::shared_ptr<Rules> rules() const;
  absl::StatusOr<Caller> Recognise(const Credentials& credentials, const CallName& call);
  absl::StatusOr<Caller> RecogniseAndCount(const Credentials& credentials, const CallName& call);
  absl::StatusOr<Caller> OfToken(Rules& rules, const std::string& token);
  absl::StatusOr<Caller> OfCertificate(const Rules& rules, const Credentials& credentials) const;

  const Options options_;
  const base::Clock& clock_;
  CallerRates rates_;
  // Counters; nothing is published with them.
  std::atomic<uint64_t> unauthenticated_{0};
  std::atomic<uint64_t> denied_{0};
  std::atomic<uint64_t> reload_failures_{0};
  std::atomic<uint64_t> generation_{0};  // of the rules

  std::string reload_error_;  // the last, of who reloads

  mutable std::mutex mutex_;
  std::shared_ptr<Rules> rules_;  // guarded by mutex_

  // Last: it reloads.
  base::PeriodicThread reloading_{"door", kReloadEvery, [this] { Reload(); }};
};

}  // namespace klatch
