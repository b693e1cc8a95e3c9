// Standard streams of klatchd and klatch as users leave them (QUALITY: `| head`, closed stdout): a
// result that can't be written is told and is exit code 1, a reader that went away is no failure.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::HasSubstr;

class CommandStreamsTest : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(CommandStreamsTest, ResultIsWhole) {
  const Outcome outcome = RunBehind(R"(exec "$@")", GetParam());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(outcome.output.ends_with('\n')) << outcome.output;
  EXPECT_EQ(outcome.errors, "");
}

TEST_P(CommandStreamsTest, ReaderThatWentAwayIsNoFailure) {
  // Descriptor 4 is a pipe that nobody reads any more.
  const Outcome outcome = RunBehind(
      R"(mkfifo "$0/pipe" && exec 3<>"$0/pipe" 4>"$0/pipe" && exec 3>&- && exec "$@" >&4 4>&-)",
      GetParam());
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.errors, "");
}

TEST_P(CommandStreamsTest, FullOutputIsToldAndExitCode1) {
  const Outcome outcome = RunBehind(R"(exec "$@" >/dev/full)", GetParam());
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.errors, HasSubstr(": can't write the result: No space left on device"));
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
}

TEST_P(CommandStreamsTest, ClosedOutputIsToldAndExitCode1) {
  const Outcome outcome = RunBehind(R"(exec "$@" >&-)", GetParam());
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.errors, HasSubstr(": can't write the result: Bad file descriptor"));
}

TEST_P(CommandStreamsTest, ErrorsThatCannotBeWrittenChangeNothing) {
  for (const char* where : {"2>&-", "2>/dev/full"}) {
    const std::string line = fmt::format(R"(exec "$@" {})", where);
    EXPECT_EQ(RunBehind(line, GetParam()).exit_code, 0) << where;
    EXPECT_EQ(RunBehind(line, {GetParam().front(), "--no-such-option"}).exit_code, 2) << where;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CommandStreamsTest,
    ::testing::Values(std::vector<std::string>{KlatchdProgram(), "--help"},
                      std::vector<std::string>{KlatchdProgram(), "--version"},
                      std::vector<std::string>{KlatchdProgram(), "--print-config"},
                      std::vector<std::string>{KlatchdProgram(), "--check-config"},
                      std::vector<std::string>{KlatchProgram(), "--help"},
                      std::vector<std::string>{KlatchProgram(), "--version"}),
    [](const auto& param) {
      const std::string& program = param.param.front();
      std::string name = program.substr(program.rfind('/') + 1) + param.param.back();
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(KlatchdStreamsTest, ServesWithInputAndOutputClosedAndKeepsSocketsOffTheirPlaces) {
  Klatchd klatchd({.arguments = {},
                   .listen = Klatchd::Listen::kUnixSocket,
                   .begin = Klatchd::Begin::kServing,
                   .prefix = {"/bin/sh", "-c", R"(exec "$0" "$@" <&- >&-)"}});
  const auto at = [&](int fd) {
    return std::filesystem::read_symlink(fmt::format("/proc/{}/fd/{}", klatchd.process().id(), fd))
        .string();
  };
  EXPECT_EQ(at(1), "/dev/null");
  // gRPC may have put an eventfd of its own there before main began.
  EXPECT_FALSE(at(0).starts_with("socket:")) << at(0);
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

}  // namespace
}  // namespace klatch::testing
