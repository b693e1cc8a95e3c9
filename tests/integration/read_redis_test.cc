// Reads against a real Redis: stored rings, feeds and bodies as the flusher and the scripts write
// them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <random>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "services/model/limits.h"
#include "tests/integration/redis_server_fixture.h"
#include "tests/unit/read_world.h"

namespace klatch {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

MATCHER_P2(IsRefusal, code, field, "") {
  const auto violation = base::FieldViolationOf(arg);
  return arg.code() == code && violation && violation->field == field;
}

class ReadRedisTest : public testing::RedisTest {
 protected:
  void SetUp() override {
    world_ = std::make_unique<ReadWorld>(server_.address());
    redis_ = Connect();
    AwaitConnection();
    world_->SetMember("al", "g", 100);
    world_->SetMember("al", "h", 100);
    world_->ApplyAll(900'000);
  }

  // The pipeline connects in the background and refuses calls until then.
  void AwaitConnection() {
    while (!world_->pipeline.connected()) {
      std::this_thread::yield();
    }
  }

  void Call(redis::Command command) {
    const absl::StatusOr<redis::Reply> reply = redis_->Call(command);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  void StoreRing(const std::string& key, const std::vector<uint64_t>& ids) {
    std::string packed;
    for (uint64_t id : ids) {
      base::AppendLittleEndian<uint64_t>(packed, id);
    }
    Call({"SET", key, packed});
  }
  void StoreBody(UpdateId id, const std::string& group, const std::string& author = "bo") {
    Call({"SET", keys_.Update(id), ReadWorld::StoredBody(author, group)});
  }
  // The record of a group, as services/log/group_hash.h has it.
  void StoreGroup(const std::string& group, const std::string& state) {
    Call({"HSET", keys_.Group(GroupId(group)),
          "s",    state,
          "h",    "1",
          "a",    "1",
          "m",    "1",
          "o",    "1",
          "f",    "0",
          "c",    "12345678",
          "p",    "2",
          "b",    "2",
          "j",    "1",
          "l",    "0",
          "z",    "0"});
  }
  uint64_t Stored(uint64_t ms, const std::string& group) {
    const UpdateId id = world_->IdAt(ms, group);
    StoreBody(id, group);
    return id.value();
  }

  std::vector<uint64_t> PageThroughHome(int page_size) {
    std::vector<uint64_t> seen;
    std::string token;
    do {
      const auto page = world_->Home("al", page_size, token);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) {
        break;
      }
      const std::vector<uint64_t> ids = IdsOf(*page);
      seen.insert(seen.end(), ids.begin(), ids.end());
      token = page->next_page_token();
      last_completeness_ = page->completeness();
    } while (!token.empty() && seen.size() < 2'000);
    return seen;
  }

  std::unique_ptr<ReadWorld> world_;
  std::unique_ptr<redis::Connection> redis_;
  Keys keys_{Layout()};
  klatch::v1::Completeness last_completeness_;
};

TEST_F(ReadRedisTest, MergesMemoryWithTheStoredRingAndFetchesMissingBodies) {
  const uint64_t a = Stored(1'000, "g");
  const uint64_t b = Stored(1'001, "h");
  const uint64_t c = Stored(2'000, "g");
  const uint64_t d = Stored(2'001, "h");
  // b is in both, c and d only in memory, a only stored; empty slots and no order.
  StoreRing(keys_.Timeline(PersonId("al")), {0, b, 0, a, 0});
  lockfree::TimelineRing& ring = *world_->people.Add("al").home;
  for (uint64_t id : {b, d, c}) {
    world_->Deliver("al", UpdateId(id));
  }
  ring.RaiseFloor(b);
  for (int page_size : {1, 2, 3, 4, 5, 200}) {
    EXPECT_THAT(PageThroughHome(page_size), ElementsAre(d, c, b, a)) << "page size " << page_size;
  }
}

TEST_F(ReadRedisTest, PassesOverDeletedExpiredAndUndecodableUpdates) {
  const uint64_t a = Stored(1'000, "g");
  const uint64_t deleted = Stored(1'001, "g");
  const uint64_t garbage = Stored(1'002, "g");
  const uint64_t b = Stored(1'003, "g");
  Call({"DEL", keys_.Update(UpdateId(deleted))});
  Call({"SET", keys_.Update(UpdateId(garbage)), "\x07nonsense"});
  StoreRing(keys_.Timeline(PersonId("al")), {a, deleted, garbage, b, UINT64_MAX, 1});
  world_->people.Add("al").home->RaiseFloor(b);
  EXPECT_THAT(PageThroughHome(2), ElementsAre(b, a));
}

TEST_F(ReadRedisTest, PassesOverAnUpdateWhoseHeaderIsSoundAndWhoseRestIsNot) {
  const uint64_t a = Stored(1'000, "g");
  const uint64_t broken = Stored(1'001, "g");
  const uint64_t b = Stored(1'002, "g");
  Call({"APPEND", keys_.Update(UpdateId(broken)), "\x07"});
  StoreRing(keys_.Timeline(PersonId("al")), {a, broken, b});
  world_->people.Add("al").home->RaiseFloor(b);
  EXPECT_THAT(PageThroughHome(3), ElementsAre(b, a));
  EXPECT_GT(world_->reads.undecodable_bodies(), 0u);
}

TEST_F(ReadRedisTest, DoesNotShowAGroupsExpiredUpdatesThoughTheirBodiesAreInMemory) {
  const UpdateId id(Stored(1'000, "g"));
  StoreRing(keys_.Feed(GroupId("g")), {id.value()});
  EXPECT_THAT(IdsOf(*world_->GroupPage("al", "g", 10)), ElementsAre(id.value()));
  world_->clock.Advance(limits::kBodyRetention);
  EXPECT_NE(world_->bodies.Find(id), nullptr);
  EXPECT_THAT(IdsOf(*world_->GroupPage("al", "g", 10)), IsEmpty());
}

TEST_F(ReadRedisTest, IsTrimmedWhenTheStoredRingHoldsACapsWorthOrTheFeedMore) {
  std::vector<uint64_t> ids;
  for (uint64_t i = 0; i < limits::kTimelineCap; ++i) {
    ids.push_back(Stored(1'000 + i, "g"));
  }
  const auto feed_is_trimmed = [&] {
    StoreRing(keys_.Feed(GroupId("g")), ids);
    const auto page = world_->GroupPage("al", "g", 10);
    return page->completeness().trimmed();
  };
  const auto home_is_trimmed = [&](size_t stored) {
    StoreRing(keys_.Timeline(PersonId("al")), {ids.begin(), ids.begin() + stored});
    PageThroughHome(200);
    return last_completeness_.trimmed();
  };
  world_->people.Add("al").home->RaiseFloor(ids.back());
  EXPECT_TRUE(home_is_trimmed(limits::kTimelineCap)) << "a rewrite may have left that many";
  world_->Deliver("al", UpdateId(ids.back()));
  EXPECT_FALSE(home_is_trimmed(limits::kTimelineCap - 1));
  EXPECT_FALSE(feed_is_trimmed());
  ids.push_back(Stored(1'000 + limits::kTimelineCap, "g"));
  EXPECT_TRUE(feed_is_trimmed());
}

TEST_F(ReadRedisTest, DoesNotShowAnUpdateThatIsDroppedFromMemoryAndDeletedInRedis) {
  const uint64_t a = Stored(1'000, "g");
  world_->Deliver("al", UpdateId(a));
  EXPECT_THAT(PageThroughHome(10), ElementsAre(a));
  Call({"DEL", keys_.Update(UpdateId(a))});
  world_->bodies.Drop(UpdateId(a));
  EXPECT_THAT(PageThroughHome(10), IsEmpty());
  EXPECT_EQ(world_->Get("al", UpdateId(a)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReadRedisTest, EndsAtTheCapOfTheMergedTimeline) {
  std::vector<uint64_t> stored;
  std::vector<uint64_t> expected;
  for (uint64_t i = 0; i < limits::kStoredSlotsMax; ++i) {
    stored.push_back(Stored(1'000 + i, "g"));
  }
  expected.assign(stored.rbegin(), stored.rbegin() + limits::kTimelineCap);
  StoreRing(keys_.Timeline(PersonId("al")), stored);
  world_->people.Add("al").home->RaiseFloor(stored.back());
  EXPECT_THAT(PageThroughHome(200), ElementsAreArray(expected));
  EXPECT_TRUE(last_completeness_.trimmed());
}

TEST_F(ReadRedisTest, EqualsASortedSetWhateverIsInMemoryStoredVisibleAndDeleted) {
  const uint64_t seed = base::RandomUint64();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  world_->SetMember("al", "left", 100, Role::kNone);
  std::vector<uint64_t> stored;
  std::vector<uint64_t> expected;
  uint64_t floor = 0;
  for (uint64_t ms = 1'000; ms < 1'400; ++ms) {
    const std::string group = std::vector<std::string>{"g", "h", "left"}[random() % 3];
    const UpdateId id = world_->IdAt(ms, group);
    const bool deleted = random() % 7 == 0;
    if (!deleted) {
      StoreBody(id, group);
    }
    // Below the floor memory may have gaps, above it the store may.
    const bool old = ms < 1'300;
    if (old || random() % 2 == 0) {
      stored.push_back(id.value());
    }
    if (!old || random() % 3 == 0) {
      world_->Deliver("al", id);
    }
    if (old) {
      floor = id.value();
    }
    if (!deleted && group != "left") {
      expected.push_back(id.value());
    }
  }
  std::ranges::sort(expected, std::greater<>());
  std::ranges::shuffle(stored, random);
  StoreRing(keys_.Timeline(PersonId("al")), stored);
  world_->people.Add("al").home->RaiseFloor(floor);
  for (int page_size : {1, 13, 20, 200}) {
    EXPECT_THAT(PageThroughHome(page_size), ElementsAreArray(expected)) << page_size;
  }
}

TEST_F(ReadRedisTest, ShowsAGroupsFeedToItsMembersAsFarAsTheyMaySeeAndAsItIsApplied) {
  const uint64_t before = Stored(50, "g");
  const uint64_t a = Stored(1'000, "g");
  const uint64_t b = Stored(1'001, "g");
  const uint64_t ahead = Stored(900'001, "g");
  StoreRing(keys_.Feed(GroupId("g")), {ahead, before, 0, b, a});
  const auto page = world_->GroupPage("al", "g", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(b, a));
  EXPECT_TRUE(page->next_page_token().empty());
  const auto first = world_->GroupPage("al", "g", 1);
  EXPECT_THAT(IdsOf(*first), ElementsAre(b));
  const auto second = world_->GroupPage("al", "g", 1, first->next_page_token());
  EXPECT_THAT(IdsOf(*second), ElementsAre(a));
  // The token of one timeline is refused by another.
  EXPECT_EQ(world_->GroupPage("al", "h", 1, first->next_page_token()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(world_->Home("al", 1, first->next_page_token()).status().code(),
            absl::StatusCode::kInvalidArgument);
  world_->ApplyAll(900'001);
  EXPECT_THAT(IdsOf(*world_->GroupPage("al", "g", 10)), ElementsAre(ahead, b, a));
}

TEST_F(ReadRedisTest, TellsOutsidersByTheGroupsRecordWhyTheySeeNothing) {
  const auto refusals = [this](const std::string& group) {
    return std::vector<absl::Status>{
        world_->GroupPage("bo", group, 1).status(),
        RunToEnd(world_->reads.PlaceMarker(PersonId("bo"), GroupId(group), {})).status()};
  };
  StoreGroup("g", "1");
  EXPECT_THAT(refusals("g"), Each(IsRefusal(absl::StatusCode::kPermissionDenied, "actor")));
  world_->SetMember("bo", "g", 100, Role::kNone);
  EXPECT_THAT(refusals("g"), Each(IsRefusal(absl::StatusCode::kPermissionDenied, "actor")));
  StoreGroup("g", "2");
  EXPECT_THAT(refusals("g"), Each(IsRefusal(absl::StatusCode::kNotFound, "group")));
  EXPECT_THAT(refusals("nowhere"), Each(IsRefusal(absl::StatusCode::kNotFound, "group")));
}

TEST_F(ReadRedisTest, ShowsAProfileFromStoredPosts) {
  const uint64_t a = Stored(1'000, "g");
  const uint64_t b = Stored(1'001, "secret");
  world_->people.Add("bo").posts->RaiseFloor(b);
  StoreRing(keys_.Posts(PersonId("bo")), {b, a});
  EXPECT_THAT(IdsOf(*world_->Profile("al", "bo", 10)), ElementsAre(a));
}

TEST_F(ReadRedisTest, GetsAnUpdateThatIsOnlyInRedisOnceItIsApplied) {
  const UpdateId id(Stored(950'000, "g"));
  klatch::v1::GetUpdateRequest request;
  request.set_actor("al");
  request.set_update_id(id.value());
  const auto early = RunToEndAmongWorkers(
      world_->reads.GetUpdate(request, world_->clock.Monotonic()), world_->progress);
  EXPECT_EQ(early.status().code(), absl::StatusCode::kDeadlineExceeded);
  world_->ApplyAll(950'000);
  const auto found = world_->Get("al", id);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->update().author(), "bo");
  EXPECT_EQ(world_->Get("bo", id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReadRedisTest, NamesTheErrorWhenAStoredTimelineIsOfAnotherType) {
  world_->people.Add("al").home->RaiseFloor(world_->IdAt(1'000, "g").value());
  Call({"SADD", keys_.Timeline(PersonId("al")), "x"});
  EXPECT_EQ(world_->Home("al", 10).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace klatch
