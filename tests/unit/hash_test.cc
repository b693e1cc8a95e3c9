// Hashes against published values; the stable one's are part of the stored format.

#include "common/base/hash.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace klatch::base {
namespace {

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

// FIPS 180-4, the first half of each.
TEST(HashTest, PayloadDigestIsSha256) {
  EXPECT_EQ(Hex(PayloadDigest("")), "e3b0c44298fc1c149afbf4c8996fb924");
  EXPECT_EQ(Hex(PayloadDigest("abc")), "ba7816bf8f01cfea414140de5dae2223");
  EXPECT_EQ(Hex(PayloadDigest(std::string(1'000'000, 'a'))), "cdc76e5c9914fb9281a1c7e284d73e67");
}

// RFC 4231, cases 1, 2 and 6.
TEST(HashTest, KeyedDigestIsHmacSha256) {
  EXPECT_EQ(Hex(KeyedDigest(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b");
  EXPECT_EQ(Hex(KeyedDigest("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c7");
  EXPECT_EQ(Hex(KeyedDigest(std::string(131, '\xaa'),
                            "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f");
}

// The empty key is one too, not the key of the call before.
TEST(HashTest, EachCallHasItsOwnKey) {
  const std::string with_empty = KeyedDigest("", "text");
  EXPECT_EQ(Hex(KeyedDigest("", "")), "b613679a0814d9ec772f95d778c35fc5");
  EXPECT_NE(KeyedDigest("key", "text"), with_empty);
  EXPECT_EQ(KeyedDigest(std::string_view(), "text"), with_empty);
}

TEST(HashTest, ThreadsHashSideBySide) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1'000; ++i) {
        EXPECT_EQ(Hex(PayloadDigest("abc")), "ba7816bf8f01cfea414140de5dae2223");
        EXPECT_EQ(Hex(KeyedDigest("Jefe", "what do ya want for nothing?")),
                  "5bdcc146bf60754e6a042426089575c7");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace
}  // namespace klatch::base
