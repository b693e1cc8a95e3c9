// `klatch import updates` and `klatch group sync` as processes against a real klatchd.

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kExitGood = 0;
constexpr int kExitRefused = 1;
constexpr int kExitUsage = 2;
constexpr int kExitUnreachable = 4;

class KlatchImportCommandTest : public ::testing::Test {
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
  std::string FileOf(const std::string& name, const std::string& text) {
    const std::string path = (scratch_.path() / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string Line(const std::string& id, const std::string& group,
                          const std::string& author = "ann") {
    return fmt::format(
               R"({{"source_id":"{0}","author":"{2}","original_time":"2009-02-13T23:31:30Z",)"
               R"("update":{{"groups":["{1}"],"text":"{0}"}}}})",
               id, group, author) +
           "\n";
  }
  std::vector<std::string> TextsIn(const std::string& group) {
    return TextsOf(*client_.GroupPage("ann", group));
  }
  void MakeGroup(const std::string& group) {
    ASSERT_THAT(client_.CreateGroup("ann", group), Succeeds());
  }
  std::vector<std::string> MembersOf(const std::string& group) {
    v1::ListMembersRequest request;
    request.set_actor("ann");
    request.set_group(group);
    request.set_page_size(1'000);
    const auto page = client_.Groups(&v1::GroupService::Stub::ListMembers, request);
    std::vector<std::string> members;
    for (const v1::Member& member : page->members()) {
      members.push_back(fmt::format("{} {}", member.person(), static_cast<int>(member.role())));
    }
    std::sort(members.begin(), members.end());
    return members;
  }

  static inline std::unique_ptr<Klatchd> klatchd_;
  const TemporaryDirectory scratch_;
  Client client_{klatchd_->Channel()};
};

TEST_F(KlatchImportCommandTest, UpdatesComeFromAFileOnceHoweverOften) {
  MakeGroup("file");
  std::string lines;
  for (int i = 0; i < 250; ++i) {
    lines += Line(fmt::format("old {}", i), "file") + (i % 50 == 0 ? "\n" : "");
  }
  const std::string file = FileOf("old.jsonl", lines);
  const Outcome first = RunKlatch({"import", "updates", file});
  EXPECT_EQ(first.exit_code, kExitGood) << first.errors;
  EXPECT_EQ(first.output, "IMPORTED  THERE BEFORE  FAILED\n     250             0  0\n");
  const Outcome again = RunKlatch({"import", "updates", file, "--json"});
  EXPECT_EQ(again.exit_code, kExitGood) << again.errors;
  EXPECT_THAT(again.output, HasSubstr(R"({"line":1,"imported":{"updateId":")"));
  EXPECT_THAT(again.output,
              HasSubstr(R"({"summary":{"imported":0,"wereThere":250,"failed":0,"isWhole":true}})"));
  const auto page = client_.GroupPage("ann", "file");
  EXPECT_EQ(page->updates_size(), 200);
  EXPECT_EQ(page->updates(0).text(), "old 249");
  EXPECT_EQ(page->updates(0).original_time().seconds(), 1'234'567'890);
}

TEST_F(KlatchImportCommandTest, UpdatesComeFromStdinAndTheLastLineNeedsNoLineFeed) {
  MakeGroup("stdin");
  const std::string file = FileOf("in", Line("one", "stdin") + Line("two", "stdin"));
  const Outcome outcome = RunBehind(fmt::format(R"sh(printf %s "$(cat '{}')" | "$@")sh", file),
                                    Klatch({"import", "updates", "-"}));
  EXPECT_EQ(outcome.exit_code, kExitGood) << outcome.errors;
  EXPECT_THAT(TextsIn("stdin"), ElementsAre("two", "one"));
}

TEST_F(KlatchImportCommandTest, WhatIsRefusedIsToldByItsLine) {
  MakeGroup("lines");
  const std::string file = FileOf(
      "mixed", Line("good", "lines") + Line("bad", "lines", "stranger") + Line("better", "lines"));
  const Outcome outcome = RunKlatch({"import", "updates", file});
  EXPECT_EQ(outcome.exit_code, kExitRefused);
  EXPECT_THAT(outcome.errors, HasSubstr("klatch: line 2: "));
  EXPECT_THAT(outcome.errors, HasSubstr("author is not a member"));
  EXPECT_THAT(TextsIn("lines"), ElementsAre("better", "good"));
}

TEST_F(KlatchImportCommandTest, LineThatIsNoUpdateEndsTheImport) {
  MakeGroup("bad");
  for (const std::string& bad :
       {std::string("{\"source_id\":\n"), std::string("{\"sauce\":1}\n"), std::string("[]\n"),
        std::string("\0\n", 2), std::string(600'000, ' ') + "\n"}) {
    const Outcome outcome = RunKlatch(
        {"import", "updates", FileOf("bad", Line("first", "bad") + bad + Line("third", "bad"))});
    EXPECT_EQ(outcome.exit_code, kExitUsage) << bad.substr(0, 20);
    EXPECT_THAT(outcome.errors, HasSubstr("klatch: line 2 ")) << bad.substr(0, 20);
    EXPECT_THAT(outcome.output, HasSubstr("It ended before the last line."));
  }
  EXPECT_THAT(TextsIn("bad"), ElementsAre("first"));
  const std::string missing = (scratch_.path() / "missing").string();
  EXPECT_EQ(RunKlatch({"import", "updates", missing}).errors,
            fmt::format("klatch: {}: No such file or directory\n", missing));
  EXPECT_EQ(RunKlatch({"import", "updates", missing}).exit_code, kExitUsage);
  EXPECT_EQ(RunKlatch({"import", "updates", scratch_.path().string()}).exit_code, kExitUsage);
  EXPECT_EQ(RunKlatch({"import", "updates"}).exit_code, kExitUsage);
  EXPECT_EQ(RunKlatch({"import"}).exit_code, kExitUsage);
  EXPECT_EQ(RunKlatch({"import", "updates", FileOf("empty", "")}).exit_code, kExitGood);
}

TEST_F(KlatchImportCommandTest, NoServerIsExitCode4) {
  const std::string updates = FileOf("updates", Line("one", "g"));
  const std::string roster = FileOf("roster", "ann,owner\n");
  const std::vector<std::string> nowhere = {"--target", "unix:/nonexistent/klatchd.sock"};
  for (std::vector<std::string> arguments :
       {std::vector<std::string>{KlatchProgram(), "import", "updates", updates},
        {KlatchProgram(), "group", "sync", "g", "--version", "1", roster}}) {
    arguments.insert(arguments.end(), nowhere.begin(), nowhere.end());
    EXPECT_EQ(RunToEnd(arguments).exit_code, kExitUnreachable);
  }
}

TEST_F(KlatchImportCommandTest, SyncMakesTheMembersThoseOfTheList) {
  MakeGroup("synced");
  ASSERT_THAT(client_.Add("ann", "synced", {"bob", "cat"}), Succeeds());
  const std::string roster = FileOf("roster", "# the hikers\nann, owner\ncat,reader\r\n\ndan\n");
  const Outcome first = RunKlatch({"group", "sync", "synced", "--version", "7", roster});
  EXPECT_EQ(first.exit_code, kExitGood) << first.errors;
  EXPECT_EQ(first.output,
            "CHANGE  PERSON\njoined  dan\nrole    cat\nleft    bob\n"
            "synced is at version 7: 1 joined, 1 changed their role, 1 left.\n");
  EXPECT_THAT(MembersOf("synced"), ElementsAre("ann 4", "cat 1", "dan 2"));
  const Outcome again = RunBehind(fmt::format(R"("$@" <'{}')", roster),
                                  Klatch({"group", "sync", "synced", "--version", "7", "-"}));
  EXPECT_EQ(again.exit_code, kExitGood) << again.errors;
  EXPECT_EQ(again.output, "synced is at version 7: 0 joined, 0 changed their role, 0 left.\n");
  const Outcome stale = RunKlatch({"group", "sync", "synced", "--version", "6", roster});
  EXPECT_EQ(stale.exit_code, kExitRefused);
  EXPECT_THAT(stale.errors, HasSubstr("reason: STALE_VERSION"));
  const Outcome json = RunKlatch(
      {"group", "sync", "synced", "--version", "8", "--json", FileOf("r", "ann,owner\n")});
  EXPECT_THAT(json.output, HasSubstr(R"("removedCount":2)"));
}

TEST_F(KlatchImportCommandTest, BadListNamesItsLineAndChangesNothing) {
  MakeGroup("careful");
  const auto sync = [&](const std::string& text) {
    return RunKlatch({"group", "sync", "careful", "--version", "1", FileOf("list", text)});
  };
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"ann,owner\nbob,king\n", "line 2: 'king' is none of"},
           {"ann,owner\nbob,member,x\n", "line 2: person[,role] is expected"},
           {"ann,owner\n,member\n", "line 2: an id is empty"},
           {"ann,owner\n\nann\n", "line 3: 'ann' stands on line 1 already"},
           {"", "members has 0 members"},
           {"ann\nbob\n", "members has no owner"}}) {
    const Outcome outcome = sync(text);
    EXPECT_EQ(outcome.exit_code, kExitUsage) << text;
    EXPECT_THAT(outcome.errors, HasSubstr(says));
    EXPECT_THAT(outcome.output, IsEmpty());
  }
  EXPECT_EQ(RunKlatch({"group", "sync", "careful", FileOf("list", "ann,owner\n")}).exit_code,
            kExitUsage);
  // A folder can be read from as little as an error that comes in the middle of a list.
  EXPECT_EQ(RunBehind(R"("$@" <"$0")", Klatch({"group", "sync", "careful", "--version", "1", "-"}))
                .exit_code,
            kExitUsage);
  EXPECT_THAT(MembersOf("careful"), ElementsAre("ann 4"));
}

TEST_F(KlatchImportCommandTest, LargeListGoesInParts) {
  MakeGroup("large");
  std::string roster = "ann,owner\n";
  for (int i = 0; i < 12'000; ++i) {
    roster += fmt::format("person-{:0100}\n", i);
  }
  const Outcome outcome =
      RunKlatch({"group", "sync", "large", "--version", "1", FileOf("large", roster)});
  EXPECT_EQ(outcome.exit_code, kExitGood) << outcome.errors;
  EXPECT_EQ(outcome.output,
            "large is at version 1: 12,000 joined, 0 changed their role, 0 left.\n");
}

}  // namespace
}  // namespace klatch::testing
