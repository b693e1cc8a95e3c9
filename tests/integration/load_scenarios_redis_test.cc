// The scenarios of bench/scenarios: each is read, and each is played, smaller and shorter, against a real
// klatchd with its oracle on. And what klatch-load makes of scenarios that are wrong, of servers that
// are not there, die, or are given up by Ctrl-C: one line, the right exit code, what was measured kept.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "bench/load/options.h"
#include "bench/load/result/result_file.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/sanitized.h"

namespace klatch::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Beyond what a node can do an open loop says so.
constexpr int kSlower = kIsSanitized ? 5 : 1;

std::string Rate(int per_second) { return std::to_string(per_second / kSlower); }

// What makes a scenario small, by name; one that is missing here fails the test.
const std::map<std::string, std::vector<std::string>>& Smaller() {
  static const std::map<std::string, std::vector<std::string>> smaller = {
      {"steady", {"--persons", "600", "--group-size", "40", "--rate", Rate(150)}},
      {"mix", {"--persons", "600", "--rate", "300"}},
      // More than klatchd's --pull-above.
      {"celebrity", {"--persons", "600", "--celebrity-members", "11000", "--rate", Rate(150)}},
      {"drowning-readers",
       {"--persons", "600", "--busy-persons", "5", "--busy-groups", "100", "--rate", Rate(150)}},
      {"churn", {"--persons", "600", "--rate", Rate(150), "--quarrels", "10"}},
      {"reconnect-storm",
       {"--persons", "1200", "--watched", "1000", "--watch-gateways", "8", "--rate", Rate(100)}},
      {"burst", {"--persons", "600", "--rate", "150", "--burst", "150"}},
      {"ramp",
       {"--persons", "600", "--group-size", "40", "--rate", Rate(50), "--rate-end", Rate(400)}},
  };
  return smaller;
}

std::vector<std::string> Scenarios() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(KLATCH_SCENARIOS)) {
    names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string FileOf(const std::string& scenario) {
  return std::string(KLATCH_SCENARIOS) + "/" + scenario + ".toml";
}

class LoadScenarioTest : public ::testing::TestWithParam<std::string> {};

TEST_P(LoadScenarioTest, IsReadAndNamesItself) {
  load::LoadOptions options;
  base::OptionTable table = load::MakeOptionTable(options);
  const auto resolved = table.Resolve({"--config", FileOf(GetParam())}, {});
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(options.scenario, GetParam());
  EXPECT_GE(options.duration, std::chrono::seconds(60));
  // What only whoever starts the node knows.
  options.node_pid_file = "node.pid";
  options.node_restart_command = "klatchd";
  EXPECT_TRUE(load::ValidateOptions(options).ok()) << load::ValidateOptions(options);
}

TEST_P(LoadScenarioTest, KeepsItsPromisesInSmall) {
  if (GetParam() == "cold-start") {
    GTEST_SKIP() << "its node is started again by whoever started it: tests/run plays it";
  }
  const Klatchd klatchd;
  std::vector<std::string> command = {
      KLATCH_LOAD_PROGRAM, "play",
      "--config",          FileOf(GetParam()),
      "--duration",        "4s",
      "--show-timelines",  "0",
      "--target",          klatchd.address(),
      "--metrics",         "127.0.0.1:" + std::to_string(klatchd.metrics_port()),
      "--redis",           "unix://" + (klatchd.data_dir() / "redis.sock").string(),
      "--result",          (klatchd.scratch() / "result.json").string()};
  const auto& smaller = Smaller().at(GetParam());
  command.insert(command.end(), smaller.begin(), smaller.end());
  const Outcome outcome = RunToEnd(command);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
  const auto result = load::ReadResultFile((klatchd.scratch() / "result.json").string());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->name, GetParam());
  EXPECT_EQ(result->verdict, "kept");
  EXPECT_GT(result->summary.published, 50u);
  EXPECT_GE(result->series.size(), 10u);
}

INSTANTIATE_TEST_SUITE_P(All, LoadScenarioTest, ::testing::ValuesIn(Scenarios()),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class LoadMishapsRedisTest : public ::testing::Test {
 protected:
  std::string result() const { return (directory_.path() / "result.json").string(); }
  std::vector<std::string> Play(const std::string& target,
                                std::vector<std::string> more = {}) const {
    std::vector<std::string> command = {KLATCH_LOAD_PROGRAM, "play",   "--persons", "100",
                                        "--show-timelines",  "0",      "--target",  target,
                                        "--result",          result(), "--watched", "0"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  // Until the load, and not just its setting up, has begun.
  static void AwaitPosts(const Klatchd& klatchd) {
    ASSERT_TRUE(Eventually([&] {
      const auto [code, page] = klatchd.Get("/metrics");
      return code == 200 && page.find("\nklatch_deliveries_total 0\n") == std::string::npos;
    }));
  }

  TemporaryDirectory directory_;
};

TEST_F(LoadMishapsRedisTest, AScenarioThatIsWrongIsSaidToBe) {
  const std::string file = (directory_.path() / "wrong.toml").string();
  const std::map<std::string, std::string> wrongs = {
      {"rtae = 5", "rtae"},
      {"rate = 0", "1..10000000"},
      {"rate = 10000001", "rate"},
      {"rate = \"fast\"", "rate"},
      {"mix = \"home=60,prfile=30\"", "prfile=30"},
      {"arrivals = \"poison\"", "poison"},
      {"duration = \"-5s\"", "duration"},
      {"rate = 5\nrate = 6", "rate"},
      {"this is no toml", "wrong.toml:1"},
  };
  for (const auto& [text, said] : wrongs) {
    std::ofstream(file) << text << "\n";
    const Outcome outcome = RunToEnd(Play("unix:/nowhere", {"--config", file}));
    EXPECT_EQ(outcome.exit_code, 2) << text;
    EXPECT_THAT(outcome.errors, HasSubstr(said)) << text;
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  }
}

TEST_F(LoadMishapsRedisTest, WhereNobodyAnswersItEndsWithFour) {
  const std::string socket = "unix:" + (directory_.path() / "nobody.sock").string();
  const Outcome outcome = RunToEnd(Play(socket, {"--connect-timeout", "300ms"}));
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.errors, HasSubstr("nobody answers at " + socket));
}

TEST_F(LoadMishapsRedisTest, WhatWasMeasuredBeforeTheServerDiedIsKept) {
  Klatchd klatchd;
  Process play(
      Play(klatchd.address(), {"--duration", "30s", "--rate", "200", "--retry-for", "2s",
                               "--metrics", "127.0.0.1:" + std::to_string(klatchd.metrics_port())}),
      directory_.path());
  AwaitPosts(klatchd);
  std::this_thread::sleep_for(std::chrono::seconds(3));
  klatchd.Kill();
  EXPECT_EQ(play.AwaitEnd(), 4) << play.errors();
  EXPECT_THAT(play.errors(), HasSubstr("has not answered for 2s"));
  const auto kept = load::ReadResultFile(result());
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->verdict, "unreachable");
  EXPECT_THAT(kept->sentence, HasSubstr("Not checked"));
  EXPECT_GT(kept->summary.published, 100u);
}

TEST_F(LoadMishapsRedisTest, APauseOfTheNodeIsInTheLatencies) {
  Klatchd klatchd;
  const Outcome outcome = RunToEnd(
      Play(klatchd.address(),
           {"--duration", "4s", "--rate", "200", "--mix", "home=90,post=10", "--probers", "0",
            "--fault", "pause=500ms", "--node-pid", std::to_string(klatchd.process().id())}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.errors;
  const auto kept = load::ReadResultFile(result());
  ASSERT_TRUE(kept.ok()) << kept.status();
  const auto pages =
      std::find_if(kept->latencies.begin(), kept->latencies.end(),
                   [](const load::Spectrum& spectrum) { return spectrum.name == "home_page"; });
  ASSERT_NE(pages, kept->latencies.end());
  // An eighth of the pages was due within the pause; of those, a fifth waited for most of it.
  EXPECT_GE(pages->p99, 400'000u);
  EXPECT_LE(pages->p50, 200'000u);
}

TEST_F(LoadMishapsRedisTest, AnInterruptKeepsWhatWasMeasured) {
  const Klatchd klatchd;
  Process play(Play(klatchd.address(), {"--duration", "60s", "--rate", "200"}), directory_.path());
  AwaitPosts(klatchd);
  std::this_thread::sleep_for(std::chrono::seconds(2));
  play.Signal(SIGINT);
  EXPECT_EQ(play.AwaitEnd(), 130) << play.errors();
  const auto kept = load::ReadResultFile(result());
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->verdict, "interrupted");
  EXPECT_GT(kept->summary.published, 20u);
}

TEST_F(LoadMishapsRedisTest, AResultThatCannotBeKeptIsNoGoodEnd) {
  const Klatchd klatchd;
  const std::filesystem::path folder = directory_.path() / "taken-away";
  std::filesystem::create_directory(folder);
  std::vector<std::string> command =
      Play(klatchd.address(), {"--duration", "2s", "--rate", "100", "--churn", "0"});
  std::replace(command.begin(), command.end(), result(), (folder / "result.json").string());
  Process play(command, directory_.path());
  // It was there when the load began.
  AwaitPosts(klatchd);
  std::filesystem::remove(folder);
  EXPECT_EQ(play.AwaitEnd(), 1);
  EXPECT_THAT(play.errors(), HasSubstr("taken-away/result.json"));
  // What came out is said all the same.
  EXPECT_THAT(play.output(), HasSubstr("0 lost, 0 duplicated, 0 leaked"));
}

}  // namespace
}  // namespace klatch::testing
