// What klatch-load makes of what it has seen: latencies of watches, costs, the line that would play it
// again, the curves on a terminal.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "bench/load/cast/watch_latency.h"
#include "bench/load/live_view.h"
#include "bench/load/run_result.h"
#include "services/model/position.h"

namespace klatch::load {
namespace {

using std::chrono_literals::operator""ms;
using ::testing::HasSubstr;

TEST(SparklineTest, RunsFromNothingToTheHighest) {
  const std::vector<std::optional<double>> points = {0, 5, std::nullopt, 10};
  EXPECT_EQ(Sparkline(points), "▁▅ █");
  EXPECT_EQ(Sparkline({}), "");
  const std::vector<std::optional<double>> zeros = {0, 0};
  EXPECT_EQ(Sparkline(zeros), "▁▁");
}

class MeasureWatchesTest : public ::testing::Test {
 protected:
  // Ann and Bob are in both groups, Cem in the second only.
  MeasureWatchesTest() {
    History history;
    for (const auto& [group, members] :
         {std::pair<GroupNumber, std::vector<PersonNumber>>{0, {0, 1}}, {1, {0, 1, 2}}}) {
      for (const PersonNumber member : members) {
        history.turns.push_back({group, member, Id(1), Turn::kJoined});
      }
    }
    for (const GroupNumber group : {0u, 1u}) {
      PostRecord post{.id = Id(10 + group), .number = group, .group = group, .author = 0};
      post.sent = kStart;
      history.posts.push_back(post);
    }
    model_.Add(history);
    model_.Finish();
  }

  static uint64_t Id(uint64_t ms) { return Position(ms, ShardIndex(0), 0).value(); }
  static WatchNote Shown(PersonNumber person, uint64_t update, std::chrono::milliseconds after) {
    return {.person = person, .update = update, .arrived = kStart + after};
  }

  static constexpr std::chrono::steady_clock::time_point kStart{std::chrono::hours(1)};
  const Graph graph_{
      {"ann", "bob", "cem"}, {{"pair", 0, {0, 1}}, {"all", 0, {0, 1, 2}}}, std::nullopt};
  Model model_{graph_};
  Latencies latencies_;
};

TEST_F(MeasureWatchesTest, TheLastMemberIsToldOfGroupsThatAreWatchedWhole) {
  WatchLog log;
  log.persons = {0, 1};
  log.notes = {Shown(0, Id(10), 3ms), Shown(1, Id(10), 9ms), Shown(0, Id(11), 5ms),
               Shown(1, Id(11), 50ms)};
  MeasureWatches(graph_, model_, {log}, latencies_);
  EXPECT_EQ(latencies_.watch.Count(), 4u);
  EXPECT_EQ(latencies_.watch.Max(), 50'000u);
  ASSERT_EQ(latencies_.last_member.Count(), 1u);
  EXPECT_EQ(latencies_.last_member.Max(), 9'000u);
}

TEST_F(MeasureWatchesTest, WhatComesAgainCountsWhenItCameFirst) {
  WatchLog first;
  first.persons = {0};
  first.notes = {Shown(0, Id(10), 700ms), Shown(0, Id(10), 4ms)};
  first.resume_times = {120ms};
  WatchLog second;
  second.persons = {1};
  second.notes = {Shown(1, Id(10), 2ms)};
  // Not of this run.
  second.notes.push_back(Shown(1, Id(99), 1ms));
  MeasureWatches(graph_, model_, {first, second}, latencies_);
  EXPECT_EQ(latencies_.watch.Count(), 2u);
  EXPECT_EQ(latencies_.last_member.Max(), 4'000u);
  EXPECT_EQ(latencies_.resume.Max(), 120'000u);
}

TEST(RunResultTest, SaysWhatAnOperationCostsAndHowToPlayItAgain) {
  LoadOptions options;
  options.scenario = "small";
  options.arrivals = ArrivalKind::kPoisson;
  RunFacts facts;
  facts.verdict = "kept";
  facts.answered = 4'000;
  facts.offered_per_second = 200;
  facts.achieved_per_second = 199.6;
  facts.cpu.klatchd = 2;
  Summary summary;
  summary.deliveries = 1'000'000;
  Circumstances more;
  more.checked = true;
  Latencies latencies;
  latencies.publish.Record(std::chrono::microseconds(850));
  const Result result =
      MakeResult(options, {{"rate", "200"}, {"scenario", "it's small"}}, facts, summary, more,
                 latencies, {{"memory_redis", "memory", "bytes", {1e6, std::nullopt, 3e6}}});
  EXPECT_EQ(result.name, "small");
  EXPECT_EQ(result.command, "klatch-load play --rate=200 '--scenario=it'\\''s small'");
  EXPECT_EQ(result.sentence, "0 lost, 0 duplicated, 0 leaked");
  ASSERT_EQ(result.costs.size(), 3u);
  EXPECT_EQ(result.costs[0].name, "CPU of klatchd per operation");
  EXPECT_DOUBLE_EQ(result.costs[0].value, 500);
  EXPECT_DOUBLE_EQ(result.costs[1].value, 2);
  EXPECT_DOUBLE_EQ(result.costs[2].value, 3e6);
  ASSERT_EQ(result.latencies.size(), 1u);
  EXPECT_EQ(result.latencies[0].name, "publish");
  const std::string text = MeasuredText(result, 7);
  EXPECT_THAT(text, HasSubstr("200 operations per second offered (poisson), 200 answered; 7 were"));
  EXPECT_THAT(text, HasSubstr("publish           850 µs"));
}

}  // namespace
}  // namespace klatch::load
