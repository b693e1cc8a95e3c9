// The open loop of klatch-load against a real klatchd behind a proxy with one fault: what pages show
// wrongly while people post is found, and what a pause costs is in the latencies.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "bench/load/play.h"
#include "tests/integration/faulty_proxy.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/sanitized.h"

namespace klatch::testing {
namespace {

using load::ExitCode;

// The same operations, over a longer time.
constexpr int kSlower = kIsSanitized ? 5 : 1;

class LoadOpenLoopRedisTest : public ::testing::Test {
 protected:
  LoadOpenLoopRedisTest() {
    options_.target = "unix:" + (directory_.path() / "proxy.sock").string();
    options_.metrics = "127.0.0.1:" + std::to_string(klatchd_.metrics_port());
    options_.redis = "unix://" + (klatchd_.data_dir() / "redis.sock").string();
    options_.persons = 60;
    options_.arrivals = load::ArrivalKind::kPoisson;
    options_.rate = 300 / kSlower;
    options_.duration = kSlower * std::chrono::seconds(2);
    options_.mix = "home=40,profile=20,group=20,post=20";
    options_.connections = 2;
    options_.probers = 1;
    options_.batch = 5;
    options_.churn = 0;
    options_.watched = 0;
    options_.quarrels = 0;
    options_.show_timelines = 0;
    options_.retry_for = std::chrono::milliseconds(2'000);
  }

  void Run(Faults faults) {
    const FaultyProxy proxy(klatchd_.Channel(), options_.target, std::move(faults));
    auto graph = load::LoadGraph(options_);
    ASSERT_TRUE(graph.ok()) << graph.status();
    play_.emplace(options_, **graph, interrupted_);
    exit_ = play_->Run();
    summary_ = play_->summary();
    more_ = play_->circumstances();
  }

  // A page that the open loop asked for: others ask for pages of other sizes, but for those who come
  // and go.
  static bool IsOpenLoops(const ReadCall& call) { return call.page_size == 20; }

  const Klatchd klatchd_{{.arguments = {"--flush-interval", "50ms"}}};
  TemporaryDirectory directory_;
  load::LoadOptions options_;
  std::atomic<bool> interrupted_{false};
  std::optional<load::Play> play_;
  ExitCode exit_ = ExitCode::kUsage;
  load::Summary summary_;
  load::Circumstances more_;
};

TEST_F(LoadOpenLoopRedisTest, FindsNothingWhereNothingIsWrong) {
  options_.churn = 60;
  Run({});
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  EXPECT_EQ(summary_.lost + summary_.duplicated + summary_.leaked + summary_.unknown, 0u);
  // 120 on average of 600 operations, by a Poisson process; five standard deviations.
  EXPECT_NEAR(static_cast<double>(summary_.published), 120, 55);
  const load::Latencies& latencies = play_->latencies();
  EXPECT_NEAR(static_cast<double>(latencies.home_page.Count()), 240, 78);
  EXPECT_NEAR(static_cast<double>(latencies.profile_page.Count()), 120, 55);
  EXPECT_GT(latencies.group_page.Count(), 20u);
}

TEST_F(LoadOpenLoopRedisTest, FindsAPostThatAPageShowsTwice) {
  for (const Path path : {Path::kHome, Path::kProfile, Path::kGroup}) {
    Faults faults;
    bool done = false;
    faults.read = [&](const ReadCall& call, grpc::Status&, Updates& updates) {
      if (IsOpenLoops(call) && call.path == path && !done && !updates.empty()) {
        *updates.Add() = updates.Get(updates.size() - 1);
        done = true;
      }
    };
    ++options_.seed;
    Run(std::move(faults));
    EXPECT_EQ(exit_, ExitCode::kPromiseMissed) << static_cast<int>(path);
    EXPECT_EQ(summary_.duplicated, 1u);
    EXPECT_EQ(summary_.lost + summary_.leaked, 0u);
  }
}

TEST_F(LoadOpenLoopRedisTest, FindsPostsOfGroupsThatTheReaderWasNeverIn) {
  const auto graph = load::LoadGraph(options_);
  ASSERT_TRUE(graph.ok());
  std::map<std::string, v1::Update> by_group;
  bool done = false;
  Faults faults;
  faults.read = [&](const ReadCall& call, grpc::Status&, Updates& updates) {
    for (const v1::Update& update : updates) {
      if (update.groups_size() == 1) {
        by_group[update.groups(0)] = update;
      }
    }
    const auto reader = (*graph)->FindPerson(call.actor);
    if (!IsOpenLoops(call) || call.path != Path::kHome || done || !reader.has_value()) {
      return;
    }
    const auto groups = (*graph)->GroupsOf(*reader);
    for (const auto& [group, update] : by_group) {
      if (!std::binary_search(groups.begin(), groups.end(), *(*graph)->FindGroup(group))) {
        updates.Clear();
        *updates.Add() = update;
        done = true;
        return;
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_EQ(summary_.leaked, 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated, 0u);
}

TEST_F(LoadOpenLoopRedisTest, FindsPagesOutOfOrderAndPagesThatAreRefused) {
  for (const bool refuse : {false, true}) {
    Faults faults;
    bool done = false;
    faults.read = [&](const ReadCall& call, grpc::Status& status, Updates& updates) {
      if (!IsOpenLoops(call) || done || updates.size() < 2) {
        return;
      }
      done = true;
      if (refuse) {
        status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no");
      } else {
        updates.SwapElements(0, 1);
      }
    };
    ++options_.seed;
    Run(std::move(faults));
    EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
    // On a slow machine the load also finds that it could not take all its samples in time.
    const std::string_view found = refuse ? "could not be read: no" : "is not in order";
    EXPECT_EQ(std::ranges::count_if(more_.examples,
                                    [&](const std::string& example) {
                                      return example.find(found) != std::string::npos;
                                    }),
              1)
        << ::testing::PrintToString(more_.examples);
  }
}

TEST_F(LoadOpenLoopRedisTest, WhatIsShedIsCountedAndNoFailure) {
  options_.shed = true;
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> asked{0};
  Faults faults;
  faults.read = [&](const ReadCall& call, grpc::Status& status, Updates&) {
    if (IsOpenLoops(call) && asked.fetch_add(1) % 3 == 0) {
      refused.fetch_add(1);
      status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "behind");
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  EXPECT_GT(refused, 50u);
  EXPECT_EQ(more_.shed, refused);
  EXPECT_EQ(play_->latencies().refused.Count(), refused);
  EXPECT_EQ(more_.retries, 0u);
}

// A closed loop would have sent nothing during the pause, and seen it once per connection.
TEST_F(LoadOpenLoopRedisTest, APauseIsInTheLatencyOfAllThatWasDueMeanwhile) {
  constexpr std::chrono::milliseconds kPause = kSlower * std::chrono::milliseconds(400);
  options_.arrivals = load::ArrivalKind::kConstant;
  options_.mix = "home=90,post=10";
  options_.probers = 0;
  options_.revisions = 0;
  std::optional<std::chrono::steady_clock::time_point> first;
  bool done = false;
  Faults faults;
  faults.read = [&](const ReadCall& call, grpc::Status&, Updates&) {
    const auto now = std::chrono::steady_clock::now();
    if (IsOpenLoops(call)) {
      first = first.value_or(now);
      if (!done && now > *first + std::chrono::seconds(1)) {
        done = true;
        std::this_thread::sleep_for(kPause);  // with the proxy's lock: nobody is answered
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  // A fifth of the load was due within the pause: a quarter of that waited for three quarters of it.
  const obs::LatencyHistogram& pages = play_->latencies().home_page;
  EXPECT_GE(pages.Percentile(96), kSlower * 250'000u);
  EXPECT_LT(pages.Percentile(50), 100'000u);
}

}  // namespace
}  // namespace klatch::testing
