// The klatch command as a process against a real klatchd: exit codes (DESIGN section 9), stdin, and
// Ctrl-C at a terminal.

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>

#include "tests/integration/fake_peer.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kExitGood = 0;
constexpr int kExitRefused = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnreachable = 4;
constexpr int kExitInterrupted = 130;

// A command on a terminal of its own, where Ctrl-C is what a person's is.
class TerminalProcess {
 public:
  explicit TerminalProcess(std::vector<std::string> argv) {
    std::vector<char*> pointers;
    for (std::string& word : argv) {
      pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    id_ = forkpty(&keyboard_, nullptr, nullptr, nullptr);
    if (id_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
    EXPECT_GT(id_, 0);
    terminal_ = open(ptsname(keyboard_), O_RDONLY | O_NOCTTY | O_CLOEXEC);
  }
  ~TerminalProcess() {
    if (running()) {
      kill(id_, SIGKILL);
      waitpid(id_, nullptr, 0);
    }
    close(terminal_);
    close(keyboard_);
  }
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;

  void Type(const std::string& keys) {
    EXPECT_EQ(write(keyboard_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }

  // Types a line and waits until the command has read it, and nothing but it.
  void TypeALineThatIsRead(const std::string& line) {
    Type(line + "\n");
    EXPECT_TRUE(Eventually([&] {
      ReadScreen();
      int unread = 0;
      return screen_.find(line + "\r\n") != std::string::npos &&
             ioctl(terminal_, FIONREAD, &unread) == 0 && unread == 0;
    })) << screen_;
  }

  std::optional<int> AwaitEnd() {
    Eventually([this] { return !running(); });
    return ended_;
  }

  const std::string& screen() {
    ReadScreen();
    return screen_;
  }

 private:
  bool running() {
    int status = 0;
    if (!ended_ && waitpid(id_, &status, WNOHANG) == id_) {
      ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return !ended_.has_value();
  }

  // What is there; never waits.
  void ReadScreen() {
    pollfd polled = {keyboard_, POLLIN, 0};
    char buffer[1024];
    while (poll(&polled, 1, 0) == 1 && (polled.revents & POLLIN) != 0) {
      const ssize_t count = read(keyboard_, buffer, sizeof(buffer));
      if (count <= 0) {
        return;
      }
      screen_.append(buffer, static_cast<size_t>(count));
    }
  }

  pid_t id_ = -1;
  int keyboard_ = -1;
  int terminal_ = -1;
  std::string screen_;
  std::optional<int> ended_;
};

class KlatchCommandTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { klatchd_ = std::make_unique<Klatchd>(); }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    klatchd_.reset();
  }

  static std::vector<std::string> Klatch(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), KlatchProgram());
    arguments.insert(arguments.end(), {"--target", klatchd_->address()});
    return arguments;
  }
  static Outcome RunKlatch(std::vector<std::string> arguments) {
    return RunToEnd(Klatch(std::move(arguments)));
  }

  void MakeGroup(const std::string& group) {
    ASSERT_THAT(client_.CreateGroup("ann", group), Succeeds());
  }
  std::vector<std::string> TextsIn(const std::string& group) {
    return TextsOf(*client_.GroupPage("ann", group));
  }
  // What a command has posted: the token went to that process.
  bool ComeToHold(const std::string& group, const std::vector<std::string>& texts) {
    return testing::Eventually([&] {
      const auto page = client_.GroupPage("ann", group);
      return page.ok() && TextsOf(*page) == texts;
    });
  }

  static inline std::unique_ptr<Klatchd> klatchd_;
  Client client_{klatchd_->Channel()};
};

TEST_F(KlatchCommandTest, ExitCodesTellHowItEnded) {
  EXPECT_EQ(RunKlatch({"group", "create", "codes", "--as", "ann"}).exit_code, kExitGood);
  const Outcome posted = RunKlatch({"post", "--as", "ann", "--to", "codes", "hello", "there"});
  EXPECT_EQ(posted.exit_code, kExitGood) << posted.errors;
  const Outcome read = RunKlatch({"timeline", "ann", "--group", "codes"});
  EXPECT_EQ(read.exit_code, kExitGood) << read.errors;
  EXPECT_THAT(read.output, HasSubstr("hello there"));

  const Outcome refused = RunKlatch({"post", "--as", "stranger", "--to", "codes", "let me in"});
  EXPECT_EQ(refused.exit_code, kExitRefused);
  EXPECT_THAT(refused.errors, HasSubstr("klatch: PERMISSION_DENIED"));
  EXPECT_EQ(refused.output, "");
  const Outcome empty = RunKlatch({"post", "--as", "ann", "--to", "codes", ""});
  EXPECT_EQ(empty.exit_code, kExitUsage);
  EXPECT_THAT(empty.errors, HasSubstr("update.text"));
  const Outcome mistaken = RunKlatch({"post", "--as", "ann", "--too", "codes", "hello"});
  EXPECT_EQ(mistaken.exit_code, kExitUsage);
  EXPECT_THAT(mistaken.errors, HasSubstr("did you mean --to?"));
  const Outcome nothing = RunToEnd({KlatchProgram()});
  EXPECT_EQ(nothing.exit_code, kExitUsage);
  EXPECT_THAT(nothing.errors, HasSubstr("name a command: klatch post|timeline"));
  const Outcome nobody =
      RunToEnd({KlatchProgram(), "timeline", "ann", "--target", "unix:/nonexistent/klatchd.sock"});
  EXPECT_EQ(nobody.exit_code, kExitUnreachable);
  EXPECT_THAT(nobody.errors, HasSubstr("can't reach Klatch at unix:/nonexistent/klatchd.sock"));
}

TEST_F(KlatchCommandTest, FilesThatHoldNothingOfTheKindAreNamed) {
  const TemporaryDirectory directory;
  const std::string folder = directory.path();
  std::ofstream(directory.path() / "empty");
  const std::pair<std::vector<std::string>, std::string> mistakes[] = {
      {{"--ca", folder + "/none"}, folder + "/none: can't be read: No such file or directory"},
      {{"--ca", folder}, folder + ": can't be read: Is a directory"},
      {{"--ca", folder + "/empty"}, folder + "/empty: holds no certificate in PEM"},
      {{"--ca", "/dev/zero"}, "/dev/zero: has more than 1048576 bytes"},
      {{"--token-file", folder}, folder + ": can't be read: Is a directory"},
      {{"--token-file", folder + "/empty"}, folder + "/empty: holds no token"},
      {{"--token-file", "/dev/zero"}, "/dev/zero: has more than 8192 bytes"},
      {{"--cert", folder + "/empty"}, "a certificate needs its key, and a key its certificate"}};
  for (const auto& [options, says] : mistakes) {
    std::vector<std::string> words = {"timeline", "ann"};
    words.insert(words.end(), options.begin(), options.end());
    const Outcome outcome = RunKlatch(words);
    SCOPED_TRACE(says);
    EXPECT_EQ(outcome.exit_code, kExitUsage);
    EXPECT_EQ(outcome.output, "");
    EXPECT_EQ(outcome.errors, "klatch: INVALID_ARGUMENT: " + says + "\n");
  }
}

TEST_F(KlatchCommandTest, SixtyFourDescriptorsAreEnough) {
  MakeGroup("few");
  const Outcome posted = RunBehind(R"(ulimit -n 64 && exec "$@")",
                                   Klatch({"post", "--as", "ann", "--to", "few", "enough"}));
  EXPECT_EQ(posted.exit_code, kExitGood) << posted.errors;
}

TEST_F(KlatchCommandTest, ResultThatCannotBeWrittenIsExitCode1) {
  EXPECT_EQ(RunBehind(R"(exec "$@" >/dev/full)", Klatch({"timeline", "ann"})).exit_code,
            kExitRefused);
  EXPECT_EQ(RunBehind(R"(exec "$@" >&-)", Klatch({"timeline", "ann"})).exit_code, kExitRefused);
}

TEST_F(KlatchCommandTest, TextComesFromStdinToItsEndOrNothingIsPosted) {
  MakeGroup("stdin");
  const std::vector<std::string> post = Klatch({"post", "--as", "ann", "--to", "stdin", "-"});
  EXPECT_EQ(RunBehind(R"(printf 'two\nlines\n' | "$@")", post).exit_code, kExitGood);
  EXPECT_TRUE(ComeToHold("stdin", {"two\nlines"}));
  for (const char* broken : {R"(exec "$@" <&-)", R"(exec "$@" <"$0")"}) {
    const Outcome outcome = RunBehind(broken, post);
    EXPECT_EQ(outcome.exit_code, kExitUsage) << broken;
    EXPECT_THAT(outcome.errors, HasSubstr("can't read the text from stdin: "));
  }
  EXPECT_EQ(RunBehind(R"(head -c 20000 /dev/zero | tr '\0' x | "$@")", post).exit_code, kExitUsage);
  EXPECT_THAT(TextsIn("stdin"), ElementsAre("two\nlines"));
}

TEST_F(KlatchCommandTest, EndOfTextAtATerminalPosts) {
  MakeGroup("typed");
  TerminalProcess klatch(Klatch({"post", "--as", "ann", "--to", "typed", "-"}));
  klatch.TypeALineThatIsRead("up to the hut");
  klatch.Type("\x04");
  EXPECT_EQ(klatch.AwaitEnd(), kExitGood) << klatch.screen();
  EXPECT_TRUE(ComeToHold("typed", {"up to the hut"}));
}

TEST_F(KlatchCommandTest, InterruptionWhileTypingPostsNothing) {
  MakeGroup("half typed");
  TerminalProcess klatch(Klatch({"post", "--as", "ann", "--to", "half typed", "-"}));
  klatch.TypeALineThatIsRead("I never meant to");
  klatch.Type("\x03");
  EXPECT_EQ(klatch.AwaitEnd(), kExitInterrupted) << klatch.screen();
  EXPECT_THAT(TextsIn("half typed"), IsEmpty());
}

TEST_F(KlatchCommandTest, InterruptionEndsACallThatHangs) {
  FakePeer silent("", FakePeer::Then::kHoldOpen);
  const TemporaryDirectory scratch;
  Process klatch({KlatchProgram(), "timeline", "ann", "--timeout", "600", "--target",
                  "unix:" + silent.address().socket_path},
                 scratch.path());
  ASSERT_TRUE(Eventually([&] { return silent.connections() > 0; }));
  klatch.Signal(SIGINT);
  EXPECT_EQ(klatch.AwaitEnd(), kExitInterrupted);
}

TEST_F(KlatchCommandTest, InterruptedImportKeepsAndTellsWhatIsDone) {
  const TemporaryDirectory scratch;
  const std::string file = (scratch.path() / "staff.csv").string();
  {
    std::ofstream lines(file);
    for (int i = 0; i < 5'000; ++i) {
      lines << fmt::format("import-{:04},owner,owner\n", i);
    }
  }
  Process klatch(Klatch({"import", file, "--parallel", "1"}), scratch.path());
  ASSERT_TRUE(Eventually([&] { return client_.GroupPage("owner", "import-0000").ok(); }));
  // So that not all can be done before the signal is taken.
  klatchd_->process().Signal(SIGSTOP);
  klatch.Signal(SIGINT);
  klatchd_->process().Signal(SIGCONT);
  EXPECT_EQ(klatch.AwaitEnd(), kExitInterrupted) << klatch.errors();
  EXPECT_THAT(klatch.output(), HasSubstr("Not tried: "));
  EXPECT_THAT(client_.GroupPage("owner", "import-0000"), Succeeds());
  EXPECT_FALSE(client_.GroupPage("owner", "import-4999").ok());
}

struct BadFile {
  std::string name;
  std::string text;
  std::string says;
};

TEST_F(KlatchCommandTest, ImportOfBadFilesNamesFileAndLineAndChangesNothing) {
  const TemporaryDirectory scratch;
  const auto path = [&](const std::string& name) { return (scratch.path() / name).string(); };
  const std::vector<BadFile> files = {
      {"edges.txt", "1 2\n3\n", "line 2: two persons are expected"},
      {"role.csv", "bad-import,ann,owner\n\nbad-import,bob,king\n", "line 3: 'king' is none of"},
      {"id.csv", "bad-import," + std::string(129, 'x') + "\n", "line 1: an id is longer than"},
      {"binary.csv", std::string("\0\1\2\n", 4), "line 1: group,person[,role] is expected"},
  };
  for (const BadFile& file : files) {
    SCOPED_TRACE(file.name);
    std::ofstream(path(file.name), std::ios::binary) << file.text;
    const Outcome outcome = RunKlatch({"import", path(file.name)});
    EXPECT_EQ(outcome.exit_code, kExitUsage);
    EXPECT_EQ(outcome.errors.find("klatch: " + path(file.name) + ": " + file.says), 0u)
        << outcome.errors;
    EXPECT_EQ(outcome.output, "");
  }
  EXPECT_EQ(RunKlatch({"import", path("missing.csv")}).errors,
            fmt::format("klatch: {}: No such file or directory\n", path("missing.csv")));
  EXPECT_EQ(RunKlatch({"import", path("missing.csv")}).exit_code, kExitUsage);
  EXPECT_EQ(RunKlatch({"import", scratch.path().string()}).exit_code, kExitUsage);
  std::ofstream(path("empty.csv")).close();
  EXPECT_EQ(RunKlatch({"import", path("empty.csv")}).exit_code, kExitGood);
  EXPECT_FALSE(client_.GroupPage("ann", "bad-import").ok());
}

TEST_F(KlatchCommandTest, ColoursAreForTerminalsAndNoColorTurnsThemOff) {
  ASSERT_NO_FATAL_FAILURE(MakeGroup("colours"));
  const std::vector<std::string> command = Klatch({"group", "list", "ann"});
  const auto on_terminal = [&command](std::vector<std::string> variables) {
    variables.insert(variables.begin(), {"/usr/bin/env", "-u", "NO_COLOR", "TERM=xterm"});
    variables.insert(variables.end(), command.begin(), command.end());
    TerminalProcess process(variables);
    // It ends only when what it wrote fits into the terminal.
    EXPECT_TRUE(Eventually([&] { return process.screen().find("colours") != std::string::npos; }));
    EXPECT_EQ(process.AwaitEnd(), kExitGood);
    return process.screen();
  };
  EXPECT_THAT(on_terminal({}), HasSubstr("\x1b["));
  EXPECT_THAT(on_terminal({"NO_COLOR=1"}), Not(HasSubstr("\x1b[")));
  EXPECT_THAT(on_terminal({"TERM=dumb"}), Not(HasSubstr("\x1b[")));
  EXPECT_THAT(RunToEnd(command).output, Not(HasSubstr("\x1b[")));
}

TEST_F(KlatchCommandTest, ProgressOfAnImportIsDrawnOnTerminalsOnly) {
  const TemporaryDirectory scratch;
  const std::string people = (scratch.path() / "people.csv").string();
  const std::string redirected = (scratch.path() / "redirected").string();
  {
    std::ofstream lines(people);
    for (int i = 0; i < 40; ++i) {
      lines << fmt::format("progress-{},owner,owner\n", i);
    }
  }
  // What a person sees who sends one of the outputs into the file, and what is in the file then.
  const auto run = [&](const std::string& redirection, const std::string& awaited) {
    std::vector<std::string> words = {"/usr/bin/env",
                                      "-u",
                                      "NO_COLOR",
                                      "TERM=xterm",
                                      "/bin/sh",
                                      "-c",
                                      R"(exec "$@" )" + redirection + R"("$0")",
                                      redirected};
    const std::vector<std::string> import = Klatch({"import", people});
    words.insert(words.end(), import.begin(), import.end());
    TerminalProcess process(words);
    EXPECT_TRUE(Eventually([&] { return process.screen().find(awaited) != std::string::npos; }));
    EXPECT_EQ(process.AwaitEnd(), kExitGood);
    std::ostringstream text;
    text << std::ifstream(redirected).rdbuf();
    return std::pair(process.screen(), text.str());
  };
  const auto [results, errors_in_file] = run("2>", "Imported 40 groups");
  EXPECT_THAT(results, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(errors_in_file, IsEmpty());
  const auto [progress, results_in_file] = run(">", "40 of 40 groups");
  EXPECT_THAT(progress, ::testing::EndsWith("\r\x1b[K"));
  EXPECT_THAT(results_in_file, ::testing::StartsWith("Imported 40 groups"));
}

}  // namespace
}  // namespace klatch::testing
