#include "common/base/periodic_thread.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <future>
#include <latch>

namespace klatch::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(PeriodicThreadTest, DoesItsStepAgainAndAgainUnderItsName) {
  std::latch three(3);
  std::atomic<int> steps = 0;
  std::array<char, 16> name{};
  PeriodicThread thread("janitor", milliseconds(1), [&] {
    if (++steps <= 3) {
      pthread_getname_np(pthread_self(), name.data(), name.size());
      three.count_down();
    }
  });
  thread.Start();
  three.wait();
  thread.Stop();
  EXPECT_STREQ(name.data(), "janitor");
  const int done = steps;
  EXPECT_GE(done, 3);
}

TEST(PeriodicThreadTest, StopEndsAPauseAtOnceAndThereIsOneBeforeTheFirstStep) {
  int steps = 0;
  PeriodicThread thread("slow", hours(1), [&steps] { ++steps; });
  thread.Start();
  EXPECT_FALSE(thread.stopping());
  // It would take the test's whole time otherwise.
  thread.Stop();
  EXPECT_TRUE(thread.stopping());
  EXPECT_EQ(steps, 0);
}

TEST(PeriodicThreadTest, StopWaitsForTheStepUnderWayWhichCanTell) {
  std::promise<void> begun;
  bool ended = false;  // written by a step, read behind Stop
  PeriodicThread thread("long", milliseconds(1), [&] {
    begun.set_value();
    while (!thread.stopping()) {
      std::this_thread::yield();
    }
    ended = true;
  });
  thread.Start();
  begun.get_future().wait();
  thread.Stop();
  EXPECT_TRUE(ended);
}

TEST(PeriodicThreadTest, EndsWithItsOwnerHoweverOftenItIsStopped) {
  {
    const PeriodicThread never_started("idle", milliseconds(1), [] { FAIL() << "a step"; });
  }
  int steps = 0;
  {
    PeriodicThread thread("twice", hours(1), [&steps] { ++steps; });
    thread.Start();
    thread.Stop();
    thread.Stop();
  }
  {
    PeriodicThread thread("owner", hours(1), [&steps] { ++steps; });
    thread.Start();
  }
  EXPECT_EQ(steps, 0);
}

}  // namespace
}  // namespace klatch::base
