#include "common/base/hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstdlib>
#include <cstring>

namespace klatch::base {
namespace {
constexpr size_t kDigestBytes = 16;
}

std::string PayloadDigest(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), kDigestBytes);
}

std::string KeyedDigest(std::string_view key, std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest, &length);
  return std::string(reinterpret_cast<const char*>(digest), kDigestBytes);
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
