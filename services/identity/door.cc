#include "services/identity/door.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/base/whole_file.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

constexpr char kAuthorization[] = "authorization";
constexpr std::string_view kBearer = "bearer ";
// gRPC's names of what it read in a certificate.
constexpr const char* kCertificateNames[] = {"peer_dns", "peer_uri"};

absl::Status Unauthenticated(std::string_view message) {
  return base::WithReason(base::Error(absl::StatusCode::kUnauthenticated, message),
                          "TOKEN_REQUIRED");
}

absl::Status Denied(std::string_view message, std::string_view reason) {
  return base::WithReason(base::Error(absl::StatusCode::kPermissionDenied, message), reason);
}

bool StartsWithBearer(std::string_view text) {
  return text.size() >= kBearer.size() &&
         std::equal(kBearer.begin(), kBearer.end(), text.begin(), [](char wanted, char given) {
           return wanted == (given >= 'A' && given <= 'Z' ? given + ('a' - 'A') : given);
         });
}

}  // namespace

Credentials CredentialsOf(const grpc::ServerContextBase& context) {
  Credentials credentials;
  const auto& metadata = context.client_metadata();
  if (const auto header = metadata.find(kAuthorization); header != metadata.end()) {
    const std::string_view text(header->second.data(), header->second.size());
    credentials.token = StartsWithBearer(text) ? text.substr(kBearer.size()) : text;
    return credentials;
  }
  const auto connection = context.auth_context();
  if (connection == nullptr || !connection->IsPeerAuthenticated()) {
    return credentials;
  }
  for (const char* property : kCertificateNames) {
    for (const grpc::string_ref& name : connection->FindPropertyValues(property)) {
      credentials.certificate.emplace_back(name.data(), name.size());
    }
  }
  return credentials;
}

// The tokens in two generations: when the younger is full, the elder goes, and what of it is still used
// has moved over by then.
struct Door::Rules {
  std::string policy_text;
  Policy policy;
  TokenKeys keys;

  std::optional<VerifiedToken> Remembered(const std::string& token) {
    std::lock_guard lock(mutex);
    if (const auto found = young.find(token); found != young.end()) {
      return found->second;
    }
    const auto found = old.find(token);
    if (found == old.end()) {
      return std::nullopt;
    }
    VerifiedToken verified = std::move(found->second);
    old.erase(found);
    Keep(token, verified);
    return verified;
  }
  void Remember(const std::string& token, const VerifiedToken& verified) {
    std::lock_guard lock(mutex);
    Keep(token, verified);
  }

 private:
  void Keep(const std::string& token, const VerifiedToken& verified) {
    if (young.size() >= kTokensRemembered) {
      old = std::exchange(young, {});
    }
    young.emplace(token, verified);
  }

  std::mutex mutex;
  // Guarded by mutex.
  std::unordered_map<std::string, VerifiedToken> young;
  std::unordered_map<std::string, VerifiedToken> old;
};

absl::StatusOr<std::shared_ptr<Door::Rules>> Door::ReadRules(const Options& options) {
  auto rules = std::make_shared<Rules>();
  KLATCH_ASSIGN_OR_RETURN(rules->policy_text,
                          base::ReadWholeFile(options.policy_file, Policy::kFileBytesMax));
  KLATCH_ASSIGN_OR_RETURN(rules->policy, Policy::Parse(options.policy_file, rules->policy_text));
  if (!options.keys_folder.empty()) {
    KLATCH_ASSIGN_OR_RETURN(rules->keys, TokenKeys::Load(options.keys_folder));
  }
  return rules;
}

absl::StatusOr<std::unique_ptr<Door>> Door::Open(Options options, const base::Clock& clock) {
  KLATCH_ASSIGN_OR_RETURN(std::shared_ptr<Rules> rules, ReadRules(options));
  if (rules->policy.knows_tokens() && options.keys_folder.empty()) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("{}: has subjects of tokens, and there are no keys to check "
                                   "tokens with",
                                   options.policy_file));
  }
  return std::unique_ptr<Door>(new Door(std::move(options), clock, std::move(rules)));
}

Door::Door(Options options, const base::Clock& clock, std::shared_ptr<Rules> rules)
    : options_(std::move(options)), clock_(clock), rates_(clock), rules_(std::move(rules)) {}

Door::~Door() = default;

std::shared_ptr<Door::Rules> Door::rules() const {
  std::lock_guard lock(mutex_);
  return rules_;
}

void Door::Reload() {
  absl::StatusOr<std::shared_ptr<Rules>> read = ReadRules(options_);
  if (!read.ok()) {
    reload_failures_.fetch_add(1, std::memory_order_relaxed);
    const std::string error = base::MessageOf(read.status());
    if (std::exchange(reload_error_, error) != error) {
      obs::Log(obs::Level::kError, "door",
               "the policy or its keys can't be read again; the old hold", {{"error", error}});
    }
    return;
  }
  reload_error_.clear();
  const std::shared_ptr<Rules> before = rules();
  if (before->policy_text == (*read)->policy_text && before->keys == (*read)->keys) {
    return;
  }
  obs::Log(obs::Level::kInfo, "door", "the policy or its keys have changed", {});
  std::lock_guard lock(mutex_);
  rules_ = *std::move(read);
}

void Door::Register(obs::MetricsRegistry& metrics) const {
  constexpr char kName[] = "klatch_calls_refused_total";
  constexpr char kHelp[] = "Calls that the door did not let in, by reason.";
  // relaxed: counters.
  metrics.AddCounter(kName, kHelp, {{"reason", "unauthenticated"}},
                     [this] { return unauthenticated_.load(std::memory_order_relaxed); });
  metrics.AddCounter(kName, kHelp, {{"reason", "denied"}},
                     [this] { return denied_.load(std::memory_order_relaxed); });
  metrics.AddCounter(kName, kHelp, {{"reason", "rate"}}, [this] { return rates_.refused(); });
  metrics.AddCounter("klatch_policy_reload_failures_total",
                     "Times that the policy or the keys of tokens could not be read again.", {},
                     [this] { return reload_failures_.load(std::memory_order_relaxed); });
}

absl::StatusOr<Caller> Door::Enter(const Credentials& credentials, const CallName& call) {
  absl::StatusOr<Caller> caller = Recognise(credentials, call);
  if (!caller.ok()) {
    auto& counter = absl::IsUnauthenticated(caller.status()) ? unauthenticated_ : denied_;
    counter.fetch_add(1, std::memory_order_relaxed);
    return caller;
  }
  if (const CallerRates::Bounds rate = caller->rate(); rate.per_second != 0) {
    // People share an identity and no bucket.
    const std::string whose = fmt::format("{}\n{}", caller->identity(), caller->subject());
    KLATCH_RETURN_IF_ERROR(rates_.Take(whose, 1, rate, "the caller calls too often"));
  }
  return caller;
}

absl::Status Door::StillIn(const Credentials& credentials, const CallName& call) {
  return Recognise(credentials, call).status();
}

absl::StatusOr<Caller> Door::Recognise(const Credentials& credentials, const CallName& call) {
  const std::shared_ptr<Rules> rules = this->rules();
  absl::StatusOr<Caller> caller = credentials.token.empty() ? OfCertificate(rules, credentials)
                                                            : OfToken(rules, credentials.token);
  if (!caller.ok()) {
    return caller;
  }
  if (!caller->MayUse(options_.namespace_)) {
    return Denied(fmt::format("identity \"{}\" is not of namespace \"{}\"", caller->identity(),
                              options_.namespace_),
                  "NAMESPACE_NOT_ALLOWED");
  }
  if (!caller->MayCall(call)) {
    return Denied(fmt::format("identity \"{}\" may not call {}", caller->identity(), call.name),
                  "CALL_NOT_ALLOWED");
  }
  return caller;
}

absl::StatusOr<Caller> Door::OfToken(const std::shared_ptr<Rules>& rules,
                                     const std::string& token) {
  const base::WallTime now = clock_.Wall();
  std::optional<VerifiedToken> verified = rules->Remembered(token);
  if (!verified || now >= verified->expires) {
    KLATCH_ASSIGN_OR_RETURN(
        verified, rules->keys.Verify(token, rules->policy.audience(), rules->policy.issuer(), now));
    rules->Remember(token, *verified);
  }
  const Identity* identity = rules->policy.OfSubject(verified->subject);
  if (identity == nullptr) {
    return Denied("no identity of the policy has the token's subject", "UNKNOWN_IDENTITY");
  }
  return Caller({rules, &rules->policy}, *identity, std::move(verified->subject));
}

absl::StatusOr<Caller> Door::OfCertificate(const std::shared_ptr<Rules>& rules,
                                           const Credentials& credentials) const {
  for (const std::string& name : credentials.certificate) {
    if (const Identity* identity = rules->policy.OfCertificate(name)) {
      return Caller({rules, &rules->policy}, *identity, "");
    }
  }
  if (!credentials.certificate.empty()) {
    return Denied("no identity of the policy has a name of the certificate", "UNKNOWN_IDENTITY");
  }
  return Unauthenticated(
      options_.keys_folder.empty()
          ? "no certificate: this server asks who calls"
          : "no token: this server asks for one in the header \"authorization\", as \"Bearer "
            "<token>\"");
}

}  // namespace klatch
