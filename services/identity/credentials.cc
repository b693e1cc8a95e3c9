#include "services/identity/credentials.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "common/base/hash.h"

namespace klatch {
namespace {

constexpr char kAuthorization[] = "authorization";
constexpr std::string_view kBearer = "bearer ";
// The first value is what only this process knows; each other one is a name.
constexpr char kCertificate[] = "klatch-client-certificate-bin";
constexpr size_t kSecretBytes = 32;

// By which a call of this process is known.
const std::string& Secret() {
  static const std::string secret = base::RandomBytes(kSecretBytes);
  return secret;
}

bool StartsWithBearer(std::string_view text) {
  return text.size() >= kBearer.size() &&
         std::equal(kBearer.begin(), kBearer.end(), text.begin(), [](char wanted, char given) {
           return wanted == (given >= 'A' && given <= 'Z' ? given + ('a' - 'A') : given);
         });
}

bool IsSecret(const grpc::string_ref& text) {
  return text.size() == kSecretBytes &&
         CRYPTO_memcmp(text.data(), Secret().data(), kSecretBytes) == 0;
}

void ReadShown(const grpc::ServerContextBase& context, Credentials& credentials) {
  const auto [begin, end] = context.client_metadata().equal_range(kCertificate);
  if (std::none_of(begin, end, [](const auto& shown) { return IsSecret(shown.second); })) {
    return;
  }
  credentials.has_certificate = true;
  for (auto shown = begin; shown != end; ++shown) {
    if (!IsSecret(shown->second)) {
      credentials.certificate.emplace_back(shown->second.data(), shown->second.size());
    }
  }
}

void ReadConnection(const grpc::AuthContext& connection, Credentials& credentials) {
  credentials.has_certificate = true;
  for (const grpc::string_ref& name : connection.FindPropertyValues("peer_dns")) {
    credentials.certificate.emplace_back(name.data(), name.size());
  }
  for (const grpc::string_ref& uri : connection.FindPropertyValues("peer_uri")) {
    // One without a scheme would pass for a DNS name.
    std::string text(uri.data(), uri.size());
    if (text.find("://") != std::string::npos) {
      credentials.certificate.push_back(std::move(text));
    }
  }
}

}  // namespace

std::string TokenOf(std::string_view authorization) {
  return std::string(StartsWithBearer(authorization) ? authorization.substr(kBearer.size())
                                                     : authorization);
}

Credentials CredentialsOf(const grpc::ServerContextBase& context) {
  Credentials credentials;
  const auto& metadata = context.client_metadata();
  if (const auto header = metadata.find(kAuthorization); header != metadata.end()) {
    credentials.token = TokenOf({header->second.data(), header->second.size()});
    return credentials;
  }
  const auto connection = context.auth_context();
  if (connection != nullptr && connection->IsPeerAuthenticated()) {
    ReadConnection(*connection, credentials);
  } else {
    ReadShown(context, credentials);
  }
  return credentials;
}

void Show(const Credentials& credentials, grpc::ClientContext& context) {
  if (!credentials.token.empty()) {
    context.AddMetadata(kAuthorization, std::string("Bearer ") + credentials.token);
  }
  if (credentials.has_certificate) {
    context.AddMetadata(kCertificate, Secret());
    for (const std::string& name : credentials.certificate) {
      context.AddMetadata(kCertificate, name);
    }
  }
}

}  // namespace klatch
