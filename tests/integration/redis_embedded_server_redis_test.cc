// The node's own redis-server: start, adopt, lock, stop.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/file_lock.h"
#include "common/redis/connection.h"
#include "common/redis/embedded_server.h"
#include "tests/integration/fake_peer.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kStopMax{10000};

class EmbeddedServerRedisTest : public ::testing::Test {
 protected:
  EmbeddedServer::Options Options() const {
    EmbeddedServer::Options options;
    options.data_dir = directory_.path().string();
    return options;
  }

  std::unique_ptr<EmbeddedServer> StartOrAdopt() {
    auto server = EmbeddedServer::StartOrAdopt(Options(), {});
    EXPECT_TRUE(server.ok()) << server.status();
    if (!server.ok()) {
      return nullptr;
    }
    process_id_ = (*server)->process_id();
    return *std::move(server);
  }

  void TearDown() override {
    if (process_id_ > 0 && kill(process_id_, SIGKILL) == 0) {
      waitpid(process_id_, nullptr, 0);
    }
  }

  testing::TemporaryDirectory directory_;
  // The server that may still run; 0 if none.
  pid_t process_id_ = 0;
};

TEST_F(EmbeddedServerRedisTest, StartsAppendOnlyInItsOwnProcessGroupAndStopLeavesNothing) {
  auto server = StartOrAdopt();
  ASSERT_NE(server, nullptr);
  EXPECT_FALSE(server->adopted());
  EXPECT_EQ(getpgid(server->process_id()), server->process_id());
  auto connection = Connection::Connect(server->address(), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  auto config = (*connection)->Call({"CONFIG", "GET", "appendonly"});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ((*config)[1].text(), "yes");
  EXPECT_EQ((*(*connection)->Call({"CONFIG", "GET", "save"}))[1].text(), "");
  EXPECT_EQ((*(*connection)->Call({"CONFIG", "GET", "appendfsync"}))[1].text(), "everysec");
  const pid_t process_id = server->process_id();
  ASSERT_TRUE(server->Stop(kStopMax).ok());
  EXPECT_NE(kill(process_id, 0), 0);
  EXPECT_FALSE(std::filesystem::exists(server->address().socket_path));
  EXPECT_TRUE(server->Stop(kStopMax).ok());
  process_id_ = 0;
}

TEST_F(EmbeddedServerRedisTest, NextOwnerAdoptsTheServerThatWasLeftAndItsData) {
  auto first = StartOrAdopt();
  ASSERT_NE(first, nullptr);
  const pid_t process_id = first->process_id();
  auto connection = Connection::Connect(first->address(), {});
  ASSERT_TRUE((*connection)->Call({"SET", "k", "v"}).ok());
  first.reset();
  auto second = StartOrAdopt();
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(second->adopted());
  EXPECT_EQ(second->process_id(), process_id);
  EXPECT_EQ((*connection)->Call({"GET", "k"})->text(), "v");
  EXPECT_TRUE(second->Stop(kStopMax).ok());
  EXPECT_NE(kill(process_id, 0), 0);
}

TEST_F(EmbeddedServerRedisTest, DataSurvivesStopAndStart) {
  auto first = StartOrAdopt();
  ASSERT_NE(first, nullptr);
  auto connection = Connection::Connect(first->address(), {});
  ASSERT_TRUE((*connection)->Call({"SET", "k", "v"}).ok());
  ASSERT_TRUE(first->Stop(kStopMax).ok());
  first.reset();
  auto second = StartOrAdopt();
  ASSERT_NE(second, nullptr);
  EXPECT_FALSE(second->adopted());
  ASSERT_TRUE((*connection)->Reconnect().ok());
  EXPECT_EQ((*connection)->Call({"GET", "k"})->text(), "v");
  EXPECT_TRUE(second->Stop(kStopMax).ok());
}

TEST_F(EmbeddedServerRedisTest, KilledServerLeavesASocketThatDoesNotHinderTheNext) {
  auto first = StartOrAdopt();
  ASSERT_NE(first, nullptr);
  kill(first->process_id(), SIGKILL);
  waitpid(first->process_id(), nullptr, 0);
  ASSERT_TRUE(std::filesystem::exists(first->address().socket_path));
  first.reset();
  auto second = StartOrAdopt();
  ASSERT_NE(second, nullptr);
  EXPECT_FALSE(second->adopted());
  EXPECT_TRUE(second->Stop(kStopMax).ok());
}

TEST_F(EmbeddedServerRedisTest, SecondOwnerIsRefusedWithTheFirstOnesProcess) {
  auto first = StartOrAdopt();
  ASSERT_NE(first, nullptr);
  absl::Status status = EmbeddedServer::StartOrAdopt(Options(), {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("in use by process " + std::to_string(getpid())));
  EXPECT_TRUE(first->Stop(kStopMax).ok());
}

TEST_F(EmbeddedServerRedisTest, ServerDoesNotInheritTheLock) {
  auto first = StartOrAdopt();
  ASSERT_NE(first, nullptr);
  first.reset();
  EXPECT_TRUE(base::FileLock::Acquire((directory_.path() / "lock").string()).ok());
}

// A watch that gives up after it was told `times` times why the server is not ready; the reasons.
struct Impatience {
  EmbeddedServer::Watch watch() {
    return {.interrupted = [this] { return reasons.size() >= times; },
            .waiting = [this](const std::string& reason) { reasons.push_back(reason); }};
  }
  size_t times = 1;
  std::vector<std::string> reasons;
};

TEST_F(EmbeddedServerRedisTest, FrozenServerIsWaitedForNotDoubled) {
  auto first = StartOrAdopt();
  ASSERT_NE(first, nullptr);
  kill(process_id_, SIGSTOP);
  waitpid(process_id_, nullptr, WUNTRACED);
  first.reset();
  // Without what else tells of it: the lock is enough.
  ASSERT_TRUE(std::filesystem::remove(directory_.path() / "redis" / "redis.pid"));
  Impatience impatience{.times = 2, .reasons = {}};
  absl::Status status = EmbeddedServer::StartOrAdopt(Options(), impatience.watch()).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_THAT(impatience.reasons, ::testing::Each(HasSubstr("that was left in")));
  kill(process_id_, SIGCONT);
  auto second = StartOrAdopt();
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(second->adopted());
}

TEST_F(EmbeddedServerRedisTest, ServerOfAnInterruptedStartIsEnded) {
  const std::string program = (directory_.path() / "slow").string();
  const std::string began = (directory_.path() / "began").string();
  std::ofstream(program) << "#!/bin/sh\necho $$ >" << began << "\nexec sleep 1000\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  EmbeddedServer::Options options = Options();
  options.program = program;
  pid_t child = 0;
  std::string reason;
  const EmbeddedServer::Watch watch = {
      .interrupted = [&] { return std::ifstream(began) >> child && child != 0; },
      .waiting = [&](const std::string& why) { reason = why; }};
  absl::Status status = EmbeddedServer::StartOrAdopt(options, watch).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_NE(reason, "");
  EXPECT_NE(kill(child, 0), 0);
  // Nothing holds the directory any more.
  auto next = StartOrAdopt();
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(next->Stop(kStopMax).ok());
}

TEST_F(EmbeddedServerRedisTest, StopEndsEvenAFrozenServer) {
  auto server = StartOrAdopt();
  ASSERT_NE(server, nullptr);
  const pid_t process_id = server->process_id();
  kill(process_id, SIGSTOP);
  EXPECT_TRUE(server->Stop(milliseconds(100)).ok());
  EXPECT_NE(kill(process_id, 0), 0);
}

TEST_F(EmbeddedServerRedisTest, MissingProgramSaysHowToInstallIt) {
  EmbeddedServer::Options options = Options();
  options.program = "/nonexistent/redis-server";
  absl::Status status = EmbeddedServer::StartOrAdopt(options, {}).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(base::MessageOf(status),
            "redis-server is not installed (apt-get install redis-server)");
}

TEST_F(EmbeddedServerRedisTest, ProgramThatEndsAtOnceIsReportedWithItsLog) {
  const std::string program = (directory_.path() / "broken").string();
  std::ofstream(program) << "#!/bin/sh\necho out of luck\nexit 3\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  EmbeddedServer::Options options = Options();
  options.program = program;
  absl::Status status = EmbeddedServer::StartOrAdopt(options, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("exit status 3"));
  EXPECT_THAT(base::MessageOf(status), HasSubstr("out of luck"));
}

TEST_F(EmbeddedServerRedisTest, TooLongPathIsRefusedBeforeAnythingStarts) {
  EmbeddedServer::Options options = Options();
  options.data_dir += "/" + std::string(120, 'x');
  absl::Status status = EmbeddedServer::StartOrAdopt(options, {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("may have 107"));
}

TEST_F(EmbeddedServerRedisTest, StrangeRedisOnTheSocketIsNotAdopted) {
  testing::RedisServer stranger;
  std::filesystem::create_symlink(stranger.address().socket_path, directory_.path() / "redis.sock");
  absl::Status status = EmbeddedServer::StartOrAdopt(Options(), {}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::MessageOf(status), HasSubstr("another Redis"));
}

}  // namespace
}  // namespace klatch::redis
