// A seeded random history of operations on a real klatchd, killed and started again meanwhile, against
// a model of what SEMANTICS.md promises: each answer, pages on every path, and what watches show.
//
//   KLATCH_OPERATIONS=1000000 KLATCH_SEED=7 KLATCH_KILLS=40 klatchd_history_redis_test
//   KLATCH_WORLD=12 KLATCH_SEED=7 …    only that world, without kills: to look closer at what was found
//
// What a world does follows from seed and number alone; when klatchd dies does not.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/history_world.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/sanitized.h"
#include "tests/lib/setting.h"

namespace klatch::testing {
namespace {

constexpr int kOperations = kIsSanitized ? 4'000 : 100'000;
constexpr int kOperationsPerWorld = 1'500;
constexpr int kWorldsAtOnce = 12;
constexpr int kKills = 4;
constexpr int kHistoriesPerFault = 5;
constexpr uint64_t kSettingMax = 1'000'000'000;

uint64_t Seed() { return setting::Number("KLATCH_SEED", std::random_device()(), 0, UINT64_MAX); }

Klatchd::Options Arguments(const std::vector<std::string>& more = {}) {
  Klatchd::Options options{.arguments = {"--shards", "5", "--partitions", "7", "--workers", "2",
                                         "--flush-interval", "100ms"}};
  options.arguments.insert(options.arguments.end(), more.begin(), more.end());
  return options;
}

// Worlds on some threads, each on one at a time.
class Worlds {
 public:
  Worlds(Klatchd& klatchd, uint64_t seed, int operations, int first, int count)
      : seed_(seed), operations_(operations), first_(first), worlds_(static_cast<size_t>(count)) {
    for (int i = 0; i < std::min(kWorldsAtOnce, count); ++i) {
      channels_.push_back(klatchd.Channel());
    }
  }

  // Begins all; each is done when it has ended or found something.
  void Start() {
    for (const auto& channel : channels_) {
      threads_.emplace_back([this, channel] {
        for (size_t i = next_++; i < worlds_.size(); i = next_++) {
          Run(i, channel);
        }
        ++ended_;
      });
    }
  }
  void CompareAgain() {
    next_ = 0;
    for (size_t t = 0; t < channels_.size(); ++t) {
      threads_.emplace_back([this] {
        for (size_t i = next_++; i < worlds_.size(); i = next_++) {
          worlds_[i]->CompareEverything();
        }
      });
    }
    Join();
  }
  void Join() {
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }

  // Operations that are done.
  int64_t done() const { return done_.load(std::memory_order_relaxed); }
  bool has_ended() const { return ended_ == channels_.size(); }
  std::string FirstMismatch() const {
    for (const auto& world : worlds_) {
      if (world != nullptr && !world->mismatch().empty()) {
        return world->mismatch();
      }
    }
    return "";
  }
  WorldCounts counts() const {
    WorldCounts counts;
    for (const auto& world : worlds_) {
      counts.Add(world->counts());
    }
    return counts;
  }

 private:
  void Run(size_t i, const std::shared_ptr<grpc::Channel>& channel) {
    worlds_[i] =
        std::make_unique<HistoryWorld>(channel, WorldOptions{.seed = seed_,
                                                             .number = first_ + static_cast<int>(i),
                                                             .operations = operations_});
    while (!has_failed_ && worlds_[i]->Step()) {
      done_.fetch_add(1, std::memory_order_relaxed);
    }
    if (!has_failed_) {
      worlds_[i]->Finish();
    }
    if (!worlds_[i]->mismatch().empty()) {
      has_failed_ = true;
    }
  }

  const uint64_t seed_;
  const int operations_;
  const int first_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  // Each written by the thread that runs it.
  std::vector<std::unique_ptr<HistoryWorld>> worlds_;
  std::vector<std::thread> threads_;
  std::atomic<size_t> next_ = 0;
  std::atomic<size_t> ended_ = 0;
  std::atomic<int64_t> done_ = 0;
  // The others need not go on.
  std::atomic<bool> has_failed_ = false;
};

void Print(const WorldCounts& counts, std::chrono::steady_clock::duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  std::cout << fmt::format(
      "{} operations in {:.1f} s: {} calls, {} pages, {} by an old cursor, {} incomplete; {} "
      "updates, "
      "{} refused, {} repeated\nwatches: {} begun, {} resumed, {} published, {} edited, {} "
      "deleted, "
      "{} joins and leaves, {} gaps\n",
      counts.operations, seconds, counts.calls, counts.pages, counts.cursors, counts.incomplete,
      counts.updates, counts.refused, counts.repeated, counts.watched.begins,
      counts.watched.resumes, counts.watched.published, counts.watched.edited,
      counts.watched.deleted, counts.watched.groups, counts.watched.gaps);
}

// A history on a klatchd with these arguments.
void Play(const Klatchd::Options& options, int operations) {
  const uint64_t seed = Seed();
  const bool is_single = std::getenv("KLATCH_WORLD") != nullptr;
  const auto first = static_cast<int>(setting::Number("KLATCH_WORLD", 0, 0, kSettingMax));
  const int per_world = std::max(1, std::min(kOperationsPerWorld, operations / kWorldsAtOnce));
  std::cout << "seed " << seed << "\n";
  const auto start = std::chrono::steady_clock::now();
  Klatchd klatchd(options);
  Worlds worlds(klatchd, seed, is_single ? kOperationsPerWorld : per_world, first,
                is_single ? 1 : (operations + per_world - 1) / per_world);
  worlds.Start();
  const auto kills =
      static_cast<int>(is_single ? 0 : setting::Number("KLATCH_KILLS", kKills, 0, kSettingMax));
  for (int kill = 1; kill <= kills; ++kill) {
    while (!worlds.has_ended() && worlds.done() < operations / (kills + 1) * kill) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    klatchd.Kill();
    klatchd.Start();
  }
  worlds.Join();
  ASSERT_EQ(worlds.FirstMismatch(), "");
  // What is stored says the same.
  klatchd.Kill();
  klatchd.Start();
  worlds.CompareAgain();
  EXPECT_EQ(worlds.FirstMismatch(), "");
  Print(worlds.counts(), std::chrono::steady_clock::now() - start);
}

TEST(KlatchdHistoryTest, EveryAnswerPageAndWatchIsAsTheModelSays) {
  Play(Arguments(),
       static_cast<int>(setting::Number("KLATCH_OPERATIONS", kOperations, 10, kSettingMax)));
}

// Groups here have up to ten members: they become pulled and cease to be all the time.
TEST(KlatchdHistoryTest, PulledGroupsAndQuietPersonsChangeNothing) {
  Play(Arguments({"--pull-above", "5", "--quiet-after", "1s"}),
       static_cast<int>(setting::Number("KLATCH_OPERATIONS", kOperations, 10, kSettingMax)) / 10);
}

// The test of the test: of a model that gets one rule wrong, it finds that.
class KlatchdHistoryFaultTest : public ::testing::TestWithParam<Fault> {
 protected:
  static void SetUpTestSuite() { klatchd_ = new Klatchd(Arguments()); }
  static void TearDownTestSuite() { delete klatchd_; }

  static inline Klatchd* klatchd_ = nullptr;
};

// What some faults need to show is rare; a history that happens to lack it is followed by another.
TEST_P(KlatchdHistoryFaultTest, IsFound) {
  const uint64_t seed = Seed();
  const bool has_fault = GetParam() != Fault::kNone;
  std::string mismatch;
  for (int i = 0; i < (has_fault ? kHistoriesPerFault : 1) && mismatch.empty(); ++i) {
    HistoryWorld world(klatchd_->Channel(),
                       {.seed = seed,
                        .number = 1'000 + 100 * i + static_cast<int>(GetParam()),
                        .operations = kOperationsPerWorld,
                        .fault = GetParam()});
    while (world.Step()) {
    }
    world.Finish();
    mismatch = world.mismatch();
  }
  EXPECT_EQ(mismatch.empty(), !has_fault) << "seed " << seed << ", " << mismatch;
}

INSTANTIATE_TEST_SUITE_P(
    OfTheModel, KlatchdHistoryFaultTest,
    ::testing::Values(Fault::kNone, Fault::kForgetsBlocks, Fault::kForgetsMutes,
                      Fault::kForgetsHidden, Fault::kForgetsLeaves, Fault::kForgetsDeletions,
                      Fault::kForgetsEdits, Fault::kForgetsWhereHistoryBegins,
                      Fault::kForgetsAudience, Fault::kForgetsRemovalsFromGroups,
                      Fault::kForgetsPostRole, Fault::kForgetsMarkers, Fault::kLosesWatchedPosts,
                      Fault::kRepeatsWatchedPosts, Fault::kLosesWatchedDeletions),
    [](const ::testing::TestParamInfo<Fault>& fault) {
      return "Fault" + std::to_string(static_cast<int>(fault.param));
    });

}  // namespace
}  // namespace klatch::testing
