// klatch-load as a command: its commands, its manual page, and a result that cannot be written, which is
// no good end and no crash.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/klatchd_process.h"

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

}  // namespace
}  // namespace klatch::testing
