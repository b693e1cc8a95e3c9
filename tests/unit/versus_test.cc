// What versus makes of its measurements: medians, ratios, percentiles, the cost of a post; its keys,
// its options, its result.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bench/versus/arithmetic.h"
#include "bench/versus/figure.h"
#include "bench/versus/nats_peer.h"
#include "bench/versus/options.h"
#include "bench/versus/process.h"
#include "bench/versus/stored_bytes.h"

namespace klatch::versus {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ArithmeticTest, MedianIsTheValueInTheMiddle) {
  EXPECT_EQ(Median({}), 0);
  EXPECT_EQ(Median({7}), 7);
  EXPECT_EQ(Median({9, 1, 5}), 5);
  EXPECT_EQ(Median({4, 1, 9, 2}), 3);
}

TEST(ArithmeticTest, SpreadKnowsBothEnds) {
  const Spread spread = SpreadOf(std::vector<double>{3, 1, 8});
  EXPECT_EQ(spread.low, 1);
  EXPECT_EQ(spread.median, 3);
  EXPECT_EQ(spread.high, 8);
}

TEST(ArithmeticTest, RatiosPairSlicesAndLeaveOutWhatDidNothing) {
  EXPECT_THAT(RatiosOf(std::vector<double>{10, 20, 30}, std::vector<double>{5, 0, 10}),
              ElementsAre(2, 3));
}

TEST(ArithmeticTest, PercentileIsAValueThatWasMeasured) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) {
    values.push_back(i);
  }
  EXPECT_EQ(Percentile(values, 50), 50);
  EXPECT_EQ(Percentile(values, 99), 99);
  EXPECT_EQ(Percentile(values, 100), 100);
  EXPECT_EQ(Percentile(values, 0), 1);
  EXPECT_EQ(Percentile({3, 4}, 99), 4);
}

TEST(ArithmeticTest, FitFindsWhatPostsAndDeliveriesCost) {
  std::vector<Point> points;
  for (const double size : {10.0, 400.0, 10'000.0}) {
    points.push_back({size, 25 + 0.11 * size});
  }
  const Line line = FitCost(points);
  EXPECT_THAT(line.per_post, DoubleNear(25, 1e-6));
  EXPECT_THAT(line.per_delivery, DoubleNear(0.11, 1e-9));
}

TEST(ArithmeticTest, FitLetsSmallGroupsCountAsMuchAsLargeOnes) {
  // Five per cent too much at 10,000 is fifty times what a post costs; it must not drown it.
  const Line line =
      FitCost(std::vector<Point>{{10, 26.1}, {400, 69}, {10'000, 1.05 * (25 + 0.11 * 10'000)}});
  EXPECT_THAT(line.per_post, DoubleNear(25, 1));
}

TEST(ArithmeticTest, FitThroughOneSizeGoesThroughTheOrigin) {
  const Line line = FitCost(std::vector<Point>{{400, 80}, {400, 80}});
  EXPECT_EQ(line.per_post, 0);
  EXPECT_THAT(line.per_delivery, DoubleNear(0.2, 1e-9));
}

TEST(FigureTest, KeysAreThoseOfTheTable) {
  std::vector<std::string> keys;
  for (const KeySpec& spec : AllKeys()) {
    keys.emplace_back(spec.key);
    EXPECT_EQ(FindKey(spec.key), &spec);
  }
  EXPECT_THAT(keys, testing::IsSupersetOf(
                        {"list_ratio", "list_ratio_unary", "zset_ratio", "mastodon_ratio",
                         "core_ratio", "publish_cpu_ratio", "read_ratio", "live_gateway_ratio",
                         "live_streams_ratio", "last_member_ratio", "million_group_ratio",
                         "redis_bytes_per_entry", "memory_bytes_per_entry", "growth_ratio",
                         "post_cost_us", "replay_per_second", "restart_seconds"}));
  EXPECT_EQ(FindKey("ratio"), nullptr);
}

TEST(FigureTest, RatioIsTheMedianOfTheSlicesRatiosNotTheRatioOfMedians) {
  const Figure figure =
      RatioFigure("list_ratio", {"Klatch", 0, "deliveries/s"}, std::vector<double>{100, 90, 10},
                  {"list", 0, "deliveries/s"}, std::vector<double>{10, 3, 10}, 60);
  EXPECT_THAT(figure.slices, ElementsAre(10, 30, 1));
  EXPECT_EQ(figure.value, 10);
  EXPECT_EQ(figure.sides[0].value, 90);
  EXPECT_EQ(figure.sides[1].value, 10);
}

TEST(FigureTest, PeerThatDidNothingIsNoInfiniteRatio) {
  const Figure figure =
      RatioFigure("list_ratio", {"Klatch", 0, "deliveries/s"}, std::vector<double>{100},
                  {"list", 0, "deliveries/s"}, std::vector<double>{0}, 60);
  EXPECT_FALSE(figure.value.has_value());
  EXPECT_THAT(figure.reason, HasSubstr("list did nothing"));
}

TEST(FigureTest, ResultSaysWhatWasNotMeasuredAndWhy) {
  Figure core;
  core.key = "core_ratio";
  core.value = 0.5;
  const std::vector<Figure> figures = {NotMeasured("list_ratio", "no \"Redis\"\n"), core};
  const RunFacts facts{.quick = true, .is_short = true, .seed = 7, .persons = 20'000};
  EXPECT_EQ(ToJson(facts, figures),
            "{\"list_ratio\":null,\"core_ratio\":0.5,\"quick\":true,\"short\":true,\"green\":true,"
            "\"seed\":7,\"persons\":20000,\"details\":{\"list_ratio\":{\"not_measured\":"
            "\"no \\\"Redis\\\" \"},\"core_ratio\":{\"seconds\":0,\"sides\":[],\"slices\":[],"
            "\"notes\":[]}}}");
  const std::string text = ForPeople(facts, figures);
  EXPECT_THAT(text, HasSubstr("not measured: no \"Redis\""));
  EXPECT_THAT(text, HasSubstr("too short to be believed"));
}

std::string ErrorOf(const std::vector<std::string>& arguments) {
  VersusOptions options;
  return base::MessageOf(MakeVersusTable(options).Resolve(arguments, {}).status());
}

TEST(VersusOptionsTest, UnknownKeyIsRefusedWithTheNearest) {
  EXPECT_THAT(ErrorOf({"--only", "core_ratio,lst_ratio"}), HasSubstr("did you mean list_ratio?"));
  EXPECT_EQ(ErrorOf({"--only", "core_ratio,list_ratio"}), "");
}

TEST(VersusOptionsTest, SlicesAddUpToWhatIsTimed) {
  VersusOptions options;
  EXPECT_EQ(options.Timed(), std::chrono::seconds(60));
  EXPECT_NEAR(options.Slice().count() * options.SliceCount(), 60, 1e-9);
  ASSERT_TRUE(MakeVersusTable(options).Resolve({"--quick", "--timed", "2s"}, {}).ok());
  EXPECT_EQ(options.Timed(), std::chrono::seconds(2));
  EXPECT_NEAR(options.Slice().count() * options.SliceCount(), 2, 1e-9);
}

TEST(StoredBytesTest, KindOfAKeyStandsBehindItsTag) {
  EXPECT_EQ(KindOfKey("{default:t3}:timeline:ann:b"), "timeline");
  EXPECT_EQ(KindOfKey("{default:g7}:log"), "log");
  EXPECT_EQ(KindOfKey("timeline:ann"), "");
}

TEST(NatsReaderTest, CountsMessagesInWhateverPiecesTheyCome) {
  const std::string sent =
      "INFO {\"max_payload\":1048576}\r\nMSG s 1 4\r\nM\nSG\r\nPING\r\nMSG s 17 0\r\n\r\n"
      "MSG s 2 11\r\nMSG s 9 999\r\nPONG\r\n";
  for (size_t piece = 1; piece <= sent.size(); ++piece) {
    NatsReader reader;
    uint64_t messages = 0;
    for (size_t at = 0; at < sent.size(); at += piece) {
      messages += reader.Take(std::string_view(sent).substr(at, piece));
    }
    EXPECT_EQ(messages, 3u) << "in pieces of " << piece;
    EXPECT_TRUE(reader.TakePing());
    EXPECT_FALSE(reader.TakePing());
    EXPECT_TRUE(reader.TakePong());
  }
}

TEST(ProcessTest, MissingProgramIsNamedWithWhatHelps) {
  const auto missing = FindProgram("no-such-server", " (apt-get install it)");
  EXPECT_TRUE(absl::IsNotFound(missing.status()));
  EXPECT_EQ(base::MessageOf(missing.status()), "no-such-server is not here (apt-get install it)");
  EXPECT_TRUE(FindProgram("sh", "").ok());
}

TEST(ProcessTest, EndsWithItsObjectAndTellsHowItEnded) {
  const std::filesystem::path folder = testing::TempDir();
  {
    auto process = Process::Start({"/bin/sh", "-c", "echo said >&2; exit 7"}, folder, "versus-sh");
    ASSERT_TRUE(process.ok());
    while (!(*process)->Ended().has_value()) {
    }
    EXPECT_EQ((*process)->Ended(), 7);
    EXPECT_EQ((*process)->LastLogLine(), "said");
  }
  auto sleeper = Process::Start({"/bin/sleep", "600"}, folder, "versus-sleep");
  ASSERT_TRUE(sleeper.ok());
  EXPECT_GT(ResidentBytesOf((*sleeper)->pid()), 0u);
  (*sleeper)->Stop();
  EXPECT_EQ((*sleeper)->Ended(), 128 + 15);
}

}  // namespace
}  // namespace klatch::versus
