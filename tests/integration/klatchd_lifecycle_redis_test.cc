// How a klatchd begins and ends when something is in its way: calls that can't be answered, a Redis
// that is silent, out of memory or only just starting, a log that can't be followed.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <climits>
#include <fstream>
#include <future>

#include "services/materialize/stored_ring.h"
#include "services/model/keys.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

constexpr int kExitGood = 0;
constexpr int kExitMissed = 1;
constexpr int kExitConfiguration = 2;

// The end of a klatchd that has nothing to wait for: well below what the longest step in its way
// would take, which is a call's deadline, a lease or a drain's time of 10 s and more.
constexpr seconds kQuickEnd{5};

// Terminates, and says how long that took.
std::pair<int, steady_clock::duration> TimedEnd(Klatchd& klatchd) {
  const auto begin = steady_clock::now();
  const int exit_code = klatchd.Terminate();
  return {exit_code, steady_clock::now() - begin};
}

std::vector<std::string> Small(std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--shards", "4", "--partitions", "4", "--workers", "1"});
  return more;
}

Layout SmallLayout() {
  Layout layout;
  layout.shard_count = 4;
  layout.partition_count = 4;
  return layout;
}

// Reads that wait for what nobody has posted. Each has a connection of its own.
class UnreachableReads {
 public:
  UnreachableReads(const Klatchd& klatchd, int count) {
    for (int i = 0; i < count; ++i) {
      reads_.push_back(std::async(std::launch::async, [&klatchd] {
        Client client(klatchd.Channel());
        Tokens tokens;
        tokens.Add()->set_position(uint64_t{1} << 62);
        return client.Home("ann", tokens).status;
      }));
    }
    EXPECT_TRUE(Eventually([&] {
      const std::string metrics = klatchd.Get("/metrics").second;
      return metrics.find(fmt::format("\nklatch_calls_under_way {}\n", count)) != std::string::npos;
    })) << klatchd.Get("/metrics").second;
  }

  void ExpectUnavailable() {
    for (auto& read : reads_) {
      const grpc::Status status = read.get();
      EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE) << status.error_message();
      EXPECT_THAT(status.error_message(), HasSubstr("stopping or loading again"));
    }
  }

 private:
  std::vector<std::future<grpc::Status>> reads_;
};

TEST(KlatchdDrainTest, ReadsThatCannotBeAnsweredLeaveTimeToFlush) {
  Klatchd klatchd({.arguments = Small({"--flush-interval", "2s"})});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  UnreachableReads reads(klatchd, 20);
  const auto posted = client.Publish("ann", "g", "flushed at the end");
  ASSERT_THAT(posted, Succeeds());
  const auto [exit_code, took] = TimedEnd(klatchd);
  EXPECT_EQ(exit_code, kExitGood) << klatchd.process().errors();
  EXPECT_LT(took, kQuickEnd);
  EXPECT_EQ(klatchd.RedisProcess(), 0);
  reads.ExpectUnavailable();
}

TEST(KlatchdDrainTest, ReadsThatCannotBeAnsweredDoNotDelayALoadingAgain) {
  Klatchd klatchd({.arguments = Small()});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  UnreachableReads reads(klatchd, 1);
  ASSERT_EQ(kill(klatchd.RedisProcess(), SIGKILL), 0);
  const auto begin = steady_clock::now();
  reads.ExpectUnavailable();
  // A connection of its own each time: one that was refused waits seconds before it tries again.
  EXPECT_TRUE(Eventually(
      [&] { return Client(klatchd.Channel()).Publish("ann", "g", "writable again").ok(); }));
  EXPECT_LT(steady_clock::now() - begin, kQuickEnd);
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

int ConnectTo(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  return fd;
}

TEST(KlatchdDrainTest, IdleConnectionsDoNotDelayTheEnd) {
  Klatchd klatchd({.arguments = Small(), .listen = Klatchd::Listen::kTcp});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  // One that says nothing, and one that began as HTTP/2 does and then fell silent.
  const int silent = ConnectTo(klatchd.address());
  const int begun = ConnectTo(klatchd.address());
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  ASSERT_EQ(send(begun, preface.data(), preface.size(), MSG_NOSIGNAL), 33);
  char settings[9];
  ASSERT_GT(recv(begun, settings, sizeof(settings), 0), 0);
  const auto [exit_code, took] = TimedEnd(klatchd);
  EXPECT_EQ(exit_code, kExitGood) << klatchd.process().errors();
  EXPECT_LT(took, kQuickEnd);
  close(silent);
  close(begun);
}

// core(5): which mappings of a process a dump of it holds, a bit for each kind.
unsigned long DumpedMappings(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/coredump_filter", process));
  unsigned long kinds = ULONG_MAX;
  file >> std::hex >> kinds;
  return kinds;
}

TEST(KlatchdBeginTest, CoreDumpsHoldNothingOfMemoryUnlessAsked) {
  {
    Klatchd klatchd({.arguments = Small()});
    EXPECT_EQ(DumpedMappings(klatchd.process().id()), 0u);
    EXPECT_EQ(DumpedMappings(klatchd.RedisProcess()), 0u);
  }
  Klatchd klatchd({.arguments = Small({"--core-dumps"})});
  EXPECT_EQ(DumpedMappings(klatchd.process().id()), DumpedMappings(getpid()));
  EXPECT_EQ(DumpedMappings(klatchd.RedisProcess()), DumpedMappings(getpid()));
}

TEST(KlatchdDrainTest, TimeoutHoldsThoughRedisIsSilent) {
  // Several calls to Redis stand in the way, each of which alone may take 20 s.
  Klatchd klatchd({.arguments = Small({"--drain-timeout", "1s", "--redis-call-timeout", "20s"})});
  const pid_t redis = klatchd.RedisProcess();
  ASSERT_EQ(kill(redis, SIGSTOP), 0);
  const auto [exit_code, took] = TimedEnd(klatchd);
  EXPECT_EQ(exit_code, kExitMissed);
  EXPECT_LT(took, kQuickEnd);
  EXPECT_THAT(klatchd.process().errors(), HasSubstr("within --drain-timeout"));
  EXPECT_EQ(klatchd.RedisProcess(), redis);
}

TEST(KlatchdDrainTest, LogThatCannotBeFollowedIsLeftAndTheRestFlushed) {
  RedisServer server;
  Klatchd klatchd(
      {.arguments = Small({"--flush-interval", "2s", "--redis", server.address().ToString()})});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  const auto posted = client.Publish("ann", "g", "applied");
  ASSERT_THAT(client.Home("ann", posted->tokens()), Succeeds());
  const Keys keys(SmallLayout());
  auto redis = server.Connect();
  const std::string log = keys.Log(UpdateId(posted->update_id()).shard());
  ASSERT_TRUE(redis->Call({"XADD", log, "2199023255550-0", "r", "\xff\xff\xff"}).ok());
  EXPECT_EQ(klatchd.process().AwaitEnd(), kExitConfiguration) << klatchd.process().errors();
  EXPECT_THAT(klatchd.process().errors(), HasSubstr(R"("exit_code":2)"));
  const auto timeline = redis->Call({"GET", keys.Timeline(PersonId("ann"))});
  ASSERT_TRUE(timeline.ok()) << timeline.status();
  EXPECT_THAT(UnpackIds(timeline->text()), ::testing::Contains(posted->update_id()));
}

TEST(KlatchdBeginTest, ServerThatAKilledNodeHadOnlyJustStartedIsNotDoubled) {
  const TemporaryDirectory directory;
  const std::string program = (directory.path() / "slow-redis-server").string();
  const std::string began = (directory.path() / "began").string();
  const std::string go = (directory.path() / "go").string();
  std::ofstream(program) << fmt::format(
      "#!/bin/sh\necho $$ >>{}\nwhile [ ! -e {} ]; do sleep 0.02; done\nexec redis-server \"$@\"\n",
      began, go);
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  Klatchd klatchd(
      {.arguments = Small({"--redis-server", program}), .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(began); }));
  klatchd.Kill();
  klatchd.Launch();
  klatchd.AwaitMetrics();
  EXPECT_TRUE(Eventually([&] {
    return klatchd.Get("/readyz").second.find("that was left in") != std::string::npos;
  })) << klatchd.Get("/readyz").second;
  std::ofstream(go).close();
  klatchd.AwaitServing();
  EXPECT_THAT(klatchd.process().errors(), HasSubstr("adopted the redis-server that was running"));
  std::ifstream starts(began);
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(starts), {}, '\n'), 1);
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
  EXPECT_EQ(klatchd.RedisProcess(), 0);
}

TEST(KlatchdBeginTest, SignalEndsTheWaitForASilentRedisThatWasLeft) {
  Klatchd klatchd({.arguments = Small()});
  const pid_t redis = klatchd.RedisProcess();
  klatchd.Kill();
  ASSERT_EQ(kill(redis, SIGSTOP), 0);
  klatchd.Launch();
  klatchd.AwaitMetrics();
  EXPECT_TRUE(Eventually([&] {
    const auto ready = klatchd.Get("/readyz");
    return ready.first == 503 && ready.second.find("that was left in") != std::string::npos;
  })) << klatchd.Get("/readyz").second;
  const auto [exit_code, took] = TimedEnd(klatchd);
  EXPECT_EQ(exit_code, kExitGood);
  EXPECT_LT(took, kQuickEnd);
  EXPECT_EQ(klatchd.RedisProcess(), redis) << "it isn't this start's to end";
}

TEST(KlatchdBeginTest, SignalEndsARedisThatThisStartBegan) {
  const TemporaryDirectory directory;
  const std::string program = (directory.path() / "sleeper").string();
  std::ofstream(program) << "#!/bin/sh\nexec sleep 1000\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  Klatchd klatchd(
      {.arguments = Small({"--redis-server", program}), .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  ASSERT_TRUE(Eventually([&] { return klatchd.RedisProcess() != 0; }));
  const auto [exit_code, took] = TimedEnd(klatchd);
  EXPECT_EQ(exit_code, kExitGood);
  EXPECT_LT(took, kQuickEnd);
  EXPECT_EQ(klatchd.RedisProcess(), 0);
}

TEST(KlatchdBeginTest, SignalEndsTheWaitForAnothersLease) {
  RedisServer redis;
  const std::vector<std::string> arguments =
      Small({"--redis", redis.address().ToString(), "--lease-duration", "60s"});
  Klatchd first({.arguments = arguments});
  Klatchd second({.arguments = arguments, .begin = Klatchd::Begin::kNotStarted});
  second.Launch();
  second.AwaitMetrics();
  EXPECT_TRUE(Eventually(
      [&] { return second.Get("/readyz").second.find("loading") != std::string::npos; }));
  const auto [exit_code, took] = TimedEnd(second);
  EXPECT_EQ(exit_code, kExitGood);
  EXPECT_LT(took, kQuickEnd);
  EXPECT_EQ(first.Terminate(), kExitGood);
}

TEST(KlatchdBeginTest, ASocketThatIsListenedOnIsLeftAlone) {
  Klatchd first({.arguments = Small({})});
  Klatchd second(
      {.arguments = Small({"--listen", first.address()}), .begin = Klatchd::Begin::kNotStarted});
  second.Launch();
  EXPECT_TRUE(Eventually([&] { return !second.process().running(); }));
  EXPECT_THAT(second.process().errors(), ::testing::HasSubstr("the address is taken"));
  EXPECT_THAT(Client(first.Channel()).Home("ann"), Succeeds());
  // One that was left behind is no hindrance.
  first.Kill();
  first.Start();
  EXPECT_THAT(Client(first.Channel()).Home("ann"), Succeeds());
  EXPECT_EQ(first.Terminate(), kExitGood) << first.process().errors();
}

TEST(KlatchdBeginTest, RedisOutOfMemoryIsWaitedFor) {
  RedisServer redis({.persistence = {}, .arguments = {"--maxmemory", "1"}});
  Klatchd klatchd({.arguments = Small({"--redis", redis.address().ToString()}),
                   .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  klatchd.AwaitMetrics();
  EXPECT_TRUE(Eventually([&] {
    return klatchd.Get("/readyz").second.find("OOM") != std::string::npos ||
           !klatchd.process().running();
  }));
  ASSERT_TRUE(klatchd.process().running()) << klatchd.process().errors();
  ASSERT_TRUE(redis.Connect()->Call({"CONFIG", "SET", "maxmemory", "0"}).ok());
  klatchd.AwaitServing();
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

TEST(KlatchdReadinessTest, LogThatIsNotHeardIsAReason) {
  Klatchd klatchd({.arguments = Small({"--stale-after", "300ms"})});
  ASSERT_EQ(klatchd.Get("/readyz").first, 200);
  const pid_t redis = klatchd.RedisProcess();
  ASSERT_EQ(kill(redis, SIGSTOP), 0);
  EXPECT_TRUE(Eventually([&] {
    const auto ready = klatchd.Get("/readyz");
    return ready.first == 503 && ready.second.find("the log was not heard") != std::string::npos;
  })) << klatchd.Get("/readyz").second;
  ASSERT_EQ(kill(redis, SIGCONT), 0);
  EXPECT_TRUE(Eventually([&] { return klatchd.Get("/readyz").first == 200; }))
      << klatchd.Get("/readyz").second;
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

TEST(KlatchdReadinessTest, TimelinesThatCannotBeWrittenAreAReason) {
  RedisServer redis;
  Klatchd klatchd({.arguments = Small({"--redis", redis.address().ToString(), "--flush-interval",
                                       "1s", "--admission-flush-age", "1100ms"})});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "g"), Succeeds());
  auto connection = redis.Connect();
  const auto set_memory = [&](const char* bytes) {
    EXPECT_TRUE(connection->Call({"CONFIG", "SET", "maxmemory", bytes}).ok());
  };
  // Again if a flush came between the post and the end of memory.
  EXPECT_TRUE(Eventually([&] {
    set_memory("0");
    EXPECT_THAT(client.Publish("ann", "g", "not written yet"), Succeeds());
    set_memory("1");
    return Eventually(
        [&] {
          const auto ready = klatchd.Get("/readyz");
          return ready.first == 503 &&
                 ready.second.find("timelines can't be written: ") != std::string::npos;
        },
        seconds(10));
  })) << klatchd.Get("/readyz").second;
  set_memory("0");
  EXPECT_TRUE(Eventually([&] { return klatchd.Get("/readyz").first == 200; }))
      << klatchd.Get("/readyz").second;
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

}  // namespace
}  // namespace klatch::testing
