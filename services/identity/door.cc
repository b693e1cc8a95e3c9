#include "services/identity/door.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/base/hash.h"
#include "common/base/whole_file.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

constexpr size_t kDigestKeyBytes = 32;

absl::Status Denied(std::string_view message, std::string_view reason) {
  return base::WithReason(base::Error(absl::StatusCode::kPermissionDenied, message), reason);
}

}  // namespace

// The tokens in two generations: when the younger is full, the elder goes, and what of it is still used
// has moved over by then.
struct Door::Rules {
  uint64_t generation = 0;
  std::string policy_text;
  std::shared_ptr<const Policy> policy;
  TokenKeys keys;
  // Nobody can say beforehand which tokens are remembered under the same name.
  const std::string digest_key = base::RandomBytes(kDigestKeyBytes);

  std::optional<VerifiedToken> Remembered(const std::string& digest) {
    std::lock_guard lock(mutex);
    if (const auto found = young.find(digest); found != young.end()) {
      return found->second;
    }
    const auto found = old.find(digest);
    if (found == old.end()) {
      return std::nullopt;
    }
    VerifiedToken verified = std::move(found->second);
    old.erase(found);
    Keep(digest, verified);
    return verified;
  }
  void Remember(const std::string& digest, const VerifiedToken& verified) {
    std::lock_guard lock(mutex);
    Keep(digest, verified);
  }

 private:
  void Keep(const std::string& digest, const VerifiedToken& verified) {
    if (young.size() >= kTokensRemembered) {
      old = std::exchange(young, {});
    }
    young.insert_or_assign(digest, verified);
  }

  std::mutex mutex;
  // Guarded by mutex. By the digest, so that what is remembered of a token has a size.
  std::unordered_map<std::string, VerifiedToken> young;
  std::unordered_map<std::string, VerifiedToken> old;
};

namespace {

// A policy whose identities can be told, given what is looked at.
absl::StatusOr<Policy> ReadPolicy(const Door::Options& options, const std::string& text) {
  KLATCH_ASSIGN_OR_RETURN(Policy policy, Policy::Parse(options.policy_file, text));
  if (policy.knows_tokens() && options.keys_folder.empty()) {
    return base::Error(
        absl::StatusCode::kInvalidArgument,
        fmt::format("{}: has subjects of tokens, and there are no keys to check tokens with",
                    options.policy_file));
  }
  if (policy.knows_certificates() && !options.takes_certificates) {
    return base::Error(
        absl::StatusCode::kInvalidArgument,
        fmt::format("{}: has certificates, and there is no authority to check them with",
                    options.policy_file));
  }
  return policy;
}

}  // namespace

std::shared_ptr<Door::Rules> Door::ReadRules(const Options& options, const Rules* before,
                                             std::vector<absl::Status>& problems) {
  auto rules = std::make_shared<Rules>();
  absl::StatusOr<std::string> text =
      base::ReadWholeFile(options.policy_file, Policy::kFileBytesMax);
  absl::StatusOr<Policy> policy =
      text.ok() ? ReadPolicy(options, *text)
                : absl::StatusOr<Policy>(base::Error(absl::StatusCode::kInvalidArgument,
                                                     base::MessageOf(text.status())));
  if (policy.ok()) {
    rules->policy_text = *std::move(text);
    rules->policy = std::make_shared<const Policy>(*std::move(policy));
  } else {
    problems.push_back(policy.status());
    if (before != nullptr) {
      rules->policy_text = before->policy_text;
      rules->policy = before->policy;
    }
  }
  if (!options.keys_folder.empty()) {
    rules->keys = TokenKeys::Load(options.keys_folder, problems);
  }
  return rules;
}

absl::StatusOr<std::unique_ptr<Door>> Door::Open(Options options, const base::Clock& clock) {
  std::vector<absl::Status> problems;
  std::shared_ptr<Rules> rules = ReadRules(options, nullptr, problems);
  if (!problems.empty()) {
    return problems.front();
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
  const std::shared_ptr<Rules> before = rules();
  std::vector<absl::Status> problems;
  std::shared_ptr<Rules> read = ReadRules(options_, before.get(), problems);
  std::string error;
  for (const absl::Status& problem : problems) {
    error += (error.empty() ? "" : "; ") + base::MessageOf(problem);
  }
  if (!error.empty()) {
    reload_failures_.fetch_add(1, std::memory_order_relaxed);
  }
  if (std::exchange(reload_error_, error) != error && !error.empty()) {
    obs::Log(obs::Level::kError, "door", "the policy or keys of tokens are not as they should be",
             {{"error", error}});
  }
  if (before->policy_text == read->policy_text && before->keys == read->keys) {
    return;
  }
  obs::Log(obs::Level::kInfo, "door", "the policy or the keys of tokens have changed", {});
  read->generation = before->generation + 1;
  std::lock_guard lock(mutex_);
  rules_ = std::move(read);
  // relaxed: who reads the older number asks again with the next message.
  generation_.store(rules_->generation, std::memory_order_relaxed);
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

absl::StatusOr<Caller> Door::RecogniseAndCount(const Credentials& credentials,
                                               const CallName& call) {
  absl::StatusOr<Caller> caller = Recognise(credentials, call);
  if (!caller.ok()) {
    auto& counter = absl::IsUnauthenticated(caller.status()) ? unauthenticated_ : denied_;
    counter.fetch_add(1, std::memory_order_relaxed);
  }
  return caller;
}

absl::StatusOr<Caller> Door::Enter(const Credentials& credentials, const CallName& call) {
  KLATCH_ASSIGN_OR_RETURN(const Caller caller, RecogniseAndCount(credentials, call));
  if (const CallerRates::Bounds rate = caller.rate(); rate.per_second != 0) {
    // People share an identity and no bucket.
    const std::string whose = fmt::format("{}\n{}", caller.identity(), caller.subject());
    KLATCH_RETURN_IF_ERROR(rates_.Take(whose, 1, rate, "the caller calls too often"));
  }
  return caller;
}

absl::Status Door::Look(const Credentials& credentials, const CallName& call) {
  return RecogniseAndCount(credentials, call).status();
}

absl::StatusOr<Caller> Door::StillIn(const Credentials& credentials, const CallName& call) {
  return Recognise(credentials, call);
}

bool Door::Holds(const Caller& caller) const {
  return caller.validity().rules == generation_.load(std::memory_order_relaxed) &&
         clock_.Wall() < caller.validity().until;
}

absl::StatusOr<Caller> Door::Recognise(const Credentials& credentials, const CallName& call) {
  const std::shared_ptr<Rules> rules = this->rules();
  absl::StatusOr<Caller> caller = credentials.token.empty() ? OfCertificate(*rules, credentials)
                                                            : OfToken(*rules, credentials.token);
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

absl::StatusOr<Caller> Door::OfToken(Rules& rules, const std::string& token) {
  const base::WallTime now = clock_.Wall();
  const std::string digest = base::KeyedDigest(rules.digest_key, token);
  std::optional<VerifiedToken> verified = rules.Remembered(digest);
  if (!verified || now >= verified->expires) {
    KLATCH_ASSIGN_OR_RETURN(
        verified, rules.keys.Verify(token, rules.policy->audience(), rules.policy->issuer(), now));
    rules.Remember(digest, *verified);
  }
  const Identity* identity = rules.policy->OfSubject(verified->subject);
  if (identity == nullptr) {
    return Denied("no identity of the policy has the token's subject", "UNKNOWN_IDENTITY");
  }
  return Caller(rules.policy, *identity, std::move(verified->subject),
                {rules.generation, verified->expires});
}

absl::StatusOr<Caller> Door::OfCertificate(const Rules& rules,
                                           const Credentials& credentials) const {
  for (const std::string& name : credentials.certificate) {
    if (const Identity* identity = rules.policy->OfCertificate(name)) {
      return Caller(rules.policy, *identity, "", {.rules = rules.generation});
    }
  }
  if (credentials.has_certificate) {
    return Denied("no identity of the policy has a name of the certificate", "UNKNOWN_IDENTITY");
  }
  if (options_.keys_folder.empty()) {
    return base::WithReason(base::Error(absl::StatusCode::kUnauthenticated,
                                        "no certificate: this server asks who calls"),
                            "CERTIFICATE_REQUIRED");
  }
  return base::WithReason(
      base::Error(absl::StatusCode::kUnauthenticated,
                  "no token: this server asks for one in the header \"authorization\", as "
                  "\"Bearer <token>\""),
      "TOKEN_REQUIRED");
}

}  // namespace klatch
