// The vocabulary: positions, keys, and the packed forms of bodies and stays.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "klatch/v1/resources.pb.h"
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

TEST(BodyTest, TellsWhenItExpires) {
  klatch::v1::Update update;
  update.set_text("hi");
  update.add_attachments()->set_uri("https://a.example");
  const BodyHeader one{AudienceRule::kMembersNow, 0, PersonId("al"), GroupId("g")};
  BodyHeader several{AudienceRule::kMembersNow, 0, PersonId("al"), GroupId()};
  several.targets.push_back({GroupId("g"), Carry{}});
  for (const BodyHeader& header : {one, several}) {
    update.clear_expire_time();
    EXPECT_EQ(Body::Decode(EncodeBody(header, update.SerializeAsString()))->header().expire_unix_ms,
              kNeverUnixMs);
    update.mutable_expire_time()->set_seconds(1'800'000'000);
    update.mutable_expire_time()->set_nanos(123'999'999);
    EXPECT_EQ(Body::Decode(EncodeBody(header, update.SerializeAsString()))->header().expire_unix_ms,
              1'800'000'000'123);
    // Whatever is no time never comes.
    update.mutable_expire_time()->set_seconds(std::numeric_limits<int64_t>::max());
    EXPECT_EQ(Body::Decode(EncodeBody(header, update.SerializeAsString()))->header().expire_unix_ms,
              kNeverUnixMs);
  }
  EXPECT_EQ(Body::Decode(EncodeBody(one, "\x62\x7f"))->header().expire_unix_ms, kNeverUnixMs);
}

TEST(CarryTest, RoundTripsInNineBytes) {
  const std::vector<Carry> carries = {
      Carry{}, Carry{Position(0x0102030405060708), AudienceRule::kMembersNow, CarryRefusal::kNone},
      Carry{Position(), AudienceRule::kGroupDefault, CarryRefusal::kNoGroup},
      Carry{Position(), AudienceRule::kGroupDefault, CarryRefusal::kRemoved}};
  for (const Carry& carry : carries) {
    const std::string bytes = EncodeCarry(carry);
    EXPECT_EQ(bytes.size(), kCarryBytes);
    EXPECT_EQ(DecodeCarry(bytes), carry);
  }
  EXPECT_EQ(EncodeCarry(carries[1]), std::string("\x08\x07\x06\x05\x04\x03\x02\x01\x02", 9));
  EXPECT_EQ(EncodeCarry(carries[3]), std::string("\xfb\xff\xff\xff\xff\xff\xff\xff\0", 9));
}

TEST(CarryTest, WhatIsNeitherAPositionNorARefusalIsNothing) {
  for (const std::string& bytes :
       {std::string(), std::string(8, '\0'), std::string(10, '\0'),
        std::string("\0\0\0\0\0\0\0\0\1", 9), std::string("\1\0\0\0\0\0\0\0\0", 9),
        std::string("\1\0\0\0\0\0\0\0\3", 9), std::string(8, '\xff') + '\0',
        std::string("\xf9\xff\xff\xff\xff\xff\xff\xff\0", 9),
        std::string("\xfe\xff\xff\xff\xff\xff\xff\xff\1", 9)}) {
    EXPECT_FALSE(DecodeCarry(bytes).has_value()) << testing::PrintToString(bytes);
  }
}

BodyHeader OfSeveral() {
  BodyHeader header;
  header.revision = 2;
  header.author = PersonId("al");
  header.targets = {
      {GroupId("g"), Carry{Position(7), AudienceRule::kMembersNow, CarryRefusal::kNone}},
      {GroupId("hh"), Carry{}},
      {GroupId("i"), Carry{Position(), AudienceRule::kGroupDefault, CarryRefusal::kNotMember}}};
  return header;
}

TEST(BodyTest, OfSeveralGroupsRoundTrips) {
  const std::string stored = EncodeBody(OfSeveral(), "*\2hi");
  const auto body = Body::Decode(stored);
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(EncodeBody(body->header(), body->update_bytes()), stored);
  EXPECT_EQ(body->update_bytes(), "*\2hi");
  EXPECT_TRUE(IsOfSeveral(stored));
  EXPECT_TRUE(body->header().group.empty());
  ASSERT_EQ(body->header().targets.size(), 3u);
  EXPECT_EQ(body->header().targets[0].carry.position, Position(7));
  EXPECT_EQ(body->header().AudienceIn(body->header().targets[0]), AudienceRule::kMembersNow);
  EXPECT_EQ(body->header().targets[1].group, GroupId("hh"));
  EXPECT_FALSE(body->header().targets[1].carry.is_decided());
  EXPECT_TRUE(body->header().targets[2].carry.is_decided());
  EXPECT_FALSE(body->header().targets[2].carry.is_carried());
  EXPECT_FALSE(body->is_decided());
  for (size_t bytes = 0; bytes < stored.size() - 4; ++bytes) {
    EXPECT_FALSE(Body::Decode(stored.substr(0, bytes)).has_value()) << bytes;
  }
}

TEST(BodyTest, WithCarriesKeepsAllButThemAndIsProvisional) {
  const auto body = Body::Decode(EncodeBody(OfSeveral(), "*\2hi"));
  ASSERT_TRUE(body.has_value());
  EXPECT_FALSE(body->is_provisional());
  std::vector<Carry> carries;
  for (const Target& target : body->header().targets) {
    carries.push_back(target.carry);
  }
  carries[1] = Carry{Position(9), AudienceRule::kMembersAtPosting, CarryRefusal::kNone};
  const Body decided = body->WithCarries(carries);
  EXPECT_TRUE(decided.is_decided());
  EXPECT_TRUE(decided.is_provisional());
  EXPECT_EQ(decided.update_bytes(), "*\2hi");
  EXPECT_EQ(decided.header().targets[1].carry, carries[1]);
  EXPECT_EQ(decided.stored().size(), body->stored().size());
}

TEST(BodyTest, AudienceOfTheWholeGoesBeforeThatOfACarry) {
  BodyHeader header = OfSeveral();
  header.audience = AudienceRule::kMembersAtPosting;
  EXPECT_EQ(header.AudienceIn(header.targets[0]), AudienceRule::kMembersAtPosting);
}

TEST(BodyTest, RandomBytesNeverCrashTheDecoderOfSeveral) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  const std::string whole = EncodeBody(OfSeveral(), "*\2hi");
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = whole.substr(0, random() % (whole.size() + 1));
    for (int k = 0; k < 3 && bytes.size() > 1; ++k) {
      bytes[1 + random() % (bytes.size() - 1)] = static_cast<char>(random());
    }
    auto body = Body::Decode(bytes);
    if (body) {
      EXPECT_EQ(EncodeBody(body->header(), body->update_bytes()), bytes);
    }
  }
}

TEST(KeysTest, RequestIdOfAPostToSeveralIsNoneOfAGroup) {
  const Keys keys{Layout()};
  EXPECT_THAT(keys.OnceSeveral(PersonId("a:b"), "r:1"), testing::EndsWith(":once:a%3Ab::r%3A1"));
  EXPECT_THAT(keys.Carry(GroupId("x:y"), UpdateId(255)),
              testing::EndsWith(":carry:x%3Ay:00000000000000ff"));
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
