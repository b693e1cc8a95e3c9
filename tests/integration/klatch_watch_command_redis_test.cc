// `klatch watch` as a process against a real klatchd: it prints what happens, goes on by itself
// after a restart, and ends when it is told to.

#include <signal.h>

#include <algorithm>

#include "google/protobuf/util/json_util.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kExitGood = 0;
constexpr int kExitUsage = 2;
constexpr int kExitInterrupted = 130;

class KlatchWatchCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
    ASSERT_THAT(client_.AddApplied("ann", "hiking", {"bob"}), Succeeds());
    const auto mark = client_.Publish("ann", "hiking", "mark");
    token_ = client_.Home("bob", mark->tokens())->watch_token();
  }

  std::vector<std::string> Command(std::vector<std::string> arguments) const {
    std::vector<std::string> argv = {KlatchProgram(), "watch",    "--person",
                                     "bob",           "--target", klatchd_.address()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return argv;
  }

  static std::vector<std::string> TextsIn(const std::string& json_lines) {
    std::vector<std::string> texts;
    for (size_t begin = 0, end = 0; begin < json_lines.size(); begin = end + 1) {
      end = json_lines.find('\n', begin);
      v1::WatchEvent event;
      EXPECT_TRUE(
          google::protobuf::util::JsonStringToMessage(json_lines.substr(begin, end - begin), &event)
              .ok());
      texts.push_back(event.published().text());
    }
    return texts;
  }

  Klatchd klatchd_;
  Client client_{klatchd_.Channel()};
  std::string token_;
};

TEST_F(KlatchWatchCommandTest, PrintsEventsAndEndsAfterSoMany) {
  ASSERT_THAT(client_.Publish("ann", "hiking", "up\x1b[2J we go"), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "two"), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "three"), Succeeds());
  const Outcome json = RunToEnd(Command({"--resume", token_, "--count", "2", "--json"}));
  EXPECT_EQ(json.exit_code, kExitGood) << json.errors;
  EXPECT_THAT(TextsIn(json.output), ElementsAre("up\x1b[2J we go", "two"));
  const Outcome text = RunToEnd(Command({"--resume", token_, "--count", "3"}));
  EXPECT_EQ(text.exit_code, kExitGood) << text.errors;
  EXPECT_THAT(text.output, HasSubstr("ann in hiking: three"));
  EXPECT_THAT(text.output, Not(HasSubstr("\x1b")));
}

TEST_F(KlatchWatchCommandTest, EndsAfterSoLong) {
  const Outcome outcome = RunToEnd(Command({"--for", "0.3"}));
  EXPECT_EQ(outcome.exit_code, kExitGood) << outcome.errors;
  EXPECT_THAT(outcome.output, IsEmpty());
}

TEST_F(KlatchWatchCommandTest, BadTokenIsAUsageError) {
  const Outcome outcome = RunToEnd(Command({"--resume", "garbage"}));
  EXPECT_EQ(outcome.exit_code, kExitUsage);
  EXPECT_THAT(outcome.errors, HasSubstr("resume_token"));
}

TEST_F(KlatchWatchCommandTest, GoesOnAfterTheServerWasKilledAndSaysHowToGoOnAtTheEnd) {
  TemporaryDirectory scratch;
  Process watch(Command({"--resume", token_, "--json", "--timeout", "60"}), scratch.path());
  ASSERT_THAT(client_.Publish("ann", "hiking", "before"), Succeeds());
  ASSERT_TRUE(Eventually([&] { return watch.output().find("before") != std::string::npos; }));
  klatchd_.Kill();
  klatchd_.Start();
  Client again(klatchd_.Channel());
  ASSERT_THAT(again.Publish("ann", "hiking", "after"), Succeeds());
  ASSERT_TRUE(Eventually([&] { return watch.output().find("after") != std::string::npos; }))
      << watch.errors();
  watch.Signal(SIGINT);
  EXPECT_EQ(watch.AwaitEnd(), kExitInterrupted) << watch.errors();
  std::vector<std::string> texts = TextsIn(watch.output());
  std::erase(texts, "");  // a gap, if the replay did not reach back to the token
  EXPECT_THAT(texts, ElementsAre("before", "after"));
  EXPECT_THAT(watch.errors(), HasSubstr("to go on: --resume "));
}

}  // namespace
}  // namespace klatch::testing
