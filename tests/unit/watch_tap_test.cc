#include "services/deliver/watch_tap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Both sides of a tap in one thread.
class WatchTapTest : public testing::Test {
 protected:
  WatchTapTest() { tap_.Connect(bell_); }

  void TakeOrders() {
    tap_.TakeOrders(
        [this](std::string_view name) -> std::optional<uint32_t> {
          const auto found = persons_.find(std::string(name));
          return found == persons_.end() ? std::nullopt : std::optional(found->second);
        },
        applied_);
  }
  void TellOf(uint64_t ms, const std::vector<uint32_t>& persons) {
    const Position position(ms, ShardIndex(0), 0);
    tap_.TellWatched(persons, {.kind = WatchItem::Kind::kPublished,
                               .group = {},
                               .update = position,
                               .position = position});
    tap_.Publish();
    tap_.Ring();
  }
  std::vector<WatchItem> Poll() {
    std::vector<WatchItem> items;
    tap_.Poll([&](const WatchItem& item) { items.push_back(item); });
    return items;
  }
  static std::vector<uint32_t> PersonsOf(const std::vector<WatchItem>& items) {
    std::vector<uint32_t> persons;
    for (const WatchItem& item : items) {
      persons.push_back(item.person);
    }
    return persons;
  }

  lockfree::Doorbell bell_;
  WatchTap tap_{8};
  std::map<std::string, uint32_t> persons_{{"ann", 3}, {"bob", 200}};
  std::vector<Position> applied_{Position(1, ShardIndex(0), 0)};
};

TEST_F(WatchTapTest, TellsOfWatchedPersonsFromTheAnswerOn) {
  TellOf(1, {3, 200});
  EXPECT_THAT(Poll(), IsEmpty());
  tap_.Watch("bob");
  tap_.Watch("zoe");
  TakeOrders();
  TellOf(2, {3, 200});
  const auto items = Poll();
  EXPECT_THAT(PersonsOf(items), ElementsAre(WatchItem::kNobody, 200));
  EXPECT_EQ(items[0].kind, WatchItem::Kind::kStarted);
  const WatchAnswer answer = tap_.TakeAnswer();
  ASSERT_EQ(answer.persons.size(), 2u);
  EXPECT_EQ(answer.persons[0].index, 200u);
  EXPECT_EQ(answer.persons[1].index, std::nullopt);
  EXPECT_EQ(answer.applied, applied_);
  EXPECT_FALSE(answer.restarted);
  tap_.Unwatch(200);
  tap_.Watch("ann");
  TakeOrders();
  TellOf(3, {3, 200});
  EXPECT_THAT(PersonsOf(Poll()), ElementsAre(WatchItem::kNobody, 3));
}

TEST_F(WatchTapTest, AnswerNamesTheOrderThatItIsTo) {
  tap_.Watch("bob");
  TakeOrders();
  Poll();
  tap_.TakeAnswer();
  tap_.Unwatch(200);
  const uint64_t second = tap_.Watch("bob");
  tap_.Unwatch(200);
  TakeOrders();
  const uint64_t third = tap_.Watch("bob");
  // The answer to the second order comes when the third is given, and nothing is told yet.
  TellOf(2, {200});
  EXPECT_THAT(PersonsOf(Poll()), ElementsAre(WatchItem::kNobody));
  const WatchAnswer stale = tap_.TakeAnswer();
  ASSERT_EQ(stale.persons.size(), 1u);
  EXPECT_EQ(stale.persons[0].order, second);
  EXPECT_NE(stale.persons[0].order, third);
  TakeOrders();
  TellOf(3, {200});
  EXPECT_THAT(PersonsOf(Poll()), ElementsAre(WatchItem::kNobody, 200));
  EXPECT_EQ(tap_.TakeAnswer().persons.at(0).order, third);
}

TEST_F(WatchTapTest, SaysThatItemsWereDropped) {
  tap_.Watch("bob");
  TakeOrders();
  Poll();
  for (uint64_t ms = 2; ms < 2 + 8; ++ms) {
    TellOf(ms, {200});
  }
  EXPECT_FALSE(tap_.TakeOverflow());
  TellOf(10, {200});
  tap_.Restart();
  TakeOrders();  // no room for the answer yet
  EXPECT_TRUE(tap_.TakeOverflow());
  EXPECT_FALSE(tap_.TakeOverflow());
  EXPECT_EQ(Poll().size(), 8u);
  EXPECT_THAT(Poll(), IsEmpty());
  TakeOrders();
  TellOf(11, {200});
  EXPECT_THAT(PersonsOf(Poll()), ElementsAre(WatchItem::kNobody, 200));
  EXPECT_FALSE(tap_.TakeAnswer().restarted);
  EXPECT_TRUE(tap_.TakeAnswer().restarted);
}

TEST_F(WatchTapTest, RingsForItemsAndWhileActive) {
  uint32_t seen = bell_.Seen();
  TellOf(2, {200});
  EXPECT_EQ(bell_.Seen(), seen);
  tap_.SetActive(true);
  TellOf(3, {200});
  EXPECT_NE(bell_.Seen(), seen);
  tap_.SetActive(false);
  tap_.Watch("bob");
  seen = bell_.Seen();
  TakeOrders();
  EXPECT_NE(bell_.Seen(), seen);
}

}  // namespace
}  // namespace klatch
