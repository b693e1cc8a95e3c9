#include "services/identity/token_keys.h"

#include <fmt/format.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/whole_file.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace klatch {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

constexpr int kRsaBitsMin = 2'048;
constexpr size_t kSubjectBytesMax = 256;

struct FreeJwt {
  void operator()(jwt_t* jwt) const { jwt_free(jwt); }
};
using Jwt = std::unique_ptr<jwt_t, FreeJwt>;

absl::Status NoKey(std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, message);
}

absl::Status Refused(std::string_view message) {
  return base::WithReason(base::Error(absl::StatusCode::kUnauthenticated, message),
                          "TOKEN_REFUSED");
}

// Nobody is there to be asked.
int NoPassPhrase(char*, int, int, void*) { return -1; }

// The one algorithm that a key is for; empty if it is for none of ours.
absl::StatusOr<std::string> AlgorithmOf(const std::string& pem) {
  if (pem.find("PRIVATE KEY") != std::string::npos) {
    return NoKey("has a private key; tokens are checked with public ones");
  }
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassPhrase, nullptr), EVP_PKEY_free);
  if (key == nullptr) {
    return NoKey("holds no public key in PEM");
  }
  if (EVP_PKEY_is_a(key.get(), "RSA") != 0) {
    if (EVP_PKEY_get_bits(key.get()) < kRsaBitsMin) {
      return NoKey(fmt::format("has an RSA key of {} bits; {} is the least",
                               EVP_PKEY_get_bits(key.get()), kRsaBitsMin));
    }
    return std::string("RS256");
  }
  if (EVP_PKEY_is_a(key.get(), "EC") != 0) {
    char curve[64] = {};
    size_t size = 0;
    EVP_PKEY_get_group_name(key.get(), curve, sizeof curve, &size);
    if (std::string_view(curve, size) == "prime256v1") {
      return std::string("ES256");
    }
  }
  return NoKey("has a key that is neither RSA nor P-256");
}

// Letters of base64 for URLs in three parts; the last may be empty, as of a token that nobody has signed.
bool HasThreeParts(std::string_view token) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return std::ranges::all_of(token, is_letter) && std::ranges::count(token, '.') == 2;
}

std::optional<std::string> TextOf(const char* text) {
  return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

// All claims. By protobuf's JSON: libjwt's own readers take a text where a number should be for 0.
std::optional<Struct> ClaimsOf(jwt_t* jwt) {
  const std::unique_ptr<char, void (*)(void*)> json(jwt_get_grants_json(jwt, nullptr), std::free);
  Struct claims;
  if (json == nullptr || !google::protobuf::util::JsonStringToMessage(json.get(), &claims).ok()) {
    return std::nullopt;
  }
  return claims;
}

const Value* Find(const Struct& claims, const std::string& name) {
  const auto found = claims.fields().find(name);
  return found == claims.fields().end() ? nullptr : &found->second;
}

// Of a claim that is a number of seconds; nothing if it is none, or beyond what a clock holds.
std::optional<base::WallTime> TimeOf(const Value* claim) {
  constexpr double kSecondsMax = 9e9;
  if (claim == nullptr || claim->kind_case() != Value::kNumberValue) {
    return std::nullopt;
  }
  const double seconds = claim->number_value();
  if (!(seconds >= 0 && seconds <= kSecondsMax)) {
    return std::nullopt;
  }
  return base::WallTime(std::chrono::duration_cast<base::WallTime::duration>(
      std::chrono::seconds(static_cast<int64_t>(seconds))));
}

// "aud" is a text or a list of texts.
bool IsFor(const Value* claim, const std::string& audience) {
  if (claim == nullptr || claim->kind_case() != Value::kListValue) {
    return claim != nullptr && claim->string_value() == audience;
  }
  return std::ranges::any_of(claim->list_value().values(),
                             [&](const Value& value) { return value.string_value() == audience; });
}

absl::StatusOr<VerifiedToken> ReadClaims(const Struct& claims, const std::string& audience,
                                         const std::string& issuer, base::WallTime now) {
  VerifiedToken verified;
  const auto expires = TimeOf(Find(claims, "exp"));
  if (!expires) {
    return Refused("the token has no time \"exp\" at which it ends");
  }
  verified.expires = *expires + TokenKeys::kLeeway;
  if (now >= verified.expires) {
    return Refused("the token has expired");
  }
  if (const Value* begins = Find(claims, "nbf")) {
    const auto time = TimeOf(begins);
    if (!time || now + TokenKeys::kLeeway < *time) {
      return Refused("the token is not valid yet");
    }
  }
  const Value* by = Find(claims, "iss");
  if (by == nullptr || by->string_value() != issuer) {
    return Refused("the token is of another issuer");
  }
  if (!IsFor(Find(claims, "aud"), audience)) {
    return Refused("the token is for another audience");
  }
  const Value* subject = Find(claims, "sub");
  if (subject == nullptr || subject->string_value().empty() ||
      subject->string_value().size() > kSubjectBytesMax) {
    return Refused("the token has no subject \"sub\"");
  }
  verified.subject = subject->string_value();
  return verified;
}

}  // namespace

absl::Status TokenKeys::Add(const std::string& kid, std::string pem) {
  if (keys_.size() >= kKeysMax) {
    return NoKey(fmt::format("is one of more than {} keys", kKeysMax));
  }
  KLATCH_ASSIGN_OR_RETURN(std::string algorithm, AlgorithmOf(pem));
  keys_[kid] = {std::move(algorithm), std::move(pem)};
  return absl::OkStatus();
}

TokenKeys TokenKeys::Load(const std::string& folder, std::vector<absl::Status>& problems) {
  namespace fs = std::filesystem;
  TokenKeys keys;
  std::error_code error;
  fs::directory_iterator files(folder, error);
  while (!error && files != fs::directory_iterator()) {
    const fs::path path = files->path();
    if (path.extension() == ".pem") {
      absl::StatusOr<std::string> pem = base::ReadWholeFile(path, kKeyBytesMax);
      if (!pem.ok()) {
        problems.push_back(NoKey(base::MessageOf(pem.status())));
      } else if (const absl::Status added = keys.Add(path.stem(), *std::move(pem)); !added.ok()) {
        problems.push_back(base::Annotate(added, path.string()));
      }
    }
    files.increment(error);
  }
  if (error) {
    problems.push_back(NoKey(fmt::format("{}: cannot be read: {}", folder, error.message())));
  } else if (keys.empty() && problems.empty()) {
    problems.push_back(NoKey(fmt::format("{}: has no key: no file in it ends in .pem", folder)));
  }
  return keys;
}

absl::StatusOr<VerifiedToken> TokenKeys::Verify(const std::string& token,
                                                const std::string& audience,
                                                const std::string& issuer,
                                                base::WallTime now) const {
  if (token.size() > kTokenBytesMax) {
    return Refused(fmt::format("the token has more than {} bytes", kTokenBytesMax));
  }
  // libjwt passes over what is not of its alphabet: one token would have any number of names.
  if (!HasThreeParts(token)) {
    return Refused("the token can't be read");
  }
  jwt_t* read = nullptr;
  if (jwt_decode(&read, token.c_str(), nullptr, 0) != 0) {
    return Refused("the token can't be read");
  }
  const Jwt unverified(read);
  const auto kid = TextOf(jwt_get_header(unverified.get(), "kid"));
  const auto algorithm = TextOf(jwt_get_header(unverified.get(), "alg"));
  if (!kid) {
    return Refused("the token names no key: its header has no \"kid\"");
  }
  const auto found = keys_.find(*kid);
  if (found == keys_.end()) {
    return Refused("the token names a key \"kid\" that is not known");
  }
  const Key& key = found->second;
  if (algorithm != key.algorithm) {
    return Refused(
        fmt::format("the token's algorithm \"alg\" is not that of its key, {}", key.algorithm));
  }
  jwt_t* checked = nullptr;
  if (jwt_decode(&checked, token.c_str(), reinterpret_cast<const unsigned char*>(key.pem.data()),
                 static_cast<int>(key.pem.size())) != 0) {
    return Refused("the token's signature is not that of its key");
  }
  const Jwt verified(checked);
  if (jwt_get_alg(verified.get()) != jwt_str_alg(key.algorithm.c_str())) {
    return Refused("the token's signature is not that of its key");
  }
  const std::optional<Struct> claims = ClaimsOf(verified.get());
  if (!claims) {
    return Refused("the token's claims can't be read");
  }
  return ReadClaims(*claims, audience, issuer, now);
}

}  // namespace klatch
