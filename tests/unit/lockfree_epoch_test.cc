#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <optional>
#include <thread>

#include "common/lockfree/epoch.h"

namespace klatch::lockfree {
namespace {

class Counted {
 public:
  explicit Counted(int* alive) : alive_(alive) { ++*alive_; }
  ~Counted() { --*alive_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  int* alive_;
};

TEST(EpochReclaimerTest, DeletesWhatIsRetiredWhenNobodyLooks) {
  int alive = 0;
  EpochReclaimer epochs;
  epochs.Retire(new Counted(&alive));
  EXPECT_EQ(epochs.retired(), 1u);
  EXPECT_EQ(epochs.TryReclaim(), 1u);
  EXPECT_EQ(alive, 0);
}

TEST(EpochReclaimerTest, KeepsWhatAnOlderGuardMaySee) {
  int alive = 0;
  EpochReclaimer epochs;
  {
    const EpochReclaimer::Guard guard(epochs);
    epochs.Retire(new Counted(&alive));
    EXPECT_EQ(epochs.TryReclaim(), 0u);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(epochs.TryReclaim(), 1u);
  EXPECT_EQ(alive, 0);
}

TEST(EpochReclaimerTest, DeletesWhatWasRetiredBeforeTheOldestGuard) {
  int alive = 0;
  EpochReclaimer epochs;
  epochs.Retire(new Counted(&alive));
  const EpochReclaimer::Guard guard(epochs);
  epochs.Retire(new Counted(&alive));
  EXPECT_EQ(epochs.TryReclaim(), 1u);
  EXPECT_EQ(alive, 1);
}

TEST(EpochReclaimerTest, DeletesByItselfInBatches) {
  int alive = 0;
  EpochReclaimer epochs;
  for (size_t i = 0; i < 3 * EpochReclaimer::kLimboBatch; ++i) {
    epochs.Retire(new Counted(&alive));
    ASSERT_LE(epochs.retired(), EpochReclaimer::kLimboBatch);
  }
}

TEST(EpochReclaimerTest, DeletesEverythingWithItself) {
  int alive = 0;
  {
    EpochReclaimer epochs;
    for (int i = 0; i < 10; ++i) {
      epochs.Retire(new Counted(&alive));
    }
    epochs.Retire<Counted>(nullptr);
    EXPECT_EQ(alive, 10);
  }
  EXPECT_EQ(alive, 0);
}

TEST(EpochReclaimerTest, AGuardWaitsForASlotWhenAllAreTaken) {
  EpochReclaimer epochs;
  std::deque<std::optional<EpochReclaimer::Guard>> guards;
  for (size_t i = 0; i < EpochReclaimer::kReaderSlots; ++i) {
    guards.emplace_back().emplace(epochs);
  }
  std::atomic<bool> has_begun{false};
  std::atomic<bool> is_freed{false};
  bool has_waited = false;
  std::thread late([&] {
    has_begun.store(true);
    const EpochReclaimer::Guard guard(epochs);
    has_waited = is_freed.load();
  });
  while (!has_begun.load()) {
    std::this_thread::yield();
  }
  // A guard that doesn't wait has time enough to show it.
  for (int i = 0; i < 1'000; ++i) {
    std::this_thread::yield();
  }
  is_freed.store(true);
  guards[100].reset();
  late.join();
  EXPECT_TRUE(has_waited);
}

}  // namespace
}  // namespace klatch::lockfree
