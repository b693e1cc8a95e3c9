// The vocabulary: positions, keys, and the packed forms of bodies and stays.

#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "services/model/body.h"
#include "services/model/keys.h"
#include "services/model/layout.h"
#include "services/model/membership.h"
#include "services/model/position.h"

namespace klatch {
namespace {

TEST(PositionTest, PartsComeBackFromTheirBits) {
  const Position position((uint64_t{1} << 41) - 1, ShardIndex(1023), 4095);
  EXPECT_EQ(position.value(), 0x7fffffffffffffffULL);
  EXPECT_EQ(position.ms(), (uint64_t{1} << 41) - 1);
  EXPECT_EQ(position.shard(), ShardIndex(1023));
  EXPECT_EQ(position.sequence(), 4095u);
  const Position small(5, ShardIndex(2), 7);
  EXPECT_EQ(small.ms(), 5u);
  EXPECT_EQ(small.shard(), ShardIndex(2));
  EXPECT_EQ(small.sequence(), 7u);
  EXPECT_EQ(small.unix_ms(), kEpochUnixMs + 5);
  EXPECT_TRUE(Position().is_zero());
}

TEST(PositionTest, OfOneShardSortByTimeThenSequence) {
  EXPECT_LT(Position(5, ShardIndex(9), 4095), Position(6, ShardIndex(9), 0));
  EXPECT_LT(Position(5, ShardIndex(9), 1), Position(5, ShardIndex(9), 2));
}

TEST(PositionTest, StreamIdsRoundTrip) {
  const Position position(91234567890, ShardIndex(63), 12);
  EXPECT_EQ(position.ToStreamId(), "91234567890-12");
  EXPECT_EQ(Position::FromStreamId("91234567890-12", ShardIndex(63)), position);
}

TEST(PositionTest, OtherStreamIdsAreRefused) {
  for (const char* id : {"", "-", "1", "1-", "-1", "a-1", "1-a", "1-1-1", " 1-1", "1-1 ", "1-4096",
                         "2199023255552-0", "99999999999999999999-0", "1--1"}) {
    EXPECT_FALSE(Position::FromStreamId(id, ShardIndex(0)).has_value()) << id;
  }
}

// The ids that QUALITY.md names, and what could be taken for a separator.
std::vector<std::string> NastyIds() {
  return {"a",
          "b",
          "a:b",
          ":",
          "::",
          "%",
          "%3A",
          "%25",
          "%253A",
          "{}",
          "}{",
          "{a}",
          "*",
          " ",
          "a b",
          "\r\n",
          std::string("\0", 1),
          "a%3Ab",
          "é",
          ":a",
          "a:",
          "log",
          "once:a",
          std::string(128, ':'),
          "}:log"};
}

TEST(KeysTest, DifferentIdsNeverMakeOneKey) {
  Layout layout;
  layout.shard_count = 2;
  layout.partition_count = 2;
  const Keys keys(layout);
  std::map<std::string, std::string> seen;
  auto expect_new = [&seen](const std::string& key, const std::string& what) {
    auto [at, added] = seen.emplace(key, what);
    EXPECT_TRUE(added) << key << " is " << at->second << " and " << what;
  };
  for (const std::string& id : NastyIds()) {
    expect_new(keys.Group(GroupId(id)), "group " + id);
    expect_new(keys.Members(GroupId(id)), "members " + id);
    expect_new(keys.Feed(GroupId(id)), "feed " + id);
    expect_new(keys.Timeline(PersonId(id)), "timeline " + id);
    expect_new(keys.Posts(PersonId(id)), "posts " + id);
    expect_new(keys.PersonGroups(PersonId(id)), "groups " + id);
    for (const std::string& group : NastyIds()) {
      for (const std::string& request : NastyIds()) {
        expect_new(keys.Once(PersonId(id), GroupId(group), request),
                   id + " in " + group + " for " + request);
      }
    }
  }
  for (uint32_t i = 0; i < 2; ++i) {
    expect_new(keys.Log(ShardIndex(i)), "log");
    expect_new(keys.Groups(ShardIndex(i)), "groups");
    expect_new(keys.Persons(PartitionIndex(i)), "persons");
    expect_new(keys.Holes(PartitionIndex(i)), "holes");
    expect_new(keys.Checkpoint(PartitionIndex(i)), "checkpoint");
    expect_new(keys.Lease(PartitionIndex(i)), "lease");
  }
  expect_new(keys.Namespace(), "namespace");
}

// What Redis Cluster hashes: between the first { and the first } after it.
std::string HashTag(const std::string& key) {
  const size_t open = key.find('{');
  const size_t close = key.find('}', open);
  return key.substr(open, close - open + 1);
}

TEST(KeysTest, NoIdBreaksOutOfItsSlot) {
  const Layout layout;
  const Keys keys(layout);
  for (const std::string& id : NastyIds()) {
    const std::string shard =
        "{default:g" + std::to_string(layout.ShardOf(GroupId(id)).value()) + "}";
    const std::string partition =
        "{default:t" + std::to_string(layout.PartitionOf(PersonId(id)).value()) + "}";
    EXPECT_EQ(HashTag(keys.Group(GroupId(id))), shard);
    EXPECT_EQ(HashTag(keys.Once(PersonId("}{"), GroupId(id), "{}")), shard);
    EXPECT_EQ(HashTag(keys.Timeline(PersonId(id))), partition);
    EXPECT_EQ(HashTag(keys.PersonGroups(PersonId(id))), partition);
  }
}

TEST(KeysTest, NamesAreWhatTheDesignSays) {
  Layout layout;
  layout.shard_count = 1;
  layout.partition_count = 1;
  const Keys keys(layout);
  EXPECT_EQ(keys.Log(ShardIndex(7)), "{default:g7}:log");
  EXPECT_EQ(keys.Group(GroupId("friends:al")), "{default:g0}:group:friends%3Aal");
  EXPECT_EQ(keys.Update(Position(0x1234)), "{default:g1}:update:0000000000001234");
  EXPECT_EQ(keys.Once(PersonId("a:b"), GroupId("g"), "50%"), "{default:g0}:once:a%3Ab:g:50%25");
  EXPECT_EQ(keys.Timeline(PersonId("al")), "{default:t0}:timeline:al");
}

TEST(LayoutTest, PlacementIsPartOfTheStoredFormat) {
  // These values may never change: stored namespaces depend on them.
  const Layout layout;
  EXPECT_EQ(layout.ShardOf(GroupId("hiking")).value(), base::StableHash64("hiking") % 64);
  EXPECT_EQ(base::StableHash64(""), 0xefd01f60ba992926ULL);
  EXPECT_EQ(base::StableHash64("hiking"), 0xda1b5e4189ee4015ULL);
}

TEST(BodyTest, EncodesAsItsHeaderShows) {
  const std::string stored =
      EncodeBody({AudienceRule::kMembersNow, 0, PersonId("al"), GroupId("g")}, "\x2a\x02hi");
  EXPECT_EQ(stored, std::string("\x01\x02\0\0\0\0\x02\x01"
                                "alg\x2a\x02hi",
                                15));
}

TEST(BodyTest, RoundTripsLongestIdsAndAnyBytes) {
  const BodyHeader header{AudienceRule::kMembersAtPosting, 0xfedcba98u,
                          PersonId(std::string(128, 'p')), GroupId(std::string(128, '\0'))};
  std::string update;
  for (int i = 0; i < 256; ++i) {
    update.push_back(static_cast<char>(i));
  }
  auto body = Body::Decode(EncodeBody(header, update));
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->header().audience, header.audience);
  EXPECT_EQ(body->header().revision, header.revision);
  EXPECT_EQ(body->header().author, header.author);
  EXPECT_EQ(body->header().group, header.group);
  EXPECT_EQ(body->update_bytes(), update);
}

TEST(BodyTest, CutShortOrUnknownIsNothing) {
  const std::string stored =
      EncodeBody({AudienceRule::kMembersNow, 3, PersonId("al"), GroupId("g")}, "");
  for (size_t bytes = 0; bytes < stored.size(); ++bytes) {
    EXPECT_FALSE(Body::Decode(stored.substr(0, bytes)).has_value()) << bytes;
  }
  EXPECT_TRUE(Body::Decode(stored).has_value());
  std::string version = stored;
  version[0] = 2;
  EXPECT_FALSE(Body::Decode(version).has_value());
  std::string audience = stored;
  audience[1] = 3;
  EXPECT_FALSE(Body::Decode(audience).has_value());
}

TEST(BodyTest, RandomBytesNeverCrashTheDecoder) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) {
      byte = static_cast<char>(random());
    }
    if (!bytes.empty()) {
      bytes[0] = 1;
    }
    auto body = Body::Decode(bytes);
    if (body) {
      EXPECT_EQ(EncodeBody(body->header(), body->update_bytes()), bytes);
    }
  }
}

TEST(StayTest, RoundTripsIn17Bytes) {
  const Stay stay{Role::kModerator, Position(0x0102030405060708), Position()};
  const std::string bytes = EncodeStay(stay);
  EXPECT_EQ(bytes, std::string("\x03\x08\x07\x06\x05\x04\x03\x02\x01\0\0\0\0\0\0\0\0", 17));
  EXPECT_EQ(DecodeStay(bytes), stay);
  EXPECT_EQ(DecodeStay(bytes + "and a position"), stay);
}

TEST(StayTest, CutShortOrOfUnknownRoleIsNothing) {
  const std::string bytes = EncodeStay({Role::kOwner, Position(1), Position(1)});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeStay(bytes.substr(0, size)).has_value()) << size;
  }
  std::string unknown = bytes;
  unknown[0] = 5;
  EXPECT_FALSE(DecodeStay(unknown).has_value());
  unknown[0] = static_cast<char>(0xff);
  EXPECT_FALSE(DecodeStay(unknown).has_value());
}

}  // namespace
}  // namespace klatch
