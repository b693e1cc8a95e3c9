#include "services/materialize/write_order.h"

#include <gtest/gtest.h>

namespace klatch {
namespace {

class WriteOrderTest : public ::testing::Test {
 protected:
  static TimelineRef Home(uint32_t person) { return {person, TimelineRef::Kind::kHome}; }

  // A pass over the timelines of these persons, in steps of so many; the persons as they were written.
  // Who has a number of ten or more is in the next partition, as with each ten more.
  std::vector<uint32_t> Pass(const std::vector<uint32_t>& persons, size_t per_step,
                             uint32_t deep = UINT32_MAX) {
    std::vector<TimelineRef> timelines;
    for (const uint32_t person : persons) {
      timelines.push_back(Home(person));
    }
    order_.Sort(timelines, [deep](TimelineRef timeline) -> WriteOrder::Facts {
      return {.partition = PartitionIndex(timeline.person() / 10),
              .is_deep = timeline.person() == deep};
    });
    const std::span<const TimelineRef> all = timelines;
    for (size_t begin = 0; begin < all.size(); begin += per_step) {
      order_.NoteStep(all.subspan(begin, std::min(per_step, all.size() - begin)));
    }
    std::vector<uint32_t> written;
    for (const TimelineRef timeline : timelines) {
      written.push_back(timeline.person());
    }
    return written;
  }

  WriteOrder order_;
};

using Persons = std::vector<uint32_t>;

TEST_F(WriteOrderTest, IsTheSameInEveryPass) {
  // By partition at first.
  EXPECT_EQ(Pass({30, 0, 20, 10}, 2), (Persons{0, 10, 20, 30}));
  EXPECT_EQ(Pass({10, 30, 20, 0}, 2), (Persons{0, 10, 20, 30}));
}

TEST_F(WriteOrderTest, WhoWasLeftOutIsFirst) {
  Pass({0, 10, 20, 30}, 2);
  Pass({0, 10, 20}, 2);
  EXPECT_EQ(Pass({0, 10, 20, 30}, 2), (Persons{30, 0, 10, 20}));
  // And stays there: to wait at the back now would be to wait for two passes.
  EXPECT_EQ(Pass({0, 10, 20, 30}, 2), (Persons{0, 30, 10, 20}));
}

TEST_F(WriteOrderTest, WhoIsNewIsFirst) {
  Pass({0, 10, 20}, 1);
  EXPECT_EQ(Pass({0, 10, 20, 90}, 1), (Persons{90, 0, 10, 20}));
}

TEST_F(WriteOrderTest, WhoIsDeepGoesBeforeAll) {
  Pass({0, 10, 20}, 1);
  EXPECT_EQ(Pass({0, 10, 20, 90}, 1, 20), (Persons{20, 90, 0, 10}));
}

}  // namespace
}  // namespace klatch
