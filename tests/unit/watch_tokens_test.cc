#include "services/model/watch_tokens.h"

#include <gtest/gtest.h>

#include <random>

#include "services/model/limits.h"
#include "tests/stress/seed.h"

namespace klatch {
namespace {

WatchPlace RandomPlace(std::mt19937_64& random, uint32_t shards, size_t shown) {
  WatchPlace place;
  for (uint32_t shard = 0; shard < shards; ++shard) {
    place.floor.push_back(random() % 4 == 0
                              ? Position()
                              : Position(random() % (uint64_t{1} << 41), ShardIndex(shard),
                                         random() % (1u << kSequenceBits)));
  }
  for (size_t i = 0; i < shown; ++i) {
    place.shown.emplace_back(random());
  }
  return place;
}

TEST(WatchTokensTest, PackedPlaceComesBackAsItWas) {
  std::mt19937_64 random(stress::PrintedSeed());
  for (int i = 0; i < 1'000; ++i) {
    const auto shards = static_cast<uint32_t>(1 + random() % 70);
    const WatchPlace place = RandomPlace(random, shards, random() % 10);
    const auto unpacked = UnpackWatchPlace(PackWatchPlace(place), shards);
    ASSERT_TRUE(unpacked.has_value());
    EXPECT_EQ(*unpacked, place);
  }
}

TEST(WatchTokensTest, LargestPlaceFitsIntoAToken) {
  std::mt19937_64 random(1);
  const Layout layout{.name = "default", .shard_count = kShardCountMax};
  const WatchTokens tokens(layout, "key");
  const WatchPlace place = RandomPlace(random, kShardCountMax, limits::kWatchTokenShownMax);
  const std::string token = tokens.MakeForStream(place);
  EXPECT_LE(token.size(), limits::kWatchTokenBytesMax);
  ASSERT_TRUE(tokens.ReadForStream(token, "resume_token").ok());
}

TEST(WatchTokensTest, PlacesOfRecentPositionsAreShort) {
  const Layout layout;
  WatchPlace place;
  for (uint32_t shard = 0; shard < layout.shard_count; ++shard) {
    place.floor.emplace_back(50'000'000'000 + shard * 10, ShardIndex(shard), shard % 3);
  }
  EXPECT_LT(WatchTokens(layout, "key").MakeForStream(place).size(), 350u);
}

TEST(WatchTokensTest, TruncatedAndForeignBytesAreRefused) {
  std::mt19937_64 random(2);
  const std::string packed = PackWatchPlace(RandomPlace(random, 8, 3));
  for (size_t bytes = 0; bytes < packed.size(); ++bytes) {
    EXPECT_FALSE(UnpackWatchPlace(packed.substr(0, bytes), 8).has_value()) << bytes;
  }
  EXPECT_FALSE(UnpackWatchPlace(packed + "x", 8).has_value());
  EXPECT_FALSE(UnpackWatchPlace(packed, 7).has_value());
  EXPECT_FALSE(UnpackWatchPlace(packed, 9).has_value());
}

TEST(WatchTokensTest, TokenIsGoodForItsPersonOnly) {
  const Layout layout{.name = "default", .shard_count = 2};
  const WatchTokens tokens(layout, "key");
  const WatchPlace place{.floor = {Position(7, ShardIndex(0), 1), Position()}, .shown = {}};
  const std::string token = tokens.MakeForPerson(PersonId("bob"), place);
  ASSERT_TRUE(tokens.ReadForPerson(PersonId("bob"), token, "resume_token").ok());
  const Layout other_layout{.name = "other", .shard_count = 2};
  for (const auto& refused :
       {tokens.ReadForPerson(PersonId("ann"), token, "resume_token"),
        tokens.ReadForStream(token, "resume_token"),
        tokens.ReadForPerson(PersonId("bob"), token + "A", "resume_token"),
        WatchTokens(layout, "key2").ReadForPerson(PersonId("bob"), token, "resume_token"),
        WatchTokens(other_layout, "key").ReadForPerson(PersonId("bob"), token, "resume_token")}) {
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(base::FieldViolationOf(refused.status())->field, "resume_token");
  }
}

}  // namespace
}  // namespace klatch
