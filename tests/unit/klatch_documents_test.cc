// Completions and manual pages of our commands: made for each shell, run in those that are here.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/load/commands.h"
#include "bench/load/options.h"
#include "services/klatch/command_line.h"

namespace klatch::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string Printed(const std::vector<std::string>& arguments) {
  static const std::atomic<bool> interrupted{false};
  CommandLine line(interrupted, [](const char*) -> const char* { return nullptr; });
  const auto result = line.Parse(arguments);
  EXPECT_TRUE(result.has_value());
  EXPECT_EQ(result->exit_code, kExitGood) << result->err;
  EXPECT_EQ(result->err, "");
  return result->out;
}

std::string LoadManual() {
  load::Commands commands;
  commands.Add(load::MakeCommand<load::LoadOptions>(
      "play", "plays a graph", load::MakeOptionTable,
      [](const load::LoadOptions&, const base::ResolvedOptions&) {
        return load::ExitCode::kGood;
      }));
  return commands.Manual();
}

class DocumentsTest : public ::testing::Test {
 protected:
  DocumentsTest() {
    std::string name = std::filesystem::temp_directory_path() / "klatch-documents-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~DocumentsTest() override { std::filesystem::remove_all(folder_); }

  std::string File(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  static bool IsThere(const std::string& program) {
    return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
  }
  // What a line of sh prints, errors too.
  std::string Run(const std::string& line) const {
    FILE* const pipe =
        popen(("cd " + folder_.string() + " && { " + line + "; } 2>&1").c_str(), "r");
    std::string text;
    std::array<char, 4096> buffer;
    while (const size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
      text.append(buffer.data(), count);
    }
    EXPECT_EQ(pclose(pipe), 0) << line << "\n" << text;
    return text;
  }
  // What bash offers for a line whose words are these, the last one unfinished.
  std::string InBash(const std::vector<std::string>& words) const {
    std::string line;
    for (const std::string& word : words) {
      line += " '" + word + "'";
    }
    const std::string script = "source ./completion\nCOMP_WORDS=(klatch" + line +
                               ")\nCOMP_CWORD=" + std::to_string(words.size()) +
                               "\n_klatch_complete\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    File("completion", Printed({"completion", "bash"}));
    return Run("bash -u " + File("ask", script));
  }

  std::filesystem::path folder_;
};

TEST_F(DocumentsTest, BashOffersCommandsOptionsAndValues) {
  if (!IsThere("bash")) {
    GTEST_SKIP() << "no bash here";
  }
  EXPECT_EQ(InBash({"po"}), "post\n");
  EXPECT_THAT(InBash({""}), AllOf(HasSubstr("timeline\n"), HasSubstr("admin\n")));
  EXPECT_THAT(InBash({"group", ""}), AllOf(HasSubstr("members\n"), Not(HasSubstr("post\n"))));
  EXPECT_EQ(InBash({"admin", "arc"}), "archive\n");
  EXPECT_EQ(InBash({"group", "add", "--ro"}), "--role\n");
  EXPECT_EQ(InBash({"group", "add", "--role", "mod"}), "moderator\n");
  EXPECT_EQ(InBash({"--as", "post", "ti"}), "timeline\n") << "a value is no command";
  EXPECT_EQ(InBash({"completion", "f"}), "fish\n");
  EXPECT_EQ(InBash({"post", "--text-that-is-none"}), "\n");
  std::filesystem::create_directory(folder_ / "there");
  File("thefile", "");
  EXPECT_EQ(InBash({"admin", "archive", "--dir", "the"}), "there\n");
  EXPECT_THAT(InBash({"import", "the"}), AllOf(HasSubstr("there"), HasSubstr("thefile")));
}

TEST_F(DocumentsTest, ZshReadsItAndOffersTheSame) {
  if (!IsThere("zsh")) {
    GTEST_SKIP() << "no zsh here";
  }
  // compadd works in completions only, so it is told to print what it is given.
  const std::string script =
      "compdef() { : }\nsource ./completion\ncompadd() { shift; print -l -- $@ }\n"
      "ask() { words=(klatch \"$@\"); CURRENT=$#words; _klatch_complete || true }\n"
      "ask ''; print -- --; ask group add --role ''; print -- --; ask post --t\n";
  File("completion", Printed({"completion", "zsh"}));
  EXPECT_THAT(Printed({"completion", "zsh"}), ::testing::StartsWith("#compdef klatch\n"));
  const std::string offered = Run("zsh -f " + File("ask", script));
  const size_t values = offered.find("--\n");
  EXPECT_THAT(offered.substr(0, values), AllOf(HasSubstr("post\n"), HasSubstr("admin\n")));
  EXPECT_THAT(offered.substr(values), AllOf(HasSubstr("moderator\n"), HasSubstr("--to\n")));
}

TEST_F(DocumentsTest, FishReadsItAndOffersTheSame) {
  if (!IsThere("fish")) {
    GTEST_SKIP() << "no fish here";
  }
  File("completion", Printed({"completion", "fish"}));
  const auto offered = [this](const std::string& line) {
    return Run("HOME=. fish --no-config -c 'source completion; complete -C \"" + line + "\"'");
  };
  EXPECT_THAT(offered("klatch po"), HasSubstr("post\tpost an update to groups"));
  EXPECT_THAT(offered("klatch group "),
              AllOf(HasSubstr("members\t"), Not(HasSubstr("timeline\t"))));
  EXPECT_THAT(offered("klatch group add --role m"), HasSubstr("moderator"));
  EXPECT_THAT(offered("klatch admin archive --fo"), HasSubstr("--follow"));
}

TEST_F(DocumentsTest, ManualPagesNameEveryCommandAndOption) {
  const std::string klatch = Printed({"manual"});
  EXPECT_EQ(klatch, Printed({"manual", "klatch"}));
  for (const char* text : {".TH KLATCH 1", ".SS klatch post", ".SS klatch admin archive",
                           "\\fB\\-\\-all\\-my\\-groups\\fR", "reader|member|moderator|owner"}) {
    EXPECT_THAT(klatch, HasSubstr(text));
  }
  const std::string klatchd = Printed({"manual", "klatchd"});
  for (const char* text : {".TH KLATCHD 8", ".SH STORAGE", "\\fB\\-\\-flush\\-interval\\fR",
                           "KLATCH_FLUSH_INTERVAL"}) {
    EXPECT_THAT(klatchd, HasSubstr(text));
  }
  const std::string load = LoadManual();
  for (const char* text : {".TH KLATCH\\-LOAD 1", "\nklatch\\-load \\- Plays a social graph",
                           ".SH KLATCH\\-LOAD PLAY\n", ".br\nplay      plays a graph\n",
                           ".SH WHAT IS PLAYED", "\\fB\\-\\-flip\\-above\\fR\\fI N\\fR"}) {
    EXPECT_THAT(load, HasSubstr(text));
  }
}

TEST_F(DocumentsTest, ManualPagesAreGoodRoff) {
  if (!IsThere("groff")) {
    GTEST_SKIP() << "no groff here";
  }
  for (const std::string& page :
       {Printed({"manual", "klatch"}), Printed({"manual", "klatchd"}), LoadManual()}) {
    const std::string file = File("page", page);
    EXPECT_THAT(Run("groff -man -Tutf8 -ww -z " + file), IsEmpty());
    // Without overstriking, so that words are found.
    EXPECT_THAT(Run("groff -man -Tutf8 -P-cbou " + file), HasSubstr("\nNAME\n"));
  }
}

TEST_F(DocumentsTest, UnknownShellsAndPagesAreUsage) {
  const std::atomic<bool> interrupted{false};
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"completion", "tcsh"}, {"completion"}, {"manual", "mars"}}) {
    CommandLine line(interrupted, [](const char*) -> const char* { return nullptr; });
    const auto result = line.Parse(arguments);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->exit_code, kExitUsage);
  }
}

}  // namespace
}  // namespace klatch::cli
