// The table of options: every way to give a value, which one wins, and what a wrong one is told.

#include "common/base/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace klatch::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using Arguments = std::vector<std::string>;

enum class Color { kRed, kGreen };

struct Settings {
  std::string listen = "127.0.0.1:7420";
  std::string redis;
  bool insecure = false;
  bool check = false;
  uint32_t shards = 64;
  int64_t cache = int64_t{512} << 20;
  milliseconds flush_interval{1000};
  Color color = Color::kRed;
  std::vector<std::string> names = {"default"};
};

std::string HideBeforeAt(std::string_view text) {
  const size_t at = text.rfind('@');
  return at == std::string_view::npos ? std::string(text) : "***" + std::string(text.substr(at));
}

class OptionTableTest : public ::testing::Test {
 protected:
  OptionTableTest()
      : table_(
            {.name = "tool", .version = "1.2.3", .usage = "tool [options]", .summary = "A tool."}) {
    AddTexts();
    AddNumbers();
    char pattern[] = "/tmp/klatch-options-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~OptionTableTest() override { std::filesystem::remove_all(folder_); }

  void AddTexts() {
    table_.Add(
        {.name = "listen", .group = "A", .description = "Where", .value = Text(&settings_.listen)});
    table_.Add({.name = "redis",
                .group = "A",
                .description = "Store",
                .value = Text(&settings_.redis,
                              [](std::string_view text) {
                                return text.starts_with("redis://")
                                           ? absl::OkStatus()
                                           : Error(absl::StatusCode::kInvalidArgument,
                                                   "wants redis://host");
                              }),
                .redact = HideBeforeAt});
    table_.Add(
        {.name = "color",
         .group = "A",
         .description = "Which",
         .value = Choice(&settings_.color, {{"red", Color::kRed}, {"green", Color::kGreen}})});
    table_.Add({.name = "names",
                .group = "A",
                .description = "Whose",
                .value = List(&settings_.names, 3)});
  }

  void AddNumbers() {
    table_.Add({.name = "shards",
                .group = "B",
                .description = "How many",
                .value = Count(&settings_.shards, 1, 1024)});
    table_.Add({.name = "body-cache",
                .group = "B",
                .description = "How much",
                .value = Bytes(&settings_.cache, 1 << 20, int64_t{1} << 40)});
    table_.Add({.name = "flush-interval",
                .group = "B",
                .description = "How long",
                .value = Duration(&settings_.flush_interval, milliseconds(10), seconds(60))});
    table_.Add({.name = "insecure",
                .group = "B",
                .description = "Whether",
                .value = Flag(&settings_.insecure)});
    table_.Add({.name = "check",
                .group = "B",
                .description = "Only check",
                .value = Flag(&settings_.check),
                .scope = OptionScope::kFlagOnly});
  }

  std::string WriteFile(std::string_view content, std::string_view name = "klatch.toml") {
    const std::string path = folder_ + "/" + std::string(name);
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  // The message of the error, or "OK".
  std::string ErrorOf(const Arguments& arguments, const Environment& environment = {}) {
    const auto resolved = table_.Resolve(arguments, environment);
    if (resolved.ok()) {
      return "OK";
    }
    EXPECT_EQ(resolved.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(MessageOf(resolved.status()).find('\n'), std::string::npos);
    return MessageOf(resolved.status());
  }

  std::string FileErrorOf(std::string_view content) {
    const std::string path = WriteFile(content);
    std::string error = ErrorOf({"--config", path});
    if (const size_t at = error.find(path); at != std::string::npos) {
      error.replace(at, path.size(), "FILE");
    }
    return error;
  }

  Settings settings_;
  OptionTable table_;
  std::string folder_;
};

TEST_F(OptionTableTest, KeepsDefaultsWithoutArguments) {
  const auto resolved = table_.Resolve({}, {});
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(settings_.shards, 64u);
  EXPECT_EQ(resolved->SourceOf("shards"), OptionSource::kDefault);
  EXPECT_TRUE(resolved->warnings.empty());
}

TEST_F(OptionTableTest, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string path = WriteFile(
      "shards = 2\nbody-cache = \"2MiB\"\nflush-interval = \"2s\"\nnames = [\"a\", \"b\"]\n");
  const Environment environment = {{"KLATCH_SHARDS", "3"}, {"KLATCH_BODY_CACHE", "3MiB"}};
  const auto resolved = table_.Resolve({"--config=" + path, "--shards", "4"}, environment);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(settings_.shards, 4u);
  EXPECT_EQ(settings_.cache, 3 << 20);
  EXPECT_EQ(settings_.flush_interval, seconds(2));
  EXPECT_THAT(settings_.names, ElementsAre("a", "b"));
  EXPECT_EQ(resolved->SourceOf("shards"), OptionSource::kFlag);
  EXPECT_EQ(resolved->SourceOf("body-cache"), OptionSource::kEnvironment);
  EXPECT_EQ(resolved->SourceOf("flush-interval"), OptionSource::kFile);
  EXPECT_EQ(resolved->SourceOf("listen"), OptionSource::kDefault);
  EXPECT_EQ(resolved->origins.at("flush-interval").place, path + ":3");
}

TEST_F(OptionTableTest, TakesFileFromEnvironmentUnlessFlagNamesAnother) {
  const std::string one = WriteFile("shards = 1", "one.toml");
  const std::string two = WriteFile("shards = 2", "two.toml");
  ASSERT_TRUE(table_.Resolve({}, {{"KLATCH_CONFIG", one}}).ok());
  EXPECT_EQ(settings_.shards, 1u);
  ASSERT_TRUE(table_.Resolve({"--config", two}, {{"KLATCH_CONFIG", one}}).ok());
  EXPECT_EQ(settings_.shards, 2u);
}

TEST_F(OptionTableTest, ReadsEveryFormOfAFlag) {
  ASSERT_TRUE(table_.Resolve({"--insecure", "--shards=7", "--color", "green"}, {}).ok());
  EXPECT_TRUE(settings_.insecure);
  EXPECT_EQ(settings_.shards, 7u);
  EXPECT_EQ(settings_.color, Color::kGreen);
  ASSERT_TRUE(table_.Resolve({"--no-insecure", "--shards", "8", "--shards", "9"}, {}).ok());
  EXPECT_FALSE(settings_.insecure);
  EXPECT_EQ(settings_.shards, 9u);
  ASSERT_TRUE(table_.Resolve({"--insecure=true", "--names", "a", "--names", "b,c"}, {}).ok());
  EXPECT_TRUE(settings_.insecure);
  EXPECT_THAT(settings_.names, ElementsAre("a", "b", "c"));
}

TEST_F(OptionTableTest, CollectsPositionalsOnlyWhenAsked) {
  EXPECT_EQ(ErrorOf({"post"}), "unexpected argument \"post\"; see --help");
  const auto resolved =
      table_.Resolve({"hello", "--shards", "2", "--", "--shards"}, {}, Positionals::kCollect);
  ASSERT_TRUE(resolved.ok());
  EXPECT_THAT(resolved->positionals, ElementsAre("hello", "--shards"));
  EXPECT_EQ(settings_.shards, 2u);
}

TEST_F(OptionTableTest, ShowsHelpAndVersionWhateverElseIsWrong) {
  const auto help = table_.Resolve({"--nonsense", "--help"}, {});
  ASSERT_TRUE(help.ok());
  EXPECT_EQ(help->action, ResolvedOptions::Action::kShowHelp);
  const auto version = table_.Resolve({"--version"}, {});
  ASSERT_TRUE(version.ok());
  EXPECT_EQ(version->action, ResolvedOptions::Action::kShowVersion);
  EXPECT_EQ(table_.Version(), "tool 1.2.3\n");
}

TEST_F(OptionTableTest, HelpNamesUnitDefaultRangeAndVariableOfEveryOption) {
  const std::string help = table_.Help();
  EXPECT_THAT(help, HasSubstr("--flush-interval DURATION"));
  EXPECT_THAT(help, HasSubstr("Default: 1s. Range: 10ms..1m. KLATCH_FLUSH_INTERVAL"));
  EXPECT_THAT(help, HasSubstr("--body-cache SIZE"));
  EXPECT_THAT(help, HasSubstr("Default: 512MiB."));
  EXPECT_THAT(help, HasSubstr("--color red|green"));
  EXPECT_THAT(help, HasSubstr("--config"));
}

TEST_F(OptionTableTest, WarnsOfVariablesThatItDoesNotKnow) {
  const auto resolved = table_.Resolve({}, {{"KLATCH_CHECK", "true"},
                                            {"KLATCH_FLUSH", "2s"},
                                            {"KLATCH_LISEN", "x"},
                                            {"KLATCH_SERVICE_HOST", "10.0.0.1"},
                                            {"KLATCH_\n", "x"}});
  ASSERT_TRUE(resolved.ok());
  const std::string ignored = " names no option of tool and is ignored";
  EXPECT_THAT(resolved->warnings,
              UnorderedElementsAre(
                  "\"KLATCH_CHECK\"" + ignored,
                  "\"KLATCH_FLUSH\"" + ignored + "; did you mean KLATCH_FLUSH_INTERVAL?",
                  "\"KLATCH_LISEN\"" + ignored + "; did you mean KLATCH_LISTEN?",
                  "\"KLATCH_SERVICE_HOST\"" + ignored, HasSubstr("\"KLATCH_\\x0a\"" + ignored)));
  EXPECT_FALSE(settings_.check);
}

struct WrongFlags {
  Arguments arguments;
  std::string message;
};

TEST_F(OptionTableTest, RefusesWrongFlagsInOneLineThatNamesThem) {
  const std::string bytes_wanted =
      "wants a number with its unit, such as 64KiB, 512MiB or 4GiB (B, KiB, MiB, GiB, TiB, KB, MB, "
      "GB, TB)";
  const std::string duration_wanted = "wants a number with its unit, such as 250ms, 3s, 10m or 24h";
  const std::vector<WrongFlags> cases = {
      {{"--flsh-interval"}, "unknown option --flsh-interval; did you mean --flush-interval?"},
      {{"--flush_interval=1s"}, "unknown option --flush_interval; did you mean --flush-interval?"},
      {{"--flush", "1s"}, "unknown option --flush; did you mean --flush-interval?"},
      {{"--roles=foo"}, "unknown option --roles; the nearest is --redis"},
      {{"--no-shards"}, "unknown option --no-shards; did you mean --shards?"},
      {{"--=x"}, "unknown option --; the nearest is --redis"},
      {{"-x"}, "unknown option \"-x\"; options start with two dashes, see --help"},
      {{"--listen"}, "--listen needs a value"},
      {{"--listen", "--shards", "1"}, "--listen needs a value"},
      {{"--no-insecure=1"}, "--no-insecure takes no value"},
      {{"--insecure=maybe"}, "--insecure is \"maybe\", wants true or false"},
      {{"--shards", "0"}, "--shards is \"0\", wants 1..1024"},
      {{"--shards", "-1"}, "--shards is \"-1\", wants 1..1024"},
      {{"--shards", "1025"}, "--shards is \"1025\", wants 1..1024"},
      {{"--shards", ""}, "--shards is \"\", wants a whole number"},
      {{"--shards", "1e3"}, "--shards is \"1e3\", wants a whole number"},
      {{"--shards", " 7"}, "--shards is \" 7\", wants a whole number"},
      {{"--shards", "99999999999999999999"},
       "--shards is \"99999999999999999999\", is more than 64 bits hold"},
      {{"--body-cache", "512"}, "--body-cache is \"512\", " + bytes_wanted},
      {{"--body-cache", "512Mb"}, "--body-cache is \"512Mb\", " + bytes_wanted},
      {{"--body-cache", "-1MiB"}, "--body-cache is \"-1MiB\", " + bytes_wanted},
      {{"--body-cache", "1B"}, "--body-cache is \"1B\", wants 1MiB..1TiB"},
      {{"--body-cache", "9999999999TiB"},
       "--body-cache is \"9999999999TiB\", is more than 64 bits hold"},
      {{"--flush-interval", "5"}, "--flush-interval is \"5\", " + duration_wanted},
      {{"--flush-interval", "5 s"}, "--flush-interval is \"5 s\", " + duration_wanted},
      {{"--flush-interval", "ms"}, "--flush-interval is \"ms\", " + duration_wanted},
      {{"--flush-interval", "2m"}, "--flush-interval is \"2m\", wants 10ms..1m"},
      {{"--flush-interval", "9223372036854775807h"},
       "--flush-interval is \"9223372036854775807h\", is more than 64 bits hold"},
      {{"--color", "blue"}, "--color is \"blue\", wants red, green"},
      {{"--names", "a,,b"}, "--names is \"a,,b\", has an empty name between commas"},
      {{"--names", "a,b,a"}, "--names is \"a,b,a\", names \"a\" twice"},
      {{"--names", "a,b,c,d"}, "--names is \"a,b,c,d\", names 4; at most 3"},
      {{"--listen", "a\nb"}, "--listen is \"a\\x0ab\", wants UTF-8 without control characters"},
      {{"--listen", "\xff"}, "--listen is \"\\xff\", wants UTF-8 without control characters"},
      {{"--config", ""}, "--config is \"\", wants the path of a file"},
  };
  for (const WrongFlags& wrong : cases) {
    EXPECT_EQ(ErrorOf(wrong.arguments), wrong.message);
  }
}

TEST_F(OptionTableTest, RefusesWrongVariablesByTheirName) {
  EXPECT_EQ(ErrorOf({}, {{"KLATCH_SHARDS", "many"}}),
            "KLATCH_SHARDS is \"many\", wants a whole number");
  EXPECT_EQ(ErrorOf({"--shards", "1"}, {{"KLATCH_SHARDS", ""}}),
            "KLATCH_SHARDS is \"\", wants a whole number");
}

struct WrongFile {
  std::string content;
  std::string message;
};

TEST_F(OptionTableTest, RefusesWrongFilesWithTheLine) {
  const std::vector<WrongFile> cases = {
      {"\nflsh-interval = \"1s\"",
       "FILE:2: unknown key \"flsh-interval\"; did you mean flush-interval?"},
      {"[klatchd]\nshards = 1", "FILE:1: unknown key \"klatchd\""},
      {"shards = 0", "FILE:1: shards is \"0\", wants 1..1024"},
      {"shards = \"7\"", "FILE:1: shards is a string, wants a whole number"},
      {"shards = 7.5", "FILE:1: shards is a number with a fraction, wants a whole number"},
      {"shards = 9223372036854775808", "FILE:1: "},
      {"flush-interval = 1",
       "FILE:1: flush-interval is a number, wants a string with a number and its unit"},
      {"flush-interval = \"1 week\"", "FILE:1: flush-interval is \"1 week\", wants a number with"},
      {"flush-interval = \"9223372036854775807h\"", "is more than 64 bits hold"},
      {"body-cache = \"9999999999TiB\"", "is more than 64 bits hold"},
      {"insecure = \"true\"", "FILE:1: insecure is a string, wants true or false"},
      {"names = [\"a\", 1]", "FILE:1: names is an array, wants an array of strings"},
      {"names = [\"a,b\"]", "FILE:1: names is an array, wants an array of strings"},
      {"listen = 2020-01-01", "FILE:1: listen is a date or time, wants a string"},
      {"check = true", "FILE:1: check cannot be set in a file"},
      {"config = \"x\"", "FILE:1: config cannot be set in a file"},
      {"shards = 1\nshards = 2", "FILE:2: "},
      {"shards = ", "FILE:1: "},
      {"shards", "FILE:1: "},
      {"k\xc3\xa9y = 1", "FILE:1: letters beyond ASCII stand in lines of comments only"},
      {"# \xc3\xa9\na = \xc3\xa9", "FILE:2: letters beyond ASCII"},
      {"\xff\xfe", "is not UTF-8 text"},
      {"shards = 1\n [\x03"
       "8:",
       "FILE:2: expected a name behind ["},
      {"[[ .a]]", "FILE:1: expected a name behind ["},
      {"[", "FILE:1: expected a name behind ["},
      {std::string("shards = 1\0", 11), "FILE:1: "},
  };
  for (const WrongFile& wrong : cases) {
    EXPECT_THAT(FileErrorOf(wrong.content), HasSubstr(wrong.message)) << wrong.content;
  }
}

TEST_F(OptionTableTest, SaysOfADuplicateKeyThatItIsOne) {
  EXPECT_THAT(FileErrorOf("shards = 1\nshards = 2"), HasSubstr("cannot redefine existing"));
}

TEST_F(OptionTableTest, RefusesFilesThatAreNotThereOrNotFiles) {
  EXPECT_THAT(ErrorOf({"--config", folder_ + "/none"}), HasSubstr("No such file or directory"));
  EXPECT_THAT(ErrorOf({"--config", folder_}), HasSubstr("Is a directory"));
  EXPECT_THAT(ErrorOf({"--config", "/dev/zero"}), HasSubstr("has more than 1MiB"));
  const std::string big = WriteFile(std::string(kConfigFileBytesMax + 1, '\n'), "big.toml");
  EXPECT_THAT(ErrorOf({"--config", big}), HasSubstr("has more than 1MiB"));
}

TEST_F(OptionTableTest, TakesAnEmptyFileAndOneOfTheLargestSize) {
  EXPECT_EQ(ErrorOf({"--config", WriteFile("", "empty.toml")}), "OK");
  EXPECT_EQ(ErrorOf({"--config", "/dev/null"}), "OK");
  const std::string largest = WriteFile(std::string(kConfigFileBytesMax, '\n'), "largest.toml");
  EXPECT_EQ(ErrorOf({"--config", largest}), "OK");
}

TEST_F(OptionTableTest, RefusesDeeplyNestedFilesWithoutHarm) {
  const std::string path = WriteFile("names = " + std::string(100'000, '['));
  EXPECT_NE(ErrorOf({"--config", path}), "OK");
}

TEST_F(OptionTableTest, DescribesValuesAsTomlThatReadsBackTheSame) {
  const Environment environment = {{"KLATCH_BODY_CACHE", "1536KiB"}};
  const Arguments arguments = {"--listen", "a\"b\\c",    "--names",
                               "x,y",      "--insecure", "--flush-interval",
                               "1500ms",   "--redis",    "redis://host"};
  const auto resolved = table_.Resolve(arguments, environment);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  const std::string description = table_.Describe(*resolved);
  EXPECT_THAT(description,
              HasSubstr("body-cache = \"1536KiB\"  # environment KLATCH_BODY_CACHE\n"));
  EXPECT_THAT(description, HasSubstr("names = [\"x\", \"y\"]  # flag --names\n"));
  EXPECT_THAT(description, HasSubstr("shards = 64  # default\n"));
  EXPECT_THAT(description, Not(HasSubstr("check")));
  settings_ = Settings{};
  ASSERT_EQ(ErrorOf({"--config", WriteFile(description)}), "OK");
  EXPECT_EQ(settings_.listen, "a\"b\\c");
  EXPECT_EQ(settings_.cache, 1536 << 10);
  EXPECT_EQ(settings_.flush_interval, milliseconds(1500));
  EXPECT_THAT(settings_.names, ElementsAre("x", "y"));
  EXPECT_TRUE(settings_.insecure);
}

TEST_F(OptionTableTest, NeverShowsSecrets) {
  const auto resolved = table_.Resolve({"--redis", "redis://me:se@cret@host:1"}, {});
  ASSERT_TRUE(resolved.ok());
  EXPECT_THAT(table_.Describe(*resolved), HasSubstr("redis = \"***@host:1\""));
  EXPECT_EQ(ErrorOf({"--redis", "rdis://me:secret@host"}),
            "--redis is \"***@host\", wants redis://host");
}

TEST(NearestNameTest, CountsEditsAndSwaps) {
  EXPECT_EQ(FindNearestName("lsiten", {"redis", "listen"}).name, "listen");
  EXPECT_EQ(FindNearestName("lsiten", {"redis", "listen"}).edits, 1u);
  EXPECT_EQ(FindNearestName("kitten", {"sitting"}).edits, 3u);
  EXPECT_EQ(FindNearestName("", {"abc"}).edits, 3u);
  EXPECT_EQ(FindNearestName("x", {}).name, "");
}

TEST(OptionValueTest, PrintsWhatItReads) {
  for (int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{1000}, int64_t{1024}, int64_t{4} << 30,
                        (int64_t{1} << 62) + 1}) {
    EXPECT_EQ(ParseBytes(PrintBytes(bytes)).value(), bytes);
  }
  for (int64_t ms : {0, 1, 999, 1000, 90'000, 3'600'000, 86'400'001}) {
    EXPECT_EQ(ParseDuration(PrintDuration(milliseconds(ms))).value(), milliseconds(ms));
  }
  EXPECT_EQ(ParseBytes("1KB").value(), 1000);
  EXPECT_EQ(ParseBytes("1kB").value(), 1000);
  EXPECT_EQ(PrintDuration(std::chrono::hours(24)), "24h");
}

TEST(ProcessEnvironmentTest, TakesOnlyOurVariables) {
  setenv("KLATCH_OPTIONS_TEST", "a=b", 1);
  const Environment environment = ProcessEnvironment();
  unsetenv("KLATCH_OPTIONS_TEST");
  EXPECT_EQ(environment.at("KLATCH_OPTIONS_TEST"), "a=b");
  EXPECT_EQ(environment.count("PATH"), 0u);
}

}  // namespace
}  // namespace klatch::base
