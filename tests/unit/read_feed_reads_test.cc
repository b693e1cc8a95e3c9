// Whole reads over real rings. No Redis listens: a page that memory can fill never asks for one,
// and one that needs what is stored says UNAVAILABLE instead of being short.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/model/limits.h"
#include "services/read/feed_reads.h"
#include "tests/unit/read_world.h"

namespace klatch {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

class FeedReadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world_.SetMember("al", "g", 100);
    world_.SetMember("al", "h", 100);
    world_.ApplyAll(900'000);
  }

  // An update of `group` in al's home, with its body.
  uint64_t Deliver(uint64_t ms, const std::string& group,
                   AudienceRule audience = AudienceRule::kMembersAtPosting) {
    const UpdateId id = world_.IdAt(ms, group);
    world_.Deliver("al", id);
    world_.PutBody(id, "bo", group, audience);
    return id.value();
  }

  ReadWorld world_;
};

TEST_F(FeedReadsTest, ShowsTheHomeTimelineNewestFirstAndEachUpdateOnce) {
  const uint64_t b = Deliver(2'000, "g");
  const uint64_t a = Deliver(1'000, "h");
  const uint64_t c = Deliver(3'000, "h");
  Deliver(2'000, "g");
  const auto page = world_.Home("al", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(c, b, a));
  EXPECT_TRUE(page->next_page_token().empty());
  EXPECT_FALSE(page->completeness().trimmed());
  EXPECT_EQ(page->updates(0).author(), "bo");
  EXPECT_EQ(page->updates(0).groups(0), "h");
}

TEST_F(FeedReadsTest, PagesThroughWithoutGapsOrRepeats) {
  std::vector<uint64_t> expected;
  for (uint64_t ms = 1'050; ms > 1'000; --ms) {
    expected.push_back(Deliver(ms, ms % 2 == 0 ? "g" : "h"));
  }
  std::vector<uint64_t> seen;
  std::string token;
  do {
    const auto page = world_.Home("al", 7, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (uint64_t id : IdsOf(*page)) {
      seen.push_back(id);
    }
    token = page->next_page_token();
  } while (!token.empty() && seen.size() <= expected.size());
  EXPECT_EQ(seen, expected);
}

TEST_F(FeedReadsTest, HidesWhatMaySeeHides) {
  world_.SetMember("al", "g", 1'500, Role::kMember, 0);
  world_.SetMember("al", "h", 100, Role::kNone);
  Deliver(1'000, "g");
  const uint64_t open = Deliver(1'001, "g", AudienceRule::kMembersNow);
  Deliver(2'000, "h");
  const uint64_t later = Deliver(2'001, "g");
  Deliver(2'002, "unknown to this node");
  const auto page = world_.Home("al", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(later, open));
}

TEST_F(FeedReadsTest, FillsThePageFromMemoryAboveTheFloorWithoutAskingRedis) {
  const uint64_t b = Deliver(2'000, "g");
  const uint64_t c = Deliver(3'000, "g");
  world_.people.Add("al").home->RaiseFloor(world_.IdAt(1'500, "g").value());
  const auto page = world_.Home("al", 2);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(c, b));
  EXPECT_FALSE(page->next_page_token().empty()) << "older ones may be stored";
}

TEST_F(FeedReadsTest, IsUnavailableRatherThanShortWhenWhatIsStoredCannotBeAsked) {
  Deliver(2'000, "g");
  Deliver(1'000, "g");
  world_.people.Add("al").home->RaiseFloor(world_.IdAt(1'500, "g").value());
  EXPECT_EQ(world_.Home("al", 2).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(FeedReadsTest, EndsAtTheCapAndSaysThatItIsTrimmed) {
  const size_t count = limits::kTimelineCap + 30;
  lockfree::TimelineRing& ring = *world_.people.Add("al").home;
  for (uint64_t i = 0; i < count; ++i) {
    const UpdateId id = world_.IdAt(1'000 + i, "g");
    // Not flushed, so that the ring grows and keeps all.
    ring.Append(world_.people.arena(), lockfree::TimelineEntry{id.value(), 0, 0});
    world_.PutBody(id, "bo", "g");
  }
  std::vector<uint64_t> seen;
  std::string token;
  bool trimmed = false;
  do {
    const auto page = world_.Home("al", 200, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (uint64_t id : IdsOf(*page)) {
      seen.push_back(id);
    }
    trimmed = page->completeness().trimmed();
    token = page->next_page_token();
  } while (!token.empty() && seen.size() < count);
  EXPECT_EQ(seen.size(), limits::kTimelineCap);
  EXPECT_EQ(seen.front(), world_.IdAt(1'000 + count - 1, "g").value());
  EXPECT_EQ(seen.back(), world_.IdAt(1'000 + count - limits::kTimelineCap, "g").value());
  EXPECT_TRUE(trimmed);
}

TEST_F(FeedReadsTest, IsNotTrimmedWithExactlyAsManyAsTheCap) {
  lockfree::TimelineRing& ring = *world_.people.Add("al").home;
  for (uint64_t i = 0; i < limits::kTimelineCap; ++i) {
    const UpdateId id = world_.IdAt(1'000 + i, "g");
    ring.Append(world_.people.arena(), lockfree::TimelineEntry{id.value(), 0, 0});
    world_.PutBody(id, "bo", "g");
  }
  std::string token;
  size_t seen = 0;
  do {
    const auto page = world_.Home("al", 200, token);
    ASSERT_TRUE(page.ok()) << page.status();
    seen += static_cast<size_t>(page->updates_size());
    EXPECT_FALSE(page->completeness().trimmed());
    token = page->next_page_token();
  } while (!token.empty());
  EXPECT_EQ(seen, limits::kTimelineCap);
}

TEST_F(FeedReadsTest, EndsAPageBeforeTheUpdateThatWouldMakeItTooLarge) {
  std::vector<uint64_t> expected;
  for (uint64_t ms = 1'040; ms > 1'000; --ms) {
    const UpdateId id = world_.IdAt(ms, "g");
    world_.Deliver("al", id);
    world_.PutBody(id, "bo", "g", AudienceRule::kMembersAtPosting, std::string(60'000, 'x'));
    expected.push_back(id.value());
  }
  std::vector<uint64_t> seen;
  std::string token;
  int pages = 0;
  do {
    const auto page = world_.Home("al", 200, token);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->ByteSizeLong(), limits::kPageBytesMax + 1'000);
    EXPECT_FALSE(page->completeness().examined_limit_reached());
    for (uint64_t id : IdsOf(*page)) {
      seen.push_back(id);
    }
    token = page->next_page_token();
    ++pages;
  } while (!token.empty() && pages < 10);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(pages, 3);
}

TEST_F(FeedReadsTest, ShowsAnUpdateThatIsLargerThanAPageAlone) {
  const uint64_t below = Deliver(1'000, "g");
  const UpdateId large = world_.IdAt(2'000, "g");
  world_.Deliver("al", large);
  world_.PutBody(large, "bo", "g", AudienceRule::kMembersAtPosting,
                 std::string(limits::kPageBytesMax, 'x'));
  const auto page = world_.Home("al", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(large.value()));
  EXPECT_THAT(IdsOf(*world_.Home("al", 10, page->next_page_token())), ElementsAre(below));
}

TEST_F(FeedReadsTest, ShowsNothingThatHasExpiredThoughItsBodyIsInMemory) {
  const UpdateId id(Deliver(2'000, "g"));
  world_.DeliverPost("bo", id);
  const auto shown = [&] {
    const auto find = RunToEnd(world_.reads.FindVisible(PersonId("al"), id, world_.Deadline()));
    return std::vector<bool>{world_.Home("al", 10)->updates_size() == 1,
                             world_.Profile("al", "bo", 10)->updates_size() == 1,
                             world_.Get("al", id).ok(), find.ok()};
  };
  const int64_t posted_ago = base::UnixMs(world_.clock.Wall()) - id.unix_ms();
  world_.clock.Advance(limits::kBodyRetention - std::chrono::milliseconds(posted_ago + 1));
  EXPECT_THAT(shown(), Each(true));
  world_.clock.Advance(std::chrono::milliseconds(1));
  EXPECT_THAT(shown(), Each(false));
  EXPECT_EQ(world_.Get("al", id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FeedReadsTest, DoesNotSendWhatWasTakenAwayWhileThePageWasBuilt) {
  Deliver(2'000, "g");
  const uint64_t kept = Deliver(3'000, "h");
  // Looks at the viewer: shards, hole, ring, judge, hole, and then the check before sending.
  int looks = 0;
  bool has_left = true;
  while (has_left) {
    has_left = false;
    world_.SetMember("al", "g", 100);
    world_.AtLook(++looks, [&] {
      world_.SetMember("al", "g", 100, Role::kNone);
      has_left = true;
    });
    const auto page = world_.Home("al", 10);
    ASSERT_TRUE(page.ok()) << page.status();
    if (has_left) {
      EXPECT_THAT(IdsOf(*page), ElementsAre(kept)) << "left at look " << looks;
    }
  }
  EXPECT_GT(looks, 6);
}

TEST_F(FeedReadsTest, AnswersNothingOnceTheLeaseIsGone) {
  Deliver(2'000, "g");
  for (int calls : {0, 1}) {
    world_.ownership.HoldFor(calls);
    const absl::Status status = world_.Home("al", 10).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(status), "NOT_OWNER");
  }
  world_.ownership.HoldFor(0);
  EXPECT_EQ(base::ReasonOf(world_.Get("al", world_.IdAt(2'000, "g")).status()), "NOT_OWNER");
}

TEST_F(FeedReadsTest, ShowsPersonsOfNoGroupAnEmptyHomeAndPromisesNothing) {
  for (const std::string& actor : {std::string("stranger"), std::string("loner")}) {
    world_.people.Add("loner");
    const auto page = world_.Home(actor, 10);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_THAT(IdsOf(*page), IsEmpty());
    EXPECT_TRUE(page->next_page_token().empty());
    EXPECT_FALSE(page->completeness().has_complete_until());
  }
}

TEST_F(FeedReadsTest, TellsHolesAndHowFarItIsCompleteAndKeepsTheShardsTimeMoving) {
  Deliver(2'000, "g");
  world_.people.Add("al").hole_since.store(1'234);
  const auto page = world_.Home("al", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->completeness().hole_since(), 1'234u);
  EXPECT_EQ(page->completeness().complete_until().seconds(), (kEpochUnixMs + 899'999) / 1000);
  EXPECT_EQ(world_.progress.LastRead(world_.layout.ShardOf(GroupId("g"))),
            world_.clock.Monotonic());
}

TEST_F(FeedReadsTest, WaitsForTokensAndGivesUpAtTheDeadline) {
  klatch::v1::ListHomeTimelineRequest request;
  request.set_actor("al");
  const Position later = world_.IdAt(950'000, "g");
  klatch::v1::Token* token = request.add_tokens();
  token->set_shard(later.shard().value());
  token->set_position(later.value());
  const auto late = RunToEndAmongWorkers(world_.reads.ListHome(request, world_.clock.Monotonic()),
                                         world_.progress);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);

  std::promise<absl::StatusOr<grpc::ByteBuffer>> promise;
  base::Spawn(FulfilWith(world_.reads.ListHome(request, world_.Deadline()), &promise));
  const uint64_t id = Deliver(950'000, "g");
  world_.ApplyAll(950'000);
  const auto page =
      ReadWorld::Parse<klatch::v1::ListHomeTimelineResponse>(promise.get_future().get());
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(id));
}

TEST_F(FeedReadsTest, NamesTheFieldAtFault) {
  EXPECT_EQ(FieldOf(world_.Home("", 1).status()), "actor");
  EXPECT_EQ(FieldOf(world_.Home("al", -1).status()), "page_size");
  EXPECT_EQ(FieldOf(world_.Home("al", 1, "nonsense").status()), "page_token");
  EXPECT_EQ(FieldOf(world_.GroupPage("al", "", 1).status()), "group");
  EXPECT_EQ(FieldOf(world_.Profile("al", "", 1).status()), "person");
  EXPECT_EQ(FieldOf(world_.Get("al", UpdateId()).status()), "update_id");
  klatch::v1::ListHomeTimelineRequest request;
  request.set_actor("al");
  request.set_namespace_("elsewhere");
  EXPECT_EQ(FieldOf(RunToEnd(world_.reads.ListHome(request, world_.Deadline())).status()),
            "namespace");
}

TEST_F(FeedReadsTest, RefusesOutsidersAlsoWhileTheGroupsRecordCannotBeAsked) {
  EXPECT_TRUE(absl::IsUnavailable(world_.GroupPage("bo", "g", 1).status()));
  world_.SetMember("bo", "g", 100, Role::kNone);
  EXPECT_TRUE(absl::IsUnavailable(world_.GroupPage("bo", "g", 1).status()));
}

TEST_F(FeedReadsTest, ShowsOfAProfileOnlyWhatTheViewersOwnGroupsShow) {
  world_.SetMember("bo", "g", 50);
  world_.SetMember("bo", "secret", 50);
  const UpdateId shared = world_.IdAt(2'000, "g");
  const UpdateId secret = world_.IdAt(2'001, "secret");
  const UpdateId early = world_.IdAt(60, "g");
  for (UpdateId id : {shared, secret, early}) {
    world_.DeliverPost("bo", id);
    world_.PutBody(id, "bo", id == secret ? "secret" : "g");
  }
  const auto page = world_.Profile("al", "bo", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(IdsOf(*page), ElementsAre(shared.value()));
  EXPECT_THAT(IdsOf(*world_.Profile("al", "stranger", 10)), IsEmpty());
}

TEST_F(FeedReadsTest, DoesNotTellOnAProfileWhatIsMissingInThePersonsHome) {
  world_.people.Add("bo").hole_since.store(world_.IdAt(1'234, "secret").value());
  const auto page = world_.Profile("al", "bo", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->completeness().hole_since(), 0u);
}

TEST_F(FeedReadsTest, TellsOnAProfileToTheMillisecondSinceWhenPostsAreNotWrittenYet) {
  const UpdateId spilled = world_.IdAt(1'234, "secret");
  world_.people.Add("bo").posts_hole_since.store(spilled.value());
  const auto page = world_.Profile("al", "bo", 10);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->completeness().hole_since(), spilled.value() >> 22 << 22);
}

TEST_F(FeedReadsTest, KeepsFromAProfileWhatTheViewersMembershipsCannotJudgeYet) {
  const UpdateId ahead = world_.IdAt(900'001, "g");
  world_.DeliverPost("bo", ahead);
  world_.PutBody(ahead, "bo", "g");
  EXPECT_THAT(IdsOf(*world_.Profile("al", "bo", 10)), IsEmpty());
  world_.ApplyAll(900'001);
  EXPECT_THAT(IdsOf(*world_.Profile("al", "bo", 10)), ElementsAre(ahead.value()));
}

TEST_F(FeedReadsTest, GetsOneUpdateOrSaysNotFoundAlikeForUnseenAndUnknown) {
  const UpdateId id = world_.IdAt(2'000, "g");
  world_.PutBody(id, "bo", "g");
  const auto found = world_.Get("al", id);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->update().id(), id.value());
  EXPECT_EQ(found->update().text(), "hi");
  const absl::Status unseen = world_.Get("bo", id).status();
  const absl::Status nowhere = world_.Get("bo", UpdateId(UINT64_MAX)).status();
  EXPECT_EQ(unseen.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FieldOf(unseen), "update_id");
  EXPECT_EQ(nowhere, unseen);
  EXPECT_TRUE(RunToEnd(world_.reads.FindVisible(PersonId("al"), id, world_.Deadline())).ok());
  EXPECT_FALSE(RunToEnd(world_.reads.FindVisible(PersonId("bo"), id, world_.Deadline())).ok());
}

}  // namespace
}  // namespace klatch
