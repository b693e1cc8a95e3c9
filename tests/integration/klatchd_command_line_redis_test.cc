// Command line, configuration and Redis, good and bad (QUALITY: Bad inputs): the exit codes of
// DESIGN section 9, one line that says what is wrong, nothing left running.

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "services/model/keys.h"
#include "tests/integration/fake_peer.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_contents.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kExitGood = 0;
constexpr int kExitConfiguration = 2;
constexpr int kExitPrerequisite = 3;
constexpr int kExitUnreachable = 4;

// Runs klatchd to its end.
Outcome RunKlatchd(std::vector<std::string> arguments, std::vector<std::string> variables = {}) {
  arguments.insert(arguments.begin(), KlatchdProgram());
  return RunToEnd(std::move(arguments), std::move(variables));
}

std::string WriteFile(const TemporaryDirectory& directory, const std::string& text) {
  const std::string path = (directory.path() / "klatchd.toml").string();
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(KlatchdCommandLineTest, MistakesEndItWithOneLineAndExitCode2) {
  struct Mistake {
    std::vector<std::string> arguments;
    std::string says;
    std::vector<std::string> variables = {};
  };
  const std::vector<Mistake> mistakes = {
      {{"--lisen", "127.0.0.1:0"}, "did you mean --listen?"},
      {{"--roles=foo"}, "unknown option --roles"},
      {{"-x"}, "options start with two dashes"},
      {{"extra"}, "unexpected argument"},
      {{"--listen"}, "--listen needs a value"},
      {{"--listen", "127.0.0.1:-1"}, "from 0 to 65535"},
      {{"--listen", "127.0.0.1:65536"}, "from 0 to 65535"},
      {{"--listen", "127.0.0.1:abc"}, "from 0 to 65535"},
      {{"--listen", "0.0.0.0:0"}, "--insecure"},
      {{"--metrics-listen", "0.0.0.0:0"}, "--insecure"},
      {{"--redis", "localhost"}, "redis://"},
      {{"--check-config", "--redis", "redis://h:99999"}, "from 1 to 65535"},
      {{"--flush-interval", "1"}, "with its unit"},
      {{"--pull-above", "-1"}, "--pull-above"},
      {{"--pull-above", "many"}, "--pull-above"},
      {{"--pull-above", "100000001"}, "--pull-above"},
      {{"--quiet-after", "30"}, "with its unit"},
      {{"--quiet-after", "-1s"}, "--quiet-after"},
      {{"--quiet-after", "100000h"}, "--quiet-after"},
      {{"--flush-interval", "1parsec"}, "with its unit"},
      {{"--flush-interval", "99999999999999999999h"}, "--flush-interval"},
      {{"--shards", "0"}, "1..1024"},
      {{"--shards", "1025"}, "1..1024"},
      {{"--shards", "99999999999999999999"}, "more than 64 bits"},
      {{"--flush-interval", "5s"}, "must be less than --lease-duration"},
      {{"--check-config", "--shards", "x"}, "--shards"},
      {{}, "KLATCH_SHARDS", {"KLATCH_SHARDS=many"}},
  };
  for (const Mistake& mistake : mistakes) {
    const Outcome outcome = RunKlatchd(mistake.arguments, mistake.variables);
    SCOPED_TRACE(mistake.says);
    EXPECT_EQ(outcome.exit_code, kExitConfiguration);
    EXPECT_EQ(outcome.output, "");
    EXPECT_THAT(outcome.errors, HasSubstr(mistake.says));
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1);
  }
}

TEST(KlatchdCommandLineTest, FilesWithMistakesEndItWithOneLineAndExitCode2) {
  const TemporaryDirectory directory;
  const auto expect_mistake = [](const std::string& path, const std::string& says) {
    const Outcome outcome = RunKlatchd({"--config", path, "--check-config"});
    EXPECT_EQ(outcome.exit_code, kExitConfiguration);
    EXPECT_EQ(outcome.output, "");
    EXPECT_THAT(outcome.errors, HasSubstr(path));
    EXPECT_THAT(outcome.errors, HasSubstr(says));
    EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1) << outcome.errors;
  };
  const std::vector<std::pair<std::string, std::string>> files = {
      {"\nlisen = \"127.0.0.1:0\"", ":2: unknown key \"lisen\"; did you mean listen?"},
      {"shards = 8\nshards = 9", ":2: \"Error while parsing key-value pair: cannot redefine"},
      {"flush-interval = \"1 fortnight\"", ":1: flush-interval is \"1 fortnight\", wants a number"},
      {"flush-interval = 250", ":1: flush-interval is a number, wants a string with a number and"},
      {"flush-interval = \"99999999999999999999h\"", "is more than 64 bits hold"},
      {"body-cache = \"99999999999TiB\"", "is more than 64 bits hold"},
      {"body-cache = \"512Mb\"", ":1: body-cache is \"512Mb\", wants a number with its unit"},
      {"shards = 99999999999999999999999", ":1: "},
      {"shards = 9223372036854775807", ":1: shards is \"9223372036854775807\", wants 1..1024"},
      {"shards = \"many\"", ":1: shards is a string, wants a whole number"},
      {"redis = \"redis://h:0\"", ":1: redis is "},
      {"shards = [", ":1: "},
      {std::string("\0\1\2\xff", 4), "is not UTF-8 text"},
      {std::string(100 << 20, '#'), "has more than 1MiB"},
  };
  for (const auto& [text, says] : files) {
    SCOPED_TRACE(text.substr(0, 60));
    expect_mistake(WriteFile(directory, text), says);
  }
  expect_mistake((directory.path() / "missing").string(), "No such file or directory");
  expect_mistake(directory.path().string(), "Is a directory");
  EXPECT_EQ(RunKlatchd({"--config", WriteFile(directory, ""), "--check-config"}).exit_code,
            kExitGood);
}

TEST(KlatchdCommandLineTest, PrintConfigNamesEachSourceAndCanBeReadBack) {
  const TemporaryDirectory directory;
  const std::string file = WriteFile(directory, "shards = 8\npartitions = 16\nworkers = 3\n");
  const Outcome printed = RunKlatchd({"--config", file, "--print-config", "--workers", "1",
                                      "--redis", "redis://klatch:very-secret@127.0.0.1:1"},
                                     {"KLATCH_PARTITIONS=32", "KLATCH_WORKERS=2"});
  ASSERT_EQ(printed.exit_code, kExitGood) << printed.errors;
  EXPECT_THAT(printed.output, HasSubstr("shards = 8"));
  EXPECT_THAT(printed.output, HasSubstr("partitions = 32"));
  EXPECT_THAT(printed.output, HasSubstr("workers = 1"));
  EXPECT_EQ(printed.output.find("very-secret"), std::string::npos);
  const Outcome checked =
      RunKlatchd({"--config", WriteFile(directory, printed.output), "--check-config"});
  EXPECT_EQ(checked.exit_code, kExitGood) << checked.errors;

  const Outcome help = RunKlatchd({"--help"});
  EXPECT_EQ(help.exit_code, kExitGood);
  EXPECT_THAT(help.output, HasSubstr("--drain-timeout"));
  EXPECT_THAT(RunKlatchd({"--version"}).output, HasSubstr("klatchd "));
}

TEST(KlatchdCommandLineTest, UnknownVariablesAreToldAndFailNothing) {
  const std::vector<std::string> variables = {"KLATCH_LISEN=unix:/x",
                                              "KLATCH_SERVICE_HOST=10.0.0.1"};
  for (const std::string flag : {"--check-config", "--print-config"}) {
    const Outcome outcome = RunKlatchd({flag}, variables);
    SCOPED_TRACE(flag);
    EXPECT_EQ(outcome.exit_code, kExitGood);
    EXPECT_EQ(outcome.errors,
              "klatchd: \"KLATCH_LISEN\" names no option of klatchd and is ignored; did you mean "
              "KLATCH_LISTEN?\n"
              "klatchd: \"KLATCH_SERVICE_HOST\" names no option of klatchd and is ignored\n");
    EXPECT_EQ(outcome.output.find("klatchd: "), std::string::npos) << outcome.output;
  }
  // Here it is the mistake.
  const Outcome refused =
      RunKlatchd({"--listen", "0.0.0.0:0", "--check-config"}, {"KLATCH_INSECUR=true"});
  EXPECT_EQ(refused.exit_code, kExitConfiguration);
  EXPECT_THAT(refused.errors, HasSubstr("did you mean KLATCH_INSECURE?"));
}

// A klatchd that can't start: its exit code, and what its log says of the reason.
void ExpectRefusesToStart(std::vector<std::string> arguments, int exit_code,
                          const std::string& says) {
  Klatchd klatchd({.arguments = std::move(arguments), .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  EXPECT_EQ(klatchd.process().AwaitEnd(), exit_code) << klatchd.process().errors();
  EXPECT_THAT(klatchd.process().errors(), HasSubstr(says));
  EXPECT_EQ(klatchd.RedisProcess(), 0);
}

TEST(KlatchdStartTest, WithoutArgumentsTheEnvironmentIsEnough) {
  const TemporaryDirectory directory;
  const auto at = [&](const char* name) { return (directory.path() / name).string(); };
  Process klatchd({KlatchdProgram()}, directory.path(),
                  {"KLATCH_DATA_DIR=" + at("data"), "KLATCH_LISTEN=unix:" + at("klatchd.sock"),
                   "KLATCH_METRICS_LISTEN=127.0.0.1:0",
                   // As Kubernetes sets them beside a Service named klatch.
                   "KLATCH_SERVICE_HOST=10.0.0.1", "KLATCH_PORT=tcp://10.0.0.1:7420"});
  EXPECT_TRUE(Eventually([&] {
    return klatchd.errors().find(R"("msg":"serving")") != std::string::npos || !klatchd.running();
  }));
  ASSERT_TRUE(klatchd.running()) << klatchd.errors();
  EXPECT_THAT(klatchd.errors(), HasSubstr("KLATCH_SERVICE_HOST"));
  klatchd.Signal(SIGTERM);
  EXPECT_EQ(klatchd.AwaitEnd(), kExitGood) << klatchd.errors();
}

TEST(KlatchdStartTest, SixtyFourDescriptorsAreEnoughToServeAndToDrain) {
  Klatchd klatchd({.arguments = {},
                   .listen = Klatchd::Listen::kUnixSocket,
                   .begin = Klatchd::Begin::kServing,
                   .prefix = {"/bin/sh", "-c", R"(ulimit -n 64 && exec "$0" "$@")"}});
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "few"), Succeeds());
  const auto posted = client.Publish("ann", "few", "room for all of us");
  ASSERT_THAT(posted, Succeeds());
  EXPECT_THAT(TextsOf(*client.Home("ann", posted->tokens())),
              ::testing::ElementsAre("room for all of us"));
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

TEST(KlatchdStartTest, MissingRedisServerIsAMissingPrerequisite) {
  ExpectRefusesToStart({"--redis-server", "/nonexistent/redis-server"}, kExitPrerequisite,
                       "redis-server is not installed (apt-get install redis-server)");
}

TEST(KlatchdStartTest, RedisServerThatIsNoneIsToldByItsLog) {
  ExpectRefusesToStart({"--redis-server", "/bin/false"}, kExitConfiguration,
                       "redis-server ended at its start");
}

TEST(KlatchdStartTest, DataDirectoryThatCannotBeMadeIsRefused) {
  ExpectRefusesToStart({"--data-dir", "/dev/null/klatch"}, kExitConfiguration, "/dev/null/klatch");
  ExpectRefusesToStart({"--data-dir", "/dev/null/klatch", "--redis", "redis://127.0.0.1:1"},
                       kExitConfiguration, "/dev/null/klatch");
  ExpectRefusesToStart({"--data-dir", "/tmp/" + std::string(200, 'x')}, kExitConfiguration,
                       "too long");
}

TEST(KlatchdStartTest, TakenPortIsAServerThatCannotBeReached) {
  Klatchd first({.arguments = {}, .listen = Klatchd::Listen::kTcp});
  ExpectRefusesToStart({"--listen", first.address()}, kExitUnreachable, first.address());
  const std::string metrics = fmt::format("127.0.0.1:{}", first.metrics_port());
  ExpectRefusesToStart({"--metrics-listen", metrics}, kExitUnreachable, metrics);
  ExpectRefusesToStart({"--listen", "unix:/nonexistent/socket"}, kExitUnreachable,
                       "unix:/nonexistent/socket");
  EXPECT_EQ(first.Terminate(), kExitGood);
}

TEST(KlatchdStartTest, SecondNodeOnADataDirectoryIsRefusedAndTheFirstServesOn) {
  Klatchd first;
  ExpectRefusesToStart({"--data-dir", first.data_dir().string()}, kExitConfiguration,
                       fmt::format("in use by process {}", first.process().id()));
  ExpectRefusesToStart({"--data-dir", first.data_dir().string(), "--redis", "redis://127.0.0.1:1"},
                       kExitConfiguration,
                       fmt::format("in use by process {}", first.process().id()));
  Client client(first.Channel());
  EXPECT_THAT(client.CreateGroup("ann", "still here"), Succeeds());
  EXPECT_EQ(first.Terminate(), kExitGood);
  EXPECT_EQ(first.RedisProcess(), 0);
}

TEST(KlatchdStartTest, CountsCannotChangeAfterTheFirstStart) {
  RedisServer redis;
  const std::string address = redis.address().ToString();
  const auto with = [&](const char* option, const char* count) {
    return std::vector<std::string>{"--redis",      address, "--shards", "4",
                                    "--partitions", "4",     option,     count};
  };
  const auto serves = [&](const std::vector<std::string>& arguments) {
    Klatchd klatchd({.arguments = arguments});
    EXPECT_EQ(klatchd.Terminate(), kExitGood);
  };
  serves(with("--workers", "1"));
  ExpectRefusesToStart(with("--shards", "8"), kExitConfiguration,
                       "shards is 4 in Redis but 8 is configured");
  ExpectRefusesToStart(with("--partitions", "2"), kExitConfiguration,
                       "partitions is 4 in Redis but 2 is configured");
  serves(with("--workers", "2"));
}

TEST(KlatchdStartTest, RedisThatKlatchCannotStandOnIsRefusedWithItsReason) {
  struct Unfit {
    std::vector<std::string> redis;
    std::string password;
    std::string says;
  };
  const std::vector<Unfit> rows = {
      {{"--replicaof", "127.0.0.1 1"}, "", "a replica of 127.0.0.1:1; give the address of the"},
      {{"--requirepass", "right"}, "", "needs a password"},
      {{"--requirepass", "right"}, ":wrong@", "WRONGPASS"},
      {{"--maxmemory-policy", "allkeys-lru"}, "", "set maxmemory-policy noeviction"},
  };
  for (const Unfit& row : rows) {
    SCOPED_TRACE(row.says);
    RedisServer redis({.persistence = {}, .arguments = row.redis});
    const std::string uri = fmt::format("unix://{}{}", row.password, redis.address().socket_path);
    Klatchd klatchd({.arguments = {"--redis", uri}, .begin = Klatchd::Begin::kNotStarted});
    klatchd.Launch();
    EXPECT_EQ(klatchd.process().AwaitEnd(), kExitConfiguration);
    EXPECT_THAT(klatchd.process().errors(), HasSubstr(row.says));
    EXPECT_EQ(klatchd.process().errors().find("wrong@"), std::string::npos)
        << "a password is logged";
  }
  RedisServer locked({.persistence = {}, .arguments = {"--requirepass", "right"}});
  Klatchd klatchd({.arguments = {"--redis", "unix://:right@" + locked.address().socket_path}});
  EXPECT_EQ(klatchd.Terminate(), kExitGood);
  EXPECT_EQ(klatchd.process().errors().find("right@"), std::string::npos) << "a password is logged";
}

TEST(KlatchdStartTest, SentinelIsNoRedis) {
  const TemporaryDirectory directory;
  const std::string socket = (directory.path() / "sentinel.sock").string();
  const std::string file = (directory.path() / "sentinel.conf").string();
  std::ofstream(file) << "port 0\nunixsocket " << socket << "\nsentinel monitor m 127.0.0.1 1 1\n";
  Process sentinel({"redis-server", file, "--sentinel"}, directory.path());
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(socket); })) << sentinel.output();
  ExpectRefusesToStart({"--redis", "unix://" + socket}, kExitConfiguration, "a Sentinel");
}

TEST(KlatchdStartTest, ForeignServerOnThePortIsRefused) {
  FakePeer http("HTTP/1.1 400 Bad Request\r\n\r\n", FakePeer::Then::kClose);
  ExpectRefusesToStart({"--redis", http.address().ToString()}, kExitConfiguration, "not a Redis");
}

// How long a SIGTERM may take while nothing is served: one question to Redis, and the way out.
constexpr std::chrono::seconds kQuickEnd{4};

TEST(KlatchdStartTest, SilentRedisIsWaitedForAndASignalEndsTheWait) {
  FakePeer silent("", FakePeer::Then::kHoldOpen);
  Klatchd klatchd({.arguments = {"--redis", silent.address().ToString()},
                   .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  klatchd.AwaitMetrics();
  EXPECT_EQ(klatchd.Get("/livez").first, 200);
  // Every answer on the way there says that it is not ready.
  std::pair<int, std::string> ready;
  EXPECT_TRUE(Eventually([&] {
    ready = klatchd.Get("/readyz");
    EXPECT_EQ(ready.first, 503);
    return ready.second.find(silent.address().socket_path) != std::string::npos;
  })) << ready.second;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(klatchd.Terminate(), kExitGood);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kQuickEnd);
}

TEST(KlatchdStartTest, AbsentRedisIsWaitedForAndServedOnceItIsThere) {
  RedisServer redis({.persistence = RedisServer::Persistence::kAppendOnly, .arguments = {}});
  redis.Kill();
  Klatchd klatchd(
      {.arguments = {"--redis", redis.address().ToString()}, .begin = Klatchd::Begin::kNotStarted});
  klatchd.Launch();
  klatchd.AwaitMetrics();
  EXPECT_TRUE(Eventually(
      [&] { return klatchd.Get("/readyz").second.find("waiting: ") != std::string::npos; }));
  redis.Start();
  klatchd.AwaitServing();
  Client client(klatchd.Channel());
  ASSERT_THAT(client.CreateGroup("ann", "late"), Succeeds());
  const auto posted = client.Publish("ann", "late", "here at last");
  ASSERT_THAT(posted, Succeeds());

  // And when it goes away while it is served.
  redis.Kill();
  EXPECT_TRUE(Eventually([&] { return klatchd.Get("/readyz").first == 503; }));
  EXPECT_EQ(klatchd.Get("/livez").first, 200);
  EXPECT_THAT(client.Publish("ann", "late", "nobody listens"),
              RefusesWith(StatusCode::UNAVAILABLE));
  redis.Start();
  // It notices, forgets what it knew of the Redis before, and loads again.
  EXPECT_TRUE(Eventually([&] {
    const std::string log = klatchd.process().errors();
    const size_t again = log.find("loading again");
    return again != std::string::npos &&
           log.find("\"msg\":\"serving\"", again) != std::string::npos;
  })) << klatchd.process().errors();
  EXPECT_TRUE(Eventually([&] { return client.Home("ann").ok(); }));
  EXPECT_EQ(klatchd.Get("/readyz").first, 200);
  const auto again = client.Publish("ann", "late", "back again");
  ASSERT_THAT(again, Succeeds());
  const auto texts = TextsOf(*client.Home("ann", again->tokens()));
  EXPECT_THAT(texts, ::testing::IsSupersetOf({"here at last", "back again"}));
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
  EXPECT_EQ(kill(redis.process_id(), 0), 0) << "an existing Redis was ended";
}

TEST(KlatchdStartTest, NamespaceKeyOfAnotherTypeIsRefusedByItsName) {
  RedisServer redis;
  const std::string key = Keys(Layout()).Namespace();
  ASSERT_TRUE(redis.Connect()->Call({"SET", key, "planted"}).ok());
  ExpectRefusesToStart({"--redis", redis.address().ToString()}, kExitConfiguration, key);
}

TEST(KlatchdStoredTypesTest, WrongTypeAtAKeyIsNamedAndNothingElseChanges) {
  Klatchd klatchd({.arguments = {"--shards", "4", "--partitions", "4"}});
  auto client = std::make_unique<Client>(klatchd.Channel());
  Layout layout;
  layout.shard_count = 4;
  layout.partition_count = 4;
  const Keys keys(layout);

  struct Planted {
    std::string name;
    std::string key;
    std::function<grpc::Status(const std::string& group)> call;
  };
  const auto post = [](const std::string& group) {
    auto request = Client::Post("ann", group, "x");
    request.set_request_id("planted");
    return request;
  };
  const auto publish = [&](const std::string& group) {
    return client->Publish(post(group)).status;
  };
  const auto add = [&](const std::string& group) {
    return client->Add("ann", group, {"bob"}).status;
  };
  const auto remove = [&](const std::string& group) {
    return client->Remove("ann", group, {"cid"}).status;
  };
  const auto erase = [&](const std::string& group) {
    return client->DeleteGroup("ann", group).status;
  };
  const auto create = [&](const std::string& group) {
    return client->CreateGroup("ann", group).status;
  };
  const auto group_key = [&](const std::string& group) { return keys.Group(GroupId(group)); };
  const auto members_key = [&](const std::string& group) { return keys.Members(GroupId(group)); };
  const auto feed_key = [&](const std::string& group) { return keys.Feed(GroupId(group)); };
  std::vector<Planted> rows = {
      {"publish, group", group_key("publish, group"), publish},
      {"publish, members", members_key("publish, members"), publish},
      {"publish, feed", feed_key("publish, feed"), publish},
      {"publish, once", keys.Once(PersonId("ann"), GroupId("publish, once"), "planted"), publish},
      {"add, group", group_key("add, group"), add},
      {"add, members", members_key("add, members"), add},
      {"remove, group", group_key("remove, group"), remove},
      {"remove, members", members_key("remove, members"), remove},
      {"delete, group", group_key("delete, group"), erase},
      {"delete, members", members_key("delete, members"), erase},
      {"delete, feed", feed_key("delete, feed"), erase},
      {"create, group", group_key("create, group"), create},
      {"create, members", members_key("create, members"), create},
      {"create, feed", feed_key("create, feed"), create},
  };
  for (const Planted& row : rows) {
    if (!row.name.starts_with("create")) {
      ASSERT_THAT(client->CreateGroup("ann", row.name), Succeeds());
      ASSERT_THAT(client->Add("ann", row.name, {"cid"}), Succeeds());
    }
  }
  // So that nothing of this waits to be written.
  ASSERT_EQ(klatchd.Terminate(), kExitGood);
  klatchd.Start();
  client = std::make_unique<Client>(klatchd.Channel());

  auto redis = klatchd.ConnectRedis();
  for (const Planted& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_TRUE(redis->Call({"DEL", row.key}).ok());
    // A list is what none of Klatch's keys is.
    ASSERT_TRUE(redis->Call({"RPUSH", row.key, "planted"}).ok());
    const Contents before = ContentsOf(*redis);
    const grpc::Status status = row.call(row.name);
    EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(row.key));
    EXPECT_THAT(Differences(before, ContentsOf(*redis)), IsEmpty());
  }
  ASSERT_THAT(client->CreateGroup("ann", "sound"), Succeeds());
  EXPECT_THAT(client->Publish("ann", "sound", "all is well"), Succeeds());
  EXPECT_EQ(klatchd.Terminate(), kExitGood) << klatchd.process().errors();
}

}  // namespace
}  // namespace klatch::testing
