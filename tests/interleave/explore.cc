#include "tests/interleave/explore.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "tests/lib/setting.h"

namespace klatch::interleave {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr uint64_t kSecondsOfAll = 15;
constexpr uint64_t kSecondsOfAllMax = 86'400;

// This test's share of the time.
Seconds Share() {
  const auto all = static_cast<double>(
      setting::Number("KLATCH_INTERLEAVE_SECONDS", kSecondsOfAll, 1, kSecondsOfAllMax));
  return Seconds(all / testing::UnitTest::GetInstance()->test_to_run_count());
}

uint64_t FirstSeed() {
  return setting::Number("KLATCH_SEED", std::random_device{}(), 0, UINT64_MAX);
}

// What was found; empty: nothing.
std::string Play(Schedule& schedule, const std::function<void(World&)>& scenario, bool is_told) {
  World world(schedule, is_told);
  try {
    scenario(world);
  } catch (const Found&) {
  }
  return world.finding();
}

std::string PlaySeed(uint64_t seed, Size size, const std::function<void(World&)>& scenario,
                     bool is_told) {
  RandomSchedule schedule(seed, size.steps);
  return Play(schedule, scenario, is_told);
}

std::string ReplayWords(uint64_t seed) {
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  return "KLATCH_INTERLEAVE_SEED=" + std::to_string(seed) +
         " with --gtest_filter=" + test.test_suite_name() + "." + test.name() +
         " shows how it comes to that";
}

// Of the execution that runs, for the handler below.
volatile sig_atomic_t g_is_by_seed = 0;
uint64_t g_seed = 0;

// What a broken order does to pointers, or to an assertion, ends the program: says by which seed.
void TellSeed(int signal) {
  char line[80];
  const int length =
      g_is_by_seed != 0
          ? std::snprintf(line, sizeof(line), "crashed in KLATCH_INTERLEAVE_SEED=%llu\n",
                          static_cast<unsigned long long>(g_seed))
          : std::snprintf(line, sizeof(line), "crashed in one of all schedules\n");
  static_cast<void>(!write(STDERR_FILENO, line, static_cast<size_t>(length)));
  // The handler is gone already.
  raise(signal);
}

void TellSeedOfCrashes() {
  struct sigaction action = {};
  action.sa_handler = TellSeed;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGABRT, &action, nullptr);
}

// How many executions by seeds passed.
size_t ExploreSeeds(SteadyClock::time_point end, Size size,
                    const std::function<void(World&)>& scenario) {
  const uint64_t first = FirstSeed();
  size_t count = 0;
  for (; SteadyClock::now() < end; ++count) {
    g_seed = first + count;
    const std::string found = PlaySeed(first + count, size, scenario, false);
    if (!found.empty()) {
      ADD_FAILURE() << found << "\nin execution " << count << "; " << ReplayWords(first + count);
      return count;
    }
  }
  return count;
}

// What came of all schedules within two bounds.
enum class Outcome { kPassed, kPassedWithoutBounds, kFound, kNoTime };

Outcome ExploreAll(size_t changes_max, size_t old_max, SteadyClock::time_point end,
                   const std::function<void(World&)>& scenario, std::string& told) {
  ExhaustiveSchedule schedule(changes_max, old_max);
  size_t count = 0;
  do {
    if (SteadyClock::now() >= end) {
      return Outcome::kNoTime;
    }
    ++count;
    const std::string found = Play(schedule, scenario, false);
    if (!found.empty()) {
      ADD_FAILURE() << found << "\nin execution " << count << " of those with at most "
                    << changes_max << " changes and " << old_max << " old loads";
      return Outcome::kFound;
    }
  } while (schedule.Advance());
  told = "all " + std::to_string(count) + " executions";
  if (!schedule.is_bounded()) {
    return Outcome::kPassedWithoutBounds;
  }
  told += " of at most " + std::to_string(changes_max) + " changes and " + std::to_string(old_max) +
          " old loads";
  return Outcome::kPassed;
}

// Bounds that grow: 0 changes and 0 old loads, 1 and 0, 1 and 1, 2 and 1, …
void ExploreSmall(SteadyClock::time_point end, const std::function<void(World&)>& scenario) {
  std::string told = "no bound reached";
  for (size_t bound = 0;; ++bound) {
    if (ExploreAll((bound + 1) / 2, bound / 2, end, scenario, told) != Outcome::kPassed) {
      break;
    }
  }
  std::printf("%s\n", told.c_str());
}

}  // namespace

void Explore(Size size, const std::function<void(World&)>& scenario) {
  if (std::getenv("KLATCH_INTERLEAVE_SEED") != nullptr) {
    const uint64_t seed = setting::Number("KLATCH_INTERLEAVE_SEED", 0, 0, UINT64_MAX);
    const std::string found = PlaySeed(seed, size, scenario, true);
    EXPECT_EQ(found, "");
    return;
  }
  const auto begin = SteadyClock::now();
  const auto share = std::chrono::duration_cast<SteadyClock::duration>(Share());
  TellSeedOfCrashes();
  g_is_by_seed = 1;
  const size_t count = ExploreSeeds(begin + (size.is_small ? share / 2 : share), size, scenario);
  g_is_by_seed = 0;
  std::printf("%zu executions by seeds\n", count);
  if (size.is_small && !testing::Test::HasFailure()) {
    ExploreSmall(begin + share, scenario);
  }
}

}  // namespace klatch::interleave
