// What klatch-load says and is told: the summary's keys, percentages, commands, metrics, retries.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <regex>
#include <set>
#include <thread>

#include "bench/load/calls/pace.h"
#include "bench/load/calls/retry.h"
#include "bench/load/cast/node_drill.h"
#include "bench/load/drain.h"
#include "bench/load/options.h"
#include "bench/load/plan/samples.h"
#include "bench/load/plan/texts.h"
#include "bench/load/result/report.h"
#include "bench/load/scrape.h"
#include "google/rpc/error_details.pb.h"
#include "services/model/position.h"

namespace klatch::load {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> KeysOf(const std::string& json) {
  std::vector<std::string> keys;
  std::regex key("\"([a-z0-9_]+)\":");
  for (std::sregex_iterator match(json.begin(), json.end(), key), end; match != end; ++match) {
    keys.push_back((*match)[1]);
  }
  return keys;
}

TEST(ReportTest, JsonIsOneLineWithExactlyTheKeysOfTheContract) {
  Summary summary;
  summary.deliveries = 3'000'000;
  summary.seconds = 1.5;
  std::string json = ToJson(summary);
  EXPECT_THAT(KeysOf(json),
              ElementsAre("persons", "groups", "published", "unknown", "trimmed", "deliveries",
                          "lost", "duplicated", "leaked", "publish_p50_us", "publish_p99_us",
                          "visible_p50_us", "visible_p99_us", "deliveries_per_second", "seconds",
                          // Beyond the contract: watches, and counts by path.
                          "gaps", "resumes", "paths", "home", "lost", "duplicated", "leaked",
                          "group", "lost", "duplicated", "leaked", "profile", "lost", "duplicated",
                          "leaked", "single", "lost", "duplicated", "leaked", "watch", "lost",
                          "duplicated", "leaked", "resumed_watch", "lost", "duplicated", "leaked",
                          "redis", "lost", "duplicated", "leaked", "http", "lost", "duplicated",
                          "leaked", "publish", "lost", "duplicated", "leaked"));
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_THAT(json, HasSubstr("\"deliveries_per_second\":2000000,\"seconds\":1.500,\"gaps\":0,"));
}

TEST(ReportTest, CountsByPathStandUnderTheirNames) {
  Summary summary;
  summary.paths[static_cast<size_t>(Surface::kResumedWatch)] = {1, 2, 3};
  EXPECT_THAT(ToJson(summary),
              HasSubstr("\"resumed_watch\":{\"lost\":1,\"duplicated\":2,\"leaked\":3}"));
}

TEST(ReportTest, NoLineForPeopleIsLongerThanAHundredColumns) {
  Summary summary;
  summary.persons = summary.groups = summary.published = 123'456'789;
  summary.gaps = summary.resumes = summary.trimmed = 123'456'789;
  Circumstances more;
  more.checked = true;
  more.memberships = more.seed = more.several = more.refused_rightly = more.shed = 123'456'789;
  more.departures = more.returns = more.revisions = more.quarrels = more.node_kills = 123'456;
  more.watched = more.watch_shown = more.watch_paged = 123'456'789;
  more.stored_rings = {1'000'000, 123'456'789};
  more.home_timelines = more.group_timelines = more.profiles = {1'000'000, 123'456'789};
  more.single_updates = more.departed = {1'000'000, 123'456'789};
  const std::string text = ForPeople(summary, more, "");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    // The verdict is a sentence.
    if (line.starts_with("  ")) {
      EXPECT_LE(line.size(), 100u) << line;
    }
    begin = end + 1;
  }
}

TEST(ReportTest, JsonOfARunWithoutTimeHasNoInfinity) {
  EXPECT_THAT(ToJson({}), HasSubstr("\"deliveries_per_second\":0,"));
}

TEST(ReportTest, PeopleReadTheVerdict) {
  Summary summary;
  Circumstances more;
  more.checked = true;
  EXPECT_THAT(ForPeople(summary, more, ""), HasSubstr("0 lost, 0 duplicated, 0 leaked\n"));
  more.checked = false;
  EXPECT_THAT(ForPeople(summary, more, ""), HasSubstr("Not checked"));
}

TEST(ReportTest, TheVerdictSaysWhenOnlyASampleWasRead) {
  Summary summary;
  Circumstances more;
  more.checked = true;
  more.home_timelines = {2'000, 100'000};
  more.group_timelines = {2'500, 2'500};
  EXPECT_THAT(ForPeople(summary, more, ""),
              HasSubstr("0 leaked in a sample of 2,000 of 100,000 home timelines\n"));
}

TEST(ReportTest, TheVerdictNamesUndecidedCallsAndOtherFaults) {
  Summary summary;
  summary.unknown = 2;
  Circumstances more;
  more.checked = true;
  more.other_violations = 3;
  EXPECT_THAT(ForPeople(summary, more, ""), HasSubstr("0 leaked, 3 other faults, 2 undecided\n"));
}

TEST(PaceTest, TheLoadWaitsForTasksThatAreDueAndTasksForTheLoad) {
  Pace pace(10);
  EXPECT_EQ(pace.DueAt(0), 0);
  EXPECT_LT(pace.DueAt(9), 0.9);
  EXPECT_TRUE(pace.Allows(0.04));
  EXPECT_FALSE(pace.Allows(0.06));
  pace.Done();
  EXPECT_TRUE(pace.Allows(0.06));
  for (int i = 0; i < 9; ++i) {
    EXPECT_FALSE(pace.Allows(0.96));
    pace.Done();
  }
  EXPECT_TRUE(pace.Allows(1.0));
}

TEST(SamplesTest, OneOfEachStretchIsDrawnBeforehand) {
  Samples samples(100, 1'000, 7);
  uint64_t found = 0;
  for (uint64_t number = 0; number < 1'000; ++number) {
    if (samples.Contains(number)) {
      EXPECT_EQ(samples.NumberOf(number / 10), number);
      ++found;
    }
  }
  EXPECT_EQ(found, 100u);
  EXPECT_FALSE(Samples(0, 1'000, 7).Contains(0));
}

TEST(AnswerTest, AnOkIsBelievedOnlyWithAnIdAndATokenThatFitsIt) {
  const uint64_t id = Position(1000, ShardIndex(3), 1).value();
  klatch::v1::BatchPublishResult result;
  EXPECT_NE(FaultOf(result), "");
  result.mutable_published()->set_update_id(id);
  EXPECT_NE(FaultOf(result), "");
  klatch::v1::Token& token = *result.mutable_published()->add_tokens();
  token.set_shard(3);
  token.set_position(id);
  EXPECT_EQ(FaultOf(result), "");
  token.set_shard(4);
  EXPECT_NE(FaultOf(result), "");
  token.set_shard(3);
  token.set_position(id + 1);
  EXPECT_NE(FaultOf(result), "");
  result.mutable_published()->set_update_id(0);
  EXPECT_NE(FaultOf(result), "");
}

TEST(ReportTest, NumbersAndLatenciesAreWrittenForPeople) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1234567), "1,234,567");
  EXPECT_EQ(LatencyText(950), "950 µs");
  EXPECT_EQ(LatencyText(1234), "1.23 ms");
  EXPECT_EQ(LatencyText(4'500'000), "4.50 s");
}

TEST(LoadOptionsTest, PercentagesAreReadWithAndWithoutSign) {
  EXPECT_EQ(*ParsePercent("50%"), 0.5);
  EXPECT_EQ(*ParsePercent("12.5"), 0.125);
  for (const char* text : {"", "%", "x%", "101%", "-1", "5%%", "nan"}) {
    EXPECT_FALSE(ParsePercent(text).ok()) << text;
  }
}

TEST(LoadOptionsTest, AKillWantsAProcessAndACommand) {
  LoadOptions options;
  EXPECT_TRUE(ValidateOptions(options).ok());
  options.kill_node_at = "50%";
  EXPECT_FALSE(ValidateOptions(options).ok());
  options.node_pid_file = "node.pid";
  EXPECT_FALSE(ValidateOptions(options).ok());
  options.node_restart_command = "klatchd";
  EXPECT_TRUE(ValidateOptions(options).ok());
}

TEST(LoadOptionsTest, AFaultIsAPauseOfAKnownNode) {
  EXPECT_EQ(ParseFault("pause=100ms").value(), std::chrono::milliseconds(100));
  EXPECT_FALSE(ParseFault("pause=0ms").ok());
  EXPECT_FALSE(ParseFault("pause=2h").ok());
  EXPECT_FALSE(ParseFault("pause").ok());
  EXPECT_FALSE(ParseFault("pasue=1s").ok());
  LoadOptions options;
  options.fault = "pause=100ms";
  EXPECT_FALSE(ValidateOptions(options).ok());
  options.node_pid = 1;
  EXPECT_TRUE(ValidateOptions(options).ok());
}

TEST(LoadOptionsTest, ASchedulesOptionsFitTogether) {
  const auto error = [](const auto& change) {
    LoadOptions options;
    change(options);
    return base::MessageOf(ValidateOptions(options));
  };
  using std::chrono_literals::operator""s;
  EXPECT_THAT(error([](LoadOptions& o) { o.arrivals = ArrivalKind::kStep; }),
              HasSubstr("--arrivals step wants --rate-end"));
  EXPECT_THAT(error([](LoadOptions& o) { o.arrivals = ArrivalKind::kSurge; }),
              HasSubstr("--arrivals surge wants --rate-end"));
  EXPECT_THAT(error([](LoadOptions& o) {
                o.arrivals = ArrivalKind::kClosedLoop;
                o.shed = true;
              }),
              HasSubstr("--shed is for a schedule"));
  EXPECT_THAT(error([](LoadOptions& o) {
                o.arrivals = ArrivalKind::kClosedLoop;
                o.duration = 1s;
              }),
              HasSubstr("--duration is for a schedule"));
  EXPECT_THAT(error([](LoadOptions& o) { o.duration = 1s, o.updates = 5; }),
              HasSubstr("--updates and --deliveries how many"));
  EXPECT_THAT(error([](LoadOptions& o) { o.mix = "home=1"; }), HasSubstr("--mix has no posts"));
  EXPECT_THAT(error([](LoadOptions& o) { o.mix = "home=1", o.duration = 1s; }), "");
  EXPECT_THAT(error([](LoadOptions& o) { o.group_size = 5, o.busy_persons = 1; }),
              HasSubstr("go with communities"));
  EXPECT_THAT(error([](LoadOptions& o) { o.celebrity_members = 10; }),
              HasSubstr("--celebrity-members is at least --persons"));
}

TEST(LoadOptionsTest, TheTableReadsWhatUpPasses) {
  LoadOptions options;
  auto resolved = MakeOptionTable(options).Resolve(
      {"play", "--persons", "100000", "--group-size=400", "--deliveries", "20000000", "--json",
       "--target", "unix:/tmp/k.sock"},
      {}, base::Positionals::kCollect);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_THAT(resolved->positionals, ElementsAre("play"));
  EXPECT_EQ(options.persons, 100'000u);
  EXPECT_EQ(options.group_size, 400u);
  EXPECT_EQ(options.deliveries, 20'000'000u);
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.target, "unix:/tmp/k.sock");
}

TEST(NodeDrillTest, CommandsAreSplitAsAShellDoes) {
  EXPECT_THAT(*SplitCommand("klatchd --data-dir '/tmp/a b'  --x=\"1 \\\" 2\" a\\ b ''"),
              ElementsAre("klatchd", "--data-dir", "/tmp/a b", "--x=1 \" 2", "a b", ""));
  EXPECT_FALSE(SplitCommand("klatchd 'open").ok());
  EXPECT_FALSE(SplitCommand("  ").ok());
}

char StateOf(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(stat, line);
  const size_t name_end = line.rfind(") ");
  return name_end == std::string::npos ? '?' : line[name_end + 2];
}

TEST(NodeDrillTest, AProcessRunsUntilTheLastOfItsThreadsHasEnded) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    std::thread([] { pause(); }).detach();
    syscall(SYS_exit, 0);  // the first thread alone
  }
  while (StateOf(pid) != 'Z') {
    std::this_thread::yield();
  }
  EXPECT_TRUE(FindNode({.pid = pid, .pid_file = {}, .restart_command = {}}).ok());
  kill(pid, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_FALSE(FindNode({.pid = pid, .pid_file = {}, .restart_command = {}}).ok());
}

TEST(NodeDrillTest, SaysWhenNoProcessRuns) {
  EXPECT_EQ(FindNode({.pid = 0, .pid_file = "/nowhere.pid", .restart_command = {}}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(DrainTest, MetricsAreSummedOverTheirLabels) {
  std::string text =
      "# HELP klatch_unflushed_entries Entries\n"
      "# TYPE klatch_unflushed_entries gauge\n"
      "klatch_unflushed_entries{worker=\"0\"} 12\n"
      "klatch_unflushed_entries{worker=\"1\"} 3.5e1\n"
      "klatch_unflushed_entries_total 99\n"
      "klatch_other 7\n";
  EXPECT_EQ(MetricValue(text, "klatch_unflushed_entries"), 47);
  EXPECT_EQ(MetricValue(text, "klatch_other"), 7);
  EXPECT_EQ(MetricValue(text, "klatch_none"), std::nullopt);
  EXPECT_EQ(MetricValue("", "klatch_other"), std::nullopt);
}

class RetryTest : public testing::Test {
 protected:
  Graph graph_{{"ann"}, {{"g", 0, {0}}}, std::nullopt};
  std::atomic<bool> interrupted_{false};
  RunState state_{interrupted_, graph_};

  static Client::Options For(std::chrono::milliseconds retry_for, bool sheds = false) {
    Client::Options options;
    options.retry_for = retry_for;
    options.sheds = sheds;
    return options;
  }
};

TEST_F(RetryTest, ADefiniteAnswerEndsRetriesAndIsDefinite) {
  Retry retry(For(std::chrono::seconds(30)), state_);
  grpc::Status lost(grpc::StatusCode::UNAVAILABLE, "connection reset");
  EXPECT_TRUE(retry.PauseAfter(lost).has_value());
  grpc::Status refused(grpc::StatusCode::PERMISSION_DENIED, "no member");
  EXPECT_FALSE(retry.PauseAfter(refused).has_value());
  EXPECT_EQ(retry.CertaintyOf(refused), Certainty::kRefused);
  EXPECT_EQ(retry.CertaintyOf(grpc::Status::OK), Certainty::kDone);
}

TEST_F(RetryTest, ACallThatMayHaveHappenedStaysUnknownWhenTheTimeIsOver) {
  Retry retry(For(std::chrono::milliseconds(0)), state_);
  grpc::Status lost(grpc::StatusCode::UNAVAILABLE, "connection reset");
  EXPECT_FALSE(retry.PauseAfter(lost).has_value());
  EXPECT_EQ(retry.CertaintyOf(lost), Certainty::kUnknown);
}

TEST_F(RetryTest, ARefusalForOverloadDidNotHappen) {
  Retry retry(For(std::chrono::milliseconds(0)), state_);
  grpc::Status busy(grpc::StatusCode::RESOURCE_EXHAUSTED, "behind");
  EXPECT_FALSE(retry.PauseAfter(busy).has_value());
  EXPECT_EQ(retry.CertaintyOf(busy), Certainty::kRefused);
}

TEST_F(RetryTest, WhoShedsTriesNothingAgainThatWasRefusedForOverload) {
  Retry retry(For(std::chrono::seconds(30), true), state_);
  const grpc::Status lost(grpc::StatusCode::UNAVAILABLE, "connection reset");
  const grpc::Status busy(grpc::StatusCode::RESOURCE_EXHAUSTED, "behind");
  EXPECT_TRUE(retry.PauseAfter(lost).has_value());
  EXPECT_FALSE(retry.PauseAfter(busy).has_value());
}

TEST_F(RetryTest, AnInterruptEndsRetriesAtOnce) {
  Retry retry(For(std::chrono::seconds(30)), state_);
  interrupted_.store(true, std::memory_order_relaxed);
  EXPECT_FALSE(retry.PauseAfter(grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone")).has_value());
}

TEST_F(RetryTest, TheServersHintIsRead) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_nanos(75'000'000);
  google::rpc::Status details;
  details.set_code(8);
  details.set_message("behind");
  details.add_details()->PackFrom(info);
  EXPECT_EQ(RetryAfter(ToGrpcStatus(details)), std::chrono::milliseconds(75));
  EXPECT_EQ(RetryAfter(grpc::Status::OK), std::chrono::milliseconds(0));
}

TEST(TextsTest, TheSameNumberGivesTheSameTextAndOthersVary) {
  EXPECT_EQ(StatusText(1, 7), StatusText(1, 7));
  std::set<std::string> texts;
  for (uint64_t number = 0; number < 1000; ++number) {
    std::string text = StatusText(1, number);
    EXPECT_FALSE(text.empty());
    EXPECT_EQ(text.find('{'), std::string::npos);
    texts.insert(std::move(text));
  }
  EXPECT_GT(texts.size(), 900u);
}

}  // namespace
}  // namespace klatch::load
