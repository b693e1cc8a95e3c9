// klatch-load as a command: its commands, its manual page, and a result that cannot be written,
// which is no good end and no crash.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bench/load/result/result_file.h"
#include "common/base/whole_file.h"
#include "tests/integration/klatchd_process.h"
#include "tests/unit/load_result.h"

namespace klatch::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LoadCommandLineRedisTest : public ::testing::Test {
 protected:
  // The exit code of klatch-load with these arguments and redirections.
  int Run(const std::string& words) {
    Process process({"sh", "-c", std::string("exec ") + KLATCH_LOAD_PROGRAM + " " + words},
                    directory_.path());
    const int code = process.AwaitEnd().value_or(-1);
    errors_ = process.errors();
    return code;
  }

  TemporaryDirectory directory_;
  std::string errors_;
};

TEST_F(LoadCommandLineRedisTest, HelpThatCannotBeWrittenEndsWithOne) {
  EXPECT_EQ(Run("--help"), 0);
  EXPECT_EQ(Run("--help > /dev/full"), 1);
  EXPECT_THAT(errors_, HasSubstr("can't write the result"));
  EXPECT_EQ(Run("--version > /dev/full 2> /dev/full"), 1);
  EXPECT_EQ(Run("--help >&-"), 1);
  EXPECT_THAT(errors_, HasSubstr("Bad file descriptor"));
}

TEST_F(LoadCommandLineRedisTest, ManualIsPrintedWhateverTheEnvironmentSays) {
  const Outcome page = RunToEnd({KLATCH_LOAD_PROGRAM, "manual"}, {"KLATCH_RATE=soon"});
  EXPECT_EQ(page.exit_code, 0) << page.errors;
  EXPECT_EQ(page.output.rfind(".TH KLATCH\\-LOAD 1", 0), 0u) << page.output;
  EXPECT_EQ(page.errors, "");
  EXPECT_EQ(Run("manual --json"), 2);
  EXPECT_THAT(errors_, HasSubstr("manual stands alone"));
}

TEST_F(LoadCommandLineRedisTest, ManualHasTheOptionsOfEveryCommand) {
  const Outcome page = RunToEnd({KLATCH_LOAD_PROGRAM, "manual"});
  for (const char* text :
       {"\nklatch\\-load \\- Plays a social graph", ".SH KLATCH\\-LOAD PLAY\n",
        "Usage: klatch\\-load play ", ".SH WHAT IS PLAYED\n", "\\fB\\-\\-churn\\fR\\fI N\\fR"}) {
    EXPECT_THAT(page.output, HasSubstr(text));
  }
}

TEST_F(LoadCommandLineRedisTest, TheFirstWordIsACommand) {
  const Outcome help = RunToEnd({KLATCH_LOAD_PROGRAM, "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, HasSubstr("\n  play "));
  EXPECT_THAT(help.output, Not(HasSubstr("--churn")));
  EXPECT_THAT(RunToEnd({KLATCH_LOAD_PROGRAM, "play", "--help"}).output, HasSubstr("--churn N"));
  EXPECT_EQ(RunToEnd({KLATCH_LOAD_PROGRAM, "--version"}).output,
            RunToEnd({KLATCH_LOAD_PROGRAM, "play", "--version"}).output);
  EXPECT_EQ(Run(""), 2);
  EXPECT_THAT(errors_, HasSubstr("say what to do"));
  EXPECT_EQ(Run("plya"), 2);
  EXPECT_EQ(errors_, "klatch-load: \"plya\" is no command; did you mean play?\n");
  EXPECT_EQ(Run("--churn 5 play"), 2);
  EXPECT_THAT(errors_, HasSubstr("the command comes first"));
  EXPECT_EQ(Run("play twice"), 2);
  EXPECT_THAT(errors_, HasSubstr("play takes options only, not \"twice\""));
  EXPECT_EQ(Run("play --chrun 5"), 2);
  EXPECT_THAT(errors_, HasSubstr("did you mean --churn?"));
}

TEST_F(LoadCommandLineRedisTest, MistakesEndItWithOneLineBeforeAnythingIsPlayed) {
  const std::string folder = directory_.path();
  std::ofstream(directory_.path() / "empty");
  std::ofstream(directory_.path() / "large") << std::string(100 << 20, '#');
  std::ofstream(directory_.path() / "twice.toml") << "rate = 1\nrate = 2\n";
  std::ofstream(directory_.path() / "unknown.toml") << "raet = 1\n";
  struct Mistake {
    std::vector<std::string> words;
    std::string says;
    std::vector<std::string> variables = {};
  };
  const std::vector<Mistake> mistakes = {
      {{"--persons"}, "--persons needs a value"},
      {{"--persons=1"}, "--persons is \"1\", wants 2..10000000"},
      {{"--persons=99999999999999999999"}, "--persons is \"99999999999999999999\", "},
      {{"--rate=many"}, "--rate is \"many\", wants a whole number"},
      {{"--duration=5"}, "--duration is \"5\", wants a number with its unit"},
      {{"--duration=1parsec"}, "--duration is \"1parsec\", wants a number with its unit"},
      {{"--duration=99999999999999999999h"}, "is more than 64 bits hold"},
      {{"--arrivals=sometimes"}, "--arrivals is \"sometimes\", wants closed, "},
      {{"--kill-node-at=150%"}, "--kill-node-at is \"150%\", "},
      {{"--json=maybe"}, "--json is \"maybe\", wants true or false"},
      {{"--target="}, "--target is \"\", has no port"},
      {{"--target=127.0.0.1:-1"}, "--target is \"127.0.0.1:-1\", has the port \"-1\""},
      {{"--target=127.0.0.1:65536"}, "wants a number from 0 to 65535"},
      {{"--metrics=127.0.0.1:abc"}, "--metrics is \"127.0.0.1:abc\", has the port \"abc\""},
      {{"--redis=localhost"}, "--redis is "},
      {{"--graph="}, "--graph is \"\", wants a path"},
      {{"--graph=" + folder + "/empty"}, folder + "/empty: has no edges"},
      {{"--graph=/dev/zero"}, "/dev/zero:1: a line of more than 128 MiB"},
      {{"--graph=" + folder + "/large"}, folder + "/large: has no edges"},
      {{"--config=" + folder}, "Is a directory"},
      {{"--config=" + folder + "/none"}, "No such file or directory"},
      {{"--config=" + folder + "/large"}, "has more than 1MiB"},
      {{"--config=" + folder + "/twice.toml"}, "twice.toml"},
      {{"--config=" + folder + "/unknown.toml"}, "unknown key \"raet\"; did you mean rate?"},
      {{"--result="}, "--result is \"\", wants a path"},
      {{"--result=" + folder}, "--result: " + folder + ": can't be written: Is a directory"},
      {{"--result=" + folder + "/none/result.json"}, "can't be written: No such file or directory"},
      {{"--hgrm=" + folder + "/empty/below"},
       "--hgrm: " + folder + "/empty/below: can't be made: "},
      {{"--ca=" + folder + "/empty"}, folder + "/empty: holds no certificate in PEM"},
      {{"--token-file=" + folder}, folder + ": can't be read: Is a directory"},
      {{}, "KLATCH_DURATION is \"soon\", wants a number", {"KLATCH_DURATION=soon"}},
      {{}, "KLATCH_DURATION is \"\", wants a number", {"KLATCH_DURATION="}},
      {{}, "KLATCH_RATE is \"-1\", wants 1..10000000", {"KLATCH_RATE=-1"}},
      {{}, "KLATCH_TARGET is \"nowhere\", has no port", {"KLATCH_TARGET=nowhere"}},
  };
  for (const Mistake& mistake : mistakes) {
    std::vector<std::string> words = {KLATCH_LOAD_PROGRAM, "play"};
    words.insert(words.end(), mistake.words.begin(), mistake.words.end());
    const Outcome outcome = RunToEnd(words, mistake.variables);
    SCOPED_TRACE(mistake.says);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_EQ(outcome.output, "");
    EXPECT_THAT(outcome.errors, HasSubstr(mistake.says));
    const std::string told = outcome.errors.substr(0, outcome.errors.find("\nklatch-load: ") + 1);
    const bool tells_seed = told.starts_with("klatch-load: seed ");
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), tells_seed ? 2 : 1) << outcome.errors;
  }
  EXPECT_EQ(Run("play --graph " + folder + "/none"), 3);
  EXPECT_THAT(errors_, HasSubstr("can't open " + folder + "/none"));
}

TEST_F(LoadCommandLineRedisTest, CheckSaysWhetherItCanBePlayedAndCallsNobody) {
  const std::string check = "play --check --target unix:/nonexistent/klatchd.sock ";
  EXPECT_EQ(Run(check), 0);
  EXPECT_EQ(errors_, "");
  EXPECT_EQ(Run(check + "--persons 50 --group-size 60"), 2);
  EXPECT_EQ(errors_, "klatch-load: --group-size must be between 2 and the number of persons, 50\n");
  EXPECT_EQ(Run(check + "--graph " + (directory_.path() / "none").string()), 3);
  EXPECT_EQ(Run(check + "--kill-node-at 50% --node-pid-file none --node-restart-command none"), 0);
  EXPECT_EQ(Run(check + "--kill-node-at 50%"), 2);
}

TEST_F(LoadCommandLineRedisTest, OfAnOptionThatIsGivenTwiceTheLastCounts) {
  EXPECT_EQ(Run("play --rate 5 --rate many"), 2);
  EXPECT_THAT(errors_, HasSubstr("--rate is \"many\""));
  EXPECT_EQ(
      Run("play --target unix:/nonexistent/first.sock --target unix:/nonexistent/klatchd.sock "
          "--connect-timeout 100ms"),
      4);
  EXPECT_THAT(errors_, HasSubstr("nobody answers at unix:/nonexistent/klatchd.sock"));
}

TEST_F(LoadCommandLineRedisTest, SixtyFourDescriptorsAreEnough) {
  const Klatchd klatchd;
  const std::string play =
      " play --json --persons 20 --updates 40 --arrivals closed --batch 4 --churn 0 --target " +
      klatchd.address();
  Process process({"sh", "-c", "ulimit -n 64 && exec " + std::string(KLATCH_LOAD_PROGRAM) + play},
                  directory_.path());
  EXPECT_EQ(process.AwaitEnd(), 0) << process.errors();
}

TEST_F(LoadCommandLineRedisTest, ASummaryThatCannotBeWrittenEndsWithOne) {
  const Klatchd klatchd;
  const std::string play =
      "play --json --persons 20 --updates 40 --arrivals closed --batch 4 --churn 0 --target " +
      klatchd.address();
  EXPECT_EQ(Run(play), 0) << errors_;
  EXPECT_EQ(Run(play + " > /dev/full"), 1);
  // No socket may take the place of what is closed.
  EXPECT_EQ(Run(play + " <&- >&-"), 1);
  EXPECT_THAT(errors_, HasSubstr("can't write the result: Bad file descriptor"));
  EXPECT_EQ(Run(play + " 2> /dev/full"), 0);
}

class LoadResultsRedisTest : public LoadCommandLineRedisTest {
 protected:
  std::string Path(const std::string& name) const { return directory_.path() / name; }
  // Five results of a load that is `speed` times as fast, as a side of a comparison.
  std::string Side(const std::string& name, double speed) const {
    std::string list;
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      const std::string file = Path(name + std::to_string(seed) + ".json");
      load::ResultMaker maker(30, speed * (1 + 0.01 * static_cast<double>(seed % 3)), seed);
      EXPECT_TRUE(load::WriteResultFile(file, maker.Make()).ok());
      list += (list.empty() ? "" : ",") + file;
    }
    return list;
  }
};

TEST_F(LoadResultsRedisTest, AReportIsMadeOfAResult) {
  ASSERT_TRUE(load::WriteResultFile(Path("result.json"), load::ResultMaker().Make()).ok());
  const std::string report = "report " + Path("result.json");
  EXPECT_EQ(Run(report + " --out " + Path("page.html") + " --hgrm " + Path("hgrm")), 0) << errors_;
  EXPECT_EQ(errors_, "");
  const auto page = base::ReadWholeFile(Path("page.html"), 16 << 20);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(*page, ::testing::StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(*page, ::testing::EndsWith("</html>\n"));
  EXPECT_TRUE(std::filesystem::exists(Path("hgrm/publish.hgrm")));
  EXPECT_EQ(Run(report + " " + Path("result.json") + " --hgrm " + Path("several")), 0) << errors_;
  EXPECT_TRUE(std::filesystem::exists(Path("several/2/visible.hgrm")));
}

// What a run calls its series is what the report draws.
TEST_F(LoadResultsRedisTest, AReportOfARealLoadHasEveryPlot) {
  const Klatchd klatchd;
  const Outcome played =
      RunToEnd({KLATCH_LOAD_PROGRAM, "play", "--persons=50", "--arrivals=constant", "--rate=100",
                "--duration=4s", "--show-timelines=0", "--target=" + klatchd.address(),
                "--metrics=127.0.0.1:" + std::to_string(klatchd.metrics_port()),
                "--redis=unix://" + (klatchd.data_dir() / "redis.sock").string(),
                "--result=" + Path("result.json")});
  ASSERT_EQ(played.exit_code, 0) << played.errors << played.output;
  ASSERT_EQ(Run("report " + Path("result.json") + " --out " + Path("page.html")), 0) << errors_;
  const auto page = base::ReadWholeFile(Path("page.html"), 16 << 20);
  ASSERT_TRUE(page.ok()) << page.status();
  for (const char* heading :
       {"Operations per second", "Deliveries per second", "How far each stage is behind",
        "In memory and not yet in Redis", "Latency from second to second", "CPU", "Memory",
        "Latency spectrum", "Cost per delivery against size"}) {
    EXPECT_THAT(*page, HasSubstr(std::string("<h2>") + heading + "</h2>"));
  }
  const Outcome compared =
      RunToEnd({KLATCH_LOAD_PROGRAM, "compare", Path("result.json"), Path("result.json")});
  EXPECT_EQ(compared.exit_code, 0) << compared.errors;
  for (const char* measure : {"\noperations ", "\nposts ", "\ndeliveries ",
                              "\ncpu klatchd per delivery ", "\nCPU of klatchd per delivery "}) {
    EXPECT_THAT(compared.output, HasSubstr(measure));
  }
}

TEST_F(LoadResultsRedisTest, WhatCantBeReadOrWrittenIsSaidInALine) {
  const std::string good = Path("result.json");
  ASSERT_TRUE(load::WriteResultFile(good, load::ResultMaker(10).Make()).ok());
  EXPECT_EQ(Run("report " + good + " --out /dev/full"), 1);
  EXPECT_EQ(errors_, "klatch-load: /dev/full: can't be written: No space left on device\n");
  EXPECT_EQ(Run("report " + Path("none.json") + " --out " + Path("page.html")), 3);
  EXPECT_EQ(errors_,
            "klatch-load: " + Path("none.json") + ": can't be read: No such file or directory\n");
  std::ofstream(Path("half.json")) << "{\"klatch_load_result\":1";
  EXPECT_EQ(Run("report " + good + " " + Path("half.json") + " --out " + Path("page.html")), 2);
  EXPECT_EQ(errors_, "klatch-load: " + Path("half.json") + ": is cut off: its JSON has no end\n");
  EXPECT_FALSE(std::filesystem::exists(Path("page.html")));
  EXPECT_EQ(Run("report"), 2);
  EXPECT_EQ(Run("report " + good), 2);
  EXPECT_THAT(errors_, HasSubstr("--out FILE.html"));
  EXPECT_EQ(Run("compare " + good), 2);
  EXPECT_THAT(errors_, HasSubstr("name two sides"));
  EXPECT_EQ(Run("compare " + good + ", " + good), 3) << "an empty name";
  EXPECT_EQ(Run("compare " + good + " " + good + " --fail-above 2000"), 2);
  EXPECT_EQ(Run("compare " + good + " " + good + " > /dev/full"), 1);
}

TEST_F(LoadResultsRedisTest, AComparisonFailsOnlyIfToldTo) {
  const std::string fast = Side("fast", 1.2);
  const std::string slow = Side("slow", 1);
  const Outcome told = RunToEnd({KLATCH_LOAD_PROGRAM, "compare", fast, slow});
  EXPECT_EQ(told.exit_code, 0) << told.errors;
  EXPECT_THAT(told.output, HasSubstr("slower\n"));
  EXPECT_EQ(Run("compare " + fast + " " + slow + " --fail-above 5"), 1);
  EXPECT_EQ(Run("compare " + fast + " " + slow + " --fail-above 50"), 0);
  EXPECT_EQ(Run("compare " + slow + " " + fast + " --fail-above 0"), 0);
  const Outcome json = RunToEnd({KLATCH_LOAD_PROGRAM, "compare", fast, slow, "--json"});
  EXPECT_THAT(json.output, ::testing::StartsWith("{\"a\":["));
  EXPECT_THAT(json.output, HasSubstr("\"verdict\":\"worse\""));
}

}  // namespace
}  // namespace klatch::testing
