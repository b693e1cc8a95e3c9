#pragma once
// Who may call, and what: a TOML file that names identities, what proves them and what each may do.
// What no identity allows is denied.
//
//   audience = "klatch"                       # of tokens
//   issuer = "https://login.example.org"
//
//   [[identity]]
//   name = "backend"
//   certificates = ["backend.example.org"]    # a DNS name or URI of a client's certificate
//   subjects = ["backend"]                    # or of a token, its "sub"
//   namespaces = ["default"]
//   calls = ["FeedService", "GroupService", "PersonService"]
//   act_for = "anybody"
//   calls_per_second = 5000
//   burst = 10000
//
//   [[identity]]
//   name = "people"
//   subjects = ["*"]                          # whoever has a token that nobody else is named for
//   namespaces = ["default"]
//   calls = ["FeedService/ListHomeTimeline", "FeedService/WatchHomeTimeline"]
//   act_for = "subject"                       # only for the person whose token it is
//
// Thread safety: immutable. Bounds: kIdentitiesMax, kNamesMax names in each list of one.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/status.h"
#include "services/identity/call_names.h"
#include "services/identity/caller_rates.h"

namespace klatch {

struct Identity {
  std::string name;
  std::vector<std::string> namespaces;
  CallSet calls;
  bool acts_for_anybody = false;
  CallerRates::Bounds rate;  // of calls; per_second 0: no bound
};

class Policy {
 public:
  static constexpr size_t kIdentitiesMax = 1'000;
  static constexpr size_t kNamesMax = 100;
  static constexpr size_t kNameBytesMax = 256;
  static constexpr size_t kFileBytesMax = 1 << 20;

  // INVALID_ARGUMENT "<path>:<line>: identity \"x\": calls …" for what is missing, unknown or at odds.
  // `path` is for messages only.
  static absl::StatusOr<Policy> Parse(std::string_view path, std::string_view text);

  // Null if none has it. By an index, however many identities there are.
  const Identity* OfCertificate(const std::string& name) const;
  const Identity* OfSubject(const std::string& subject) const;

  const std::string& audience() const { return audience_; }
  const std::string& issuer() const { return issuer_; }
  bool knows_certificates() const { return !by_certificate_.empty(); }
  bool knows_tokens() const { return !by_subject_.empty(); }

 private:
  friend class PolicyReader;

  std::string audience_;
  std::string issuer_;
  std::vector<Identity> identities_;
  // Into identities_.
  std::unordered_map<std::string, size_t> by_certificate_;
  std::unordered_map<std::string, size_t> by_subject_;
};

}  // namespace klatch
