// `klatch admin` as a process against a real klatchd, above all `archive`: every record once, whatever
// ends it; gaps are told.

#include <google/protobuf/util/json_util.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace fs = std::filesystem;

constexpr int kExitGood = 0;
constexpr int kExitMissed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInterrupted = 130;
constexpr uint32_t kShards = 4;

class KlatchArchiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* group : {"g0", "g1", "g2", "g3", "g4"}) {
      ASSERT_THAT(client_.CreateGroup("ann", group), Succeeds());
    }
    Post(10);
  }
  void Post(int count) {
    for (int i = 0; i < count; ++i) {
      const auto posted = client_.Publish("ann", "g" + std::to_string(i % 5),
                                          "text " + std::to_string(texts_.size()) + " \"\n");
      ASSERT_THAT(posted, Succeeds());
      texts_.insert(posted->update_id());
    }
  }

  std::vector<std::string> Command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {KlatchProgram(), "admin"});
    arguments.insert(arguments.end(), {"--target", klatchd_.address()});
    return arguments;
  }
  std::vector<std::string> Archiving(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {"archive", "--dir", folder().string()});
    return Command(std::move(arguments));
  }
  fs::path folder() const { return klatchd_.scratch() / "archive"; }

  // What is in the files: positions of records by shard, in the order in which they stand there.
  struct Archived {
    std::map<uint32_t, std::vector<uint64_t>> positions;
    std::set<uint64_t> with_text;
    int gaps = 0;
    std::vector<std::string> bad_lines;
    bool ends_with_line = true;
  };
  Archived Read() const {
    std::map<std::pair<uint32_t, uint64_t>, fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder())) {
      uint32_t shard = 0;
      unsigned long long first = 0;
      if (std::sscanf(entry.path().filename().c_str(), "default-%u-%llu.jsonl", &shard, &first) ==
          2) {
        files[{shard, first}] = entry.path();
      }
    }
    Archived archived;
    for (const auto& [name, path] : files) {
      ReadFile(name.first, path, archived);
    }
    return archived;
  }
  static void ReadFile(uint32_t shard, const fs::path& path, Archived& archived) {
    std::ifstream stream(path);
    const std::string text{std::istreambuf_iterator<char>(stream),
                           std::istreambuf_iterator<char>()};
    archived.ends_with_line = archived.ends_with_line && text.ends_with('\n');
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      v1::LogEntry entry;
      if (line.starts_with("{\"gap\":")) {
        ++archived.gaps;
      } else if (!google::protobuf::util::JsonStringToMessage(line, &entry).ok()) {
        archived.bad_lines.push_back(line);
      } else {
        archived.positions[shard].push_back(entry.position());
        if (entry.update().text().starts_with("text ")) {
          archived.with_text.insert(entry.position());
        }
      }
    }
  }
  // What the log says, for comparison; nothing of it may be trimmed.
  std::map<uint32_t, std::vector<uint64_t>> InLog() {
    std::map<uint32_t, std::vector<uint64_t>> positions;
    for (uint32_t shard = 0; shard < kShards; ++shard) {
      v1::ReadLogRequest request;
      request.set_shard(shard);
      request.set_page_size(1'000);
      for (bool more = true; more;) {
        const auto page = client_.Admin(&v1::AdminService::Stub::ReadLog, request);
        EXPECT_THAT(page, Succeeds());
        for (const v1::LogEntry& entry : page->entries()) {
          positions[shard].push_back(entry.position());
        }
        request.set_after(page->next_after());
        more = page.ok() && page->entries_size() > 0;
      }
    }
    return positions;
  }
  // Every record of the log once, in order, but for ticks appended since.
  void ExpectWhole() {
    const Archived archived = Read();
    EXPECT_THAT(archived.bad_lines, IsEmpty());
    EXPECT_TRUE(archived.ends_with_line);
    EXPECT_EQ(archived.gaps, 0);
    for (const auto& [shard, positions] : InLog()) {
      std::vector<uint64_t> known = positions;
      const auto found = archived.positions.find(shard);
      ASSERT_NE(found, archived.positions.end()) << shard;
      known.resize(std::min(known.size(), found->second.size()));
      EXPECT_THAT(found->second, ElementsAreArray(known)) << "shard " << shard;
    }
    EXPECT_EQ(archived.with_text, texts_);
  }
  size_t Lines() const {
    size_t lines = 0;
    if (fs::exists(folder())) {
      for (const auto& [shard, positions] : Read().positions) {
        lines += positions.size();
      }
    }
    return lines;
  }

  Klatchd klatchd_{
      {.arguments = {"--shards", std::to_string(kShards), "--partitions", "4", "--workers", "1"}}};
  Client client_{klatchd_.Channel()};
  std::set<uint64_t> texts_;  // ids of posts
};

TEST_F(KlatchArchiveTest, EveryRecordIsThereOnceOverTwoRuns) {
  const Outcome first = RunToEnd(Archiving());
  EXPECT_EQ(first.exit_code, kExitGood) << first.errors;
  EXPECT_THAT(first.output, HasSubstr("Archived "));
  ASSERT_NO_FATAL_FAILURE(ExpectWhole());
  ASSERT_NO_FATAL_FAILURE(Post(10));
  const Outcome second = RunToEnd(Archiving());
  EXPECT_EQ(second.exit_code, kExitGood) << second.errors;
  ASSERT_NO_FATAL_FAILURE(ExpectWhole());
}

TEST_F(KlatchArchiveTest, KilledInTheMiddleItGoesOnWithoutRepeatsOrGaps) {
  for (int round = 0; round < 8; ++round) {
    Process archiving(Archiving({"--follow"}), klatchd_.scratch());
    const size_t before = Lines();
    ASSERT_NO_FATAL_FAILURE(Post(40));
    // Some of it is written, more or less of it is behind a checkpoint.
    ASSERT_TRUE(Eventually([&] { return Lines() >= before + static_cast<size_t>(round) * 5; }));
    archiving.Signal(SIGKILL);
    EXPECT_EQ(archiving.AwaitEnd(), 128 + SIGKILL);
  }
  const Outcome last = RunToEnd(Archiving());
  EXPECT_EQ(last.exit_code, kExitGood) << last.errors;
  ASSERT_NO_FATAL_FAILURE(ExpectWhole());
}

TEST_F(KlatchArchiveTest, WhatIsBehindTheCheckpointIsCutBack) {
  ASSERT_EQ(RunToEnd(Archiving()).exit_code, kExitGood);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder())) {
    if (entry.path().extension() == ".jsonl") {
      files.push_back(entry.path());
    }
  }
  ASSERT_FALSE(files.empty());
  for (const fs::path& file : files) {
    std::ofstream(file, std::ios::app) << "{\"position\":\"9\"}\n{\"position\":\"torn";
  }
  // A file that was begun behind the checkpoint.
  std::ofstream(folder() / "default-1-8999999999999999999.jsonl") << "{\"position\":\"torn";
  ASSERT_EQ(RunToEnd(Archiving()).exit_code, kExitGood);
  ASSERT_NO_FATAL_FAILURE(ExpectWhole());
}

TEST_F(KlatchArchiveTest, AGapIsWrittenCountedAndExitCode1) {
  ASSERT_EQ(RunToEnd(Archiving()).exit_code, kExitGood);
  ASSERT_NO_FATAL_FAILURE(Post(20));
  auto redis = klatchd_.ConnectRedis();
  const Keys keys(Layout{"default", kShards, 4});
  std::set<uint32_t> shards;
  for (uint32_t shard = 0; shard < kShards; ++shard) {
    shards.insert(shard);
    ASSERT_TRUE(redis->Call({"XTRIM", keys.Log(ShardIndex(shard)), "MAXLEN", "=", "1"}).ok());
  }
  const Outcome gaps = RunToEnd(Archiving());
  EXPECT_EQ(gaps.exit_code, kExitMissed) << gaps.errors;
  EXPECT_THAT(gaps.output, HasSubstr("trimmed before they were read"));
  const int told = Read().gaps;
  EXPECT_GE(told, 1);
  EXPECT_LE(told, static_cast<int>(kShards));
  ASSERT_NO_FATAL_FAILURE(Post(5));
  const Outcome after = RunToEnd(Archiving());
  EXPECT_EQ(after.exit_code, kExitGood) << "a gap is told once";
  EXPECT_EQ(Read().gaps, told);
}

TEST_F(KlatchArchiveTest, SignalsEndItWithItsCheckpointWritten) {
  for (const auto& [signal, code] :
       std::map<int, int>{{SIGINT, kExitInterrupted}, {SIGTERM, kExitGood}}) {
    Process archiving(Archiving({"--follow"}), klatchd_.scratch());
    const size_t before = Lines();
    ASSERT_NO_FATAL_FAILURE(Post(10));
    ASSERT_TRUE(Eventually([&] { return Lines() >= before + 10; }));
    archiving.Signal(signal);
    EXPECT_EQ(archiving.AwaitEnd(), code) << archiving.errors();
    EXPECT_THAT(archiving.output(), HasSubstr("Archived "));
  }
  ASSERT_EQ(RunToEnd(Archiving()).exit_code, kExitGood);
  ASSERT_NO_FATAL_FAILURE(ExpectWhole());
}

TEST_F(KlatchArchiveTest, FollowsThroughARestartOfTheServer) {
  Process archiving(Archiving({"--follow", "--timeout", "0.5"}), klatchd_.scratch());
  ASSERT_TRUE(Eventually([&] { return Lines() >= 10; }));
  klatchd_.Kill();
  ASSERT_TRUE(
      Eventually([&] { return archiving.errors().find("trying again") != std::string::npos; }));
  klatchd_.Start();
  Client again(klatchd_.Channel());
  const auto posted = again.Publish("ann", "g0", "text after");
  ASSERT_THAT(posted, Succeeds());
  ASSERT_TRUE(Eventually([&] { return Read().with_text.contains(posted->update_id()); }));
  // Said once all that was missed is archived.
  EXPECT_TRUE(Eventually([&] { return archiving.errors().find("going on") != std::string::npos; }));
  archiving.Signal(SIGTERM);
  EXPECT_EQ(archiving.AwaitEnd(), kExitGood);
}

TEST_F(KlatchArchiveTest, TwoDoNotWriteOneFolderAndAnotherNamespacesIsRefused) {
  Process archiving(Archiving({"--follow"}), klatchd_.scratch());
  ASSERT_TRUE(Eventually([&] { return Lines() >= 10; }));
  const Outcome second = RunToEnd(Archiving());
  EXPECT_EQ(second.exit_code, kExitMissed);
  EXPECT_THAT(second.errors, HasSubstr("in use by process"));
  archiving.Signal(SIGTERM);
  EXPECT_EQ(archiving.AwaitEnd(), kExitGood);
  std::ofstream(folder() / "archive.json") << R"({"namespace":"other","shards":"4","logs":{}})";
  const Outcome other = RunToEnd(Archiving());
  EXPECT_EQ(other.exit_code, kExitMissed);
  EXPECT_THAT(other.errors, HasSubstr("is of namespace other"));
  fs::remove(folder() / "archive.json");
  const Outcome lost = RunToEnd(Archiving());
  EXPECT_EQ(lost.exit_code, kExitMissed);
  EXPECT_THAT(lost.errors, HasSubstr("archive to another folder"));
}

TEST_F(KlatchArchiveTest, StatusRebuildAndScrubSpeakToPeople) {
  const Outcome status = RunToEnd(Command({"status"}));
  EXPECT_EQ(status.exit_code, kExitGood) << status.errors;
  EXPECT_THAT(status.output, HasSubstr("4 of 4 held"));
  EXPECT_THAT(status.output, HasSubstr("in 4 shards"));
  v1::GetStatusResponse message;
  const Outcome json = RunToEnd(Command({"status", "--json"}));
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json.output, &message).ok());
  EXPECT_EQ(message.persons(), 1u);

  const Outcome rebuilt = RunToEnd(Command({"rebuild", "ann"}));
  EXPECT_EQ(rebuilt.exit_code, kExitGood) << rebuilt.errors;
  EXPECT_THAT(rebuilt.output, HasSubstr("rebuilt"));
  EXPECT_EQ(RunToEnd(Command({"rebuild", "nobody"})).exit_code, kExitMissed);

  EXPECT_EQ(RunToEnd(Command({"scrub"})).exit_code, kExitUsage);
  const Outcome well = RunToEnd(Command({"scrub", "--all"}));
  EXPECT_EQ(well.exit_code, kExitGood) << well.errors;
  EXPECT_EQ(well.output, "Nothing is wrong.\n");
  auto redis = klatchd_.ConnectRedis();
  const Keys keys(Layout{"default", kShards, 4});
  ASSERT_TRUE(redis->Call({"HDEL", keys.PersonGroups(PersonId("ann")), "g3"}).ok());
  const Outcome found = RunToEnd(Command({"scrub", "ann"}));
  EXPECT_EQ(found.exit_code, kExitMissed);
  EXPECT_THAT(found.output, HasSubstr("membership missing: person ann group g3"));
  EXPECT_EQ(RunToEnd(Command({"scrub", "--all", "--repair"})).exit_code, kExitGood);
  EXPECT_EQ(RunToEnd(Command({"scrub", "ann"})).output, "Nothing is wrong.\n");
}

}  // namespace
}  // namespace klatch::testing
