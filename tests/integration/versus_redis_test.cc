// `klatch-load versus` with real servers, far too short to be believed: that it measures, checks,
// reports, and refuses what it can't do.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::HasSubstr;

Outcome Versus(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {KLATCH_LOAD_PROGRAM, "versus", "--quick", "--persons",
                                       "1000", "--timed", "400ms", "--json"});
  return RunToEnd(arguments);
}

std::string LastLine(std::string text) {
  text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

// The value of a key of the last line; -1 if it is null or not there.
double ValueOf(const Outcome& outcome, const std::string& key) {
  const std::string line = LastLine(outcome.output);
  std::smatch match;
  return std::regex_search(line, match, std::regex("\"" + key + "\":([0-9.e+-]+),"))
             ? std::stod(match[1])
             : -1;
}

TEST(VersusRedisTest, MeasuresKlatchAgainstAListInTheSameRun) {
  const Outcome outcome =
      Versus({"--klatchd", KlatchdProgram(), "--only", "list_ratio,redis_bytes_per_entry"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_GT(ValueOf(outcome, "list_ratio"), 0) << outcome.output;
  EXPECT_GT(ValueOf(outcome, "redis_bytes_per_entry"), 8) << "an id alone is eight bytes";
  EXPECT_THAT(outcome.output, HasSubstr("too short to be believed"));
  EXPECT_THAT(LastLine(outcome.output), HasSubstr("\"green\":true"));
}

TEST(VersusRedisTest, AllPeersTakeTheirCommands) {
  const Outcome outcome =
      Versus({"--klatchd", KlatchdProgram(), "--only", "zset_ratio,mastodon_ratio,misskey_ratio"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  for (const char* key : {"zset_ratio", "mastodon_ratio", "misskey_ratio"}) {
    EXPECT_GT(ValueOf(outcome, key), 0) << key << "\n" << outcome.output;
  }
}

TEST(VersusRedisTest, CallsAreMeasuredAgainstServersOfTheSameProgram) {
  const Outcome outcome =
      Versus({"--klatchd", KlatchdProgram(), "--only", "publish_cpu_ratio,read_ratio"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_GT(ValueOf(outcome, "publish_cpu_ratio"), 0) << outcome.output;
  EXPECT_GT(ValueOf(outcome, "read_ratio"), 0) << outcome.output;
}

TEST(VersusRedisTest, EveryEventOfALiveSliceIsCounted) {
  const Outcome outcome =
      Versus({"--klatchd", KlatchdProgram(), "--only", "live_gateway_ratio,live_streams_ratio"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_GT(ValueOf(outcome, "live_gateway_ratio"), 0) << outcome.output;
  EXPECT_GT(ValueOf(outcome, "live_streams_ratio"), 0) << outcome.output;
}

TEST(VersusRedisTest, LastMemberIsWaitedForUnderHalfOfThePeak) {
  const Outcome outcome = Versus({"--klatchd", KlatchdProgram(), "--only", "last_member_ratio"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_GT(ValueOf(outcome, "last_member_ratio"), 0) << outcome.output;
}

TEST(VersusRedisTest, ReplayBringsBackAllThatWasPosted) {
  const Outcome outcome = Versus({"--klatchd", KlatchdProgram(), "--only", "replay_per_second"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_GT(ValueOf(outcome, "replay_per_second"), 0) << outcome.output;
}

TEST(VersusRedisTest, MissingProgramsEndWithThreeAndOneLine) {
  const Outcome node = Versus({"--only", "list_ratio", "--klatchd", "/nowhere/klatchd"});
  EXPECT_EQ(node.exit_code, 3);
  EXPECT_EQ(node.errors, "versus: /nowhere/klatchd is not here: see --klatchd\n");
  EXPECT_EQ(node.output, "");
  const Outcome redis = Versus({"--only", "list_ratio", "--klatchd", KlatchdProgram(),
                                "--redis-server", "/nowhere/redis-server"});
  EXPECT_EQ(redis.exit_code, 3);
  EXPECT_THAT(redis.errors, HasSubstr("apt-get install redis-server"));
  const Outcome nats = Versus({"--only", "live_streams_ratio", "--klatchd", KlatchdProgram(),
                               "--nats-server", "no-such-nats-server"});
  EXPECT_EQ(nats.exit_code, 3);
  EXPECT_EQ(nats.errors, "versus: no-such-nats-server is not here (apt-get install nats-server)\n");
}

TEST(VersusRedisTest, BadOptionsEndWithTwo) {
  EXPECT_EQ(Versus({"--only", "lst_ratio"}).exit_code, 2);
  EXPECT_EQ(Versus({"--persons", "10"}).exit_code, 2);
  EXPECT_EQ(Versus({"--serve", "empty"}).exit_code, 2);
  EXPECT_EQ(Versus({"--serve", "page:/nowhere", "--listen", "unix:/tmp/never.sock"}).exit_code, 2);
  EXPECT_EQ(Versus({"--work-dir", "/proc"}).exit_code, 2);
}

}  // namespace
}  // namespace klatch::testing
