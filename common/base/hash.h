#pragma once
// Hashes whose values outlive a process. StableHash64 places groups on shards and persons on
// partitions: its values are part of the stored format and never change. PayloadDigest tells
// whether two requests under one idempotency key are the same; it is cryptographic because the
// bytes come from outside.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace klatch::base {

// FNV-1a over the bytes, then the finalizer of MurmurHash3 so that low bits are well mixed.
constexpr uint64_t StableHash64(std::string_view bytes) {
  uint64_t h = 0xcbf29ce484222325ULL;
  for (char c : bytes) {
    h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdULL;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return h ^ (h >> 33);
}

// The first 16 bytes of SHA-256.
std::string PayloadDigest(std::string_view bytes);

// The first 16 bytes of HMAC-SHA-256.
std::string KeyedDigest(std::string_view key, std::string_view bytes);

// n bytes from the system's random source.
std::string RandomBytes(size_t n);
uint64_t RandomUint64();

}  // namespace klatch::base
