#include "common/base/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace klatch::base {
namespace {
constexpr size_t kDigestBytes = 16;

// Without a hash nothing can be told apart or signed: there is no way on.
void Need(int done) {
  if (done != 1) {
    std::abort();
  }
}

// OpenSSL looks an algorithm up by name each time that it is asked for it in one call, which takes
// longer than to hash a request. So what was looked up is kept, and each thread has a context of its own.

const EVP_MD* Sha256() {
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return sha256;
}

EVP_MD_CTX* HashContext() {
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return context.get();
}

EVP_MAC_CTX* MakeMacContext() {
  EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* const context = EVP_MAC_CTX_new(hmac);
  EVP_MAC_free(hmac);  // The context holds it.
  char sha256[] = "SHA256";
  const std::array<OSSL_PARAM, 2> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
      OSSL_PARAM_construct_end()};
  Need(EVP_MAC_CTX_set_params(context, parameters.data()));
  return context;
}

EVP_MAC_CTX* MacContext() {
  thread_local const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(
      MakeMacContext(), EVP_MAC_CTX_free);
  return context.get();
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string Begin(const unsigned char* digest) {
  return std::string(reinterpret_cast<const char*>(digest), kDigestBytes);
}

}  // namespace

std::string PayloadDigest(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  EVP_MD_CTX* const context = HashContext();
  Need(EVP_DigestInit_ex(context, Sha256(), nullptr));
  Need(EVP_DigestUpdate(context, bytes.data(), bytes.size()));
  Need(EVP_DigestFinal_ex(context, digest, nullptr));
  return Begin(digest);
}

std::string KeyedDigest(std::string_view key, std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  size_t length = 0;
  EVP_MAC_CTX* const context = MacContext();
  // Without a pointer it would take the key of the call before.
  Need(EVP_MAC_init(context, Bytes(key.empty() ? "" : key), key.size(), nullptr));
  Need(EVP_MAC_update(context, Bytes(bytes), bytes.size()));
  Need(EVP_MAC_final(context, digest, &length, sizeof(digest)));
  return Begin(digest);
}

std::string RandomBytes(size_t n) {
  std::string bytes(n, '\0');
  // Without a random source neither nonces nor cursor keys can be trusted: there is no way on.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(n)) != 1) {
    std::abort();
  }
  return bytes;
}

uint64_t RandomUint64() {
  thread_local std::string pool;
  thread_local size_t used = 0;
  constexpr size_t kPoolBytes = 512;
  if (used + sizeof(uint64_t) > pool.size()) {
    pool = RandomBytes(kPoolBytes);
    used = 0;
  }
  uint64_t value;
  std::memcpy(&value, pool.data() + used, sizeof(value));
  used += sizeof(value);
  return value;
}

}  // namespace klatch::base
