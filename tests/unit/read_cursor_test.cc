// Page tokens under abuse: only what was given out, to whom, for what, is taken back.

#include <gtest/gtest.h>

#include <iostream>
#include <limits>
#include <random>

#include "absl/strings/escaping.h"
#include "common/base/hash.h"
#include "services/read/cursor.h"

namespace klatch {
namespace {

const PageScope kHomeOfAl{PageKind::kHome, PersonId("al"), ""};

Cursor MakeCursor() { return Cursor("default", "0123456789abcdef0123456789abcdef"); }

void ExpectRefused(const Cursor& cursor, const PageScope& scope, std::string_view token) {
  const absl::StatusOr<UpdateId> below = cursor.Read(scope, token);
  ASSERT_FALSE(below.ok()) << "accepted " << absl::CHexEscape(std::string(token));
  EXPECT_EQ(below.status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(base::FieldViolationOf(below.status()).has_value());
  EXPECT_EQ(base::FieldViolationOf(below.status())->field, "page_token");
}

TEST(CursorTest, GivesBackWhatItWasMadeOf) {
  const Cursor cursor = MakeCursor();
  for (uint64_t below :
       {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40, std::numeric_limits<uint64_t>::max()}) {
    const absl::StatusOr<UpdateId> read =
        cursor.Read(kHomeOfAl, cursor.Make(kHomeOfAl, UpdateId(below)));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->value(), below);
  }
}

TEST(CursorTest, StartsAtTheNewestWithoutAToken) {
  EXPECT_EQ(MakeCursor().Read(kHomeOfAl, "")->value(), std::numeric_limits<uint64_t>::max());
}

TEST(CursorTest, RefusesAnothersTokens) {
  const Cursor cursor = MakeCursor();
  const PageScope scopes[] = {
      kHomeOfAl,
      {PageKind::kHome, PersonId("bo"), ""},
      {PageKind::kGroup, PersonId("al"), "g"},
      {PageKind::kGroup, PersonId("al"), "h"},
      {PageKind::kGroup, PersonId("alg"), ""},
      {PageKind::kProfile, PersonId("al"), "g"},
      {PageKind::kProfile, PersonId("al"), "al"},
  };
  for (size_t i = 0; i < std::size(scopes); ++i) {
    const std::string token = cursor.Make(scopes[i], UpdateId(5));
    for (size_t j = 0; j < std::size(scopes); ++j) {
      if (i == j) {
        EXPECT_TRUE(cursor.Read(scopes[j], token).ok());
      } else {
        ExpectRefused(cursor, scopes[j], token);
      }
    }
  }
}

TEST(CursorTest, RefusesAnotherNamespacesAndAnotherKeysTokens) {
  const std::string token = MakeCursor().Make(kHomeOfAl, UpdateId(5));
  ExpectRefused(Cursor("other", "0123456789abcdef0123456789abcdef"), kHomeOfAl, token);
  ExpectRefused(Cursor("default", "another key"), kHomeOfAl, token);
}

TEST(CursorTest, RefusesEveryTruncationEveryBitFlipAndEveryOtherSpelling) {
  const Cursor cursor = MakeCursor();
  const std::string token = cursor.Make(kHomeOfAl, UpdateId(5));
  for (size_t length = 1; length < token.size(); ++length) {
    ExpectRefused(cursor, kHomeOfAl, token.substr(0, length));
  }
  for (size_t bit = 0; bit < token.size() * 8; ++bit) {
    std::string flipped = token;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    ExpectRefused(cursor, kHomeOfAl, flipped);
  }
  for (const std::string& respelt : {token + "=", token + " ", " " + token, token + "\n",
                                     token + std::string(1, '\0'), token + token}) {
    ExpectRefused(cursor, kHomeOfAl, respelt);
  }
}

TEST(CursorTest, RefusesTooLongTokens) {
  ExpectRefused(MakeCursor(), kHomeOfAl, std::string(513, 'A'));
  ExpectRefused(MakeCursor(), kHomeOfAl, std::string(1 << 20, 'A'));
}

// One random change of a token, or of its bytes before they are escaped.
std::string Mutate(std::string token, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  switch (below(6)) {
    case 0:
      token[below(token.size())] = static_cast<char>(random());
      return token;
    case 1:
      return token.erase(below(token.size()), 1 + below(8));
    case 2:
      return token.insert(below(token.size()), 1 + below(8), static_cast<char>(random()));
    case 3:
      std::swap(token[below(token.size())], token[below(token.size())]);
      return token;
    case 4: {
      std::string bytes(1 + below(80), '\0');
      for (char& byte : bytes) {
        byte = static_cast<char>(random());
      }
      return below(2) == 0 ? bytes : absl::WebSafeBase64Escape(bytes);
    }
    default: {
      std::string bytes;
      absl::WebSafeBase64Unescape(token, &bytes);
      bytes[below(bytes.size())] = static_cast<char>(random());
      return absl::WebSafeBase64Escape(bytes);
    }
  }
}

TEST(CursorTest, AcceptsNoneOfTenThousandRandomMutations) {
  const uint64_t seed = base::RandomUint64();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  const Cursor cursor = MakeCursor();
  int refused = 0;
  while (refused < 10'000) {
    const std::string token = cursor.Make(kHomeOfAl, UpdateId(random()));
    const std::string mutated = Mutate(token, random);
    if (mutated == token || mutated.empty()) {
      continue;
    }
    ExpectRefused(cursor, kHomeOfAl, mutated);
    if (HasFatalFailure()) {
      return;
    }
    ++refused;
  }
}

}  // namespace
}  // namespace klatch
