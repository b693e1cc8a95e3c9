#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "common/lockfree/published_pointer.h"

namespace klatch::lockfree {
namespace {

class Counted {
 public:
  Counted(int value, int* alive) : value_(value), alive_(alive) { ++*alive_; }
  ~Counted() { --*alive_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  int value() const { return value_; }

 private:
  const int value_;
  int* const alive_;
};

TEST(PublishedPointerTest, IsEmptyAtFirst) {
  EpochReclaimer epochs;
  const PublishedPointer<Counted> pointer;
  const EpochReclaimer::Guard guard(epochs);
  EXPECT_EQ(pointer.Load(guard), nullptr);
  EXPECT_EQ(pointer.Own(), nullptr);
}

TEST(PublishedPointerTest, ShowsTheNewestToReadersAndToItsWriter) {
  int alive = 0;
  EpochReclaimer epochs;
  PublishedPointer<Counted> pointer;
  for (int value : {1, 2, 3}) {
    pointer.Replace(std::make_unique<const Counted>(value, &alive), epochs);
    const EpochReclaimer::Guard guard(epochs);
    ASSERT_NE(pointer.Load(guard), nullptr);
    EXPECT_EQ(pointer.Load(guard)->value(), value);
    EXPECT_EQ(pointer.Own(), pointer.Load(guard));
  }
}

TEST(PublishedPointerTest, KeepsWhatAGuardMaySeeUntilItEnds) {
  int alive = 0;
  EpochReclaimer epochs;
  PublishedPointer<Counted> pointer;
  pointer.Replace(std::make_unique<const Counted>(1, &alive), epochs);
  {
    const EpochReclaimer::Guard guard(epochs);
    const Counted* first = pointer.Load(guard);
    pointer.Replace(std::make_unique<const Counted>(2, &alive), epochs);
    epochs.TryReclaim();
    EXPECT_EQ(alive, 2);
    EXPECT_EQ(first->value(), 1);
  }
  epochs.TryReclaim();
  EXPECT_EQ(alive, 1);
}

TEST(PublishedPointerTest, DeletesTheLastWithItself) {
  int alive = 0;
  EpochReclaimer epochs;
  {
    PublishedPointer<Counted> pointer;
    pointer.Replace(std::make_unique<const Counted>(1, &alive), epochs);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(epochs.retired(), 0u);
}

}  // namespace
}  // namespace klatch::lockfree
