// klatchd's own table: addresses, ranges, and what no single option can say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/endpoint.h"
#include "services/klatchd/options.h"

namespace klatch {
namespace {

using base::MessageOf;
using ::testing::HasSubstr;

// The message of the first error of parsing or validating, or "OK".
std::string ErrorOf(const std::vector<std::string>& arguments) {
  KlatchdOptions options;
  base::OptionTable table = MakeKlatchdOptionTable(options, "0.1.0");
  const auto resolved = table.Resolve(arguments, {});
  const absl::Status status = resolved.ok() ? Validate(options) : resolved.status();
  return status.ok() ? "OK" : MessageOf(status);
}

TEST(KlatchdOptionsTest, DefaultsAreValidAndReadBack) {
  KlatchdOptions options;
  base::OptionTable table = MakeKlatchdOptionTable(options, "0.1.0");
  const auto resolved = table.Resolve({}, {});
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_TRUE(Validate(options).ok()) << Validate(options);
  // Each default satisfies its own range: giving it aloud is accepted.
  const std::string description = table.Describe(*resolved);
  for (size_t start = 0; start < description.size();) {
    const size_t end = description.find('\n', start);
    const std::string line = description.substr(start, end - start);
    start = end + 1;
    const size_t equals = line.find(" = \"");
    if (equals == std::string::npos) {
      continue;
    }
    const size_t value = equals + 4;
    const std::string flag = "--" + line.substr(0, equals);
    const std::string text = line.substr(value, line.find('"', value) - value);
    EXPECT_EQ(ErrorOf({flag + "=" + text}), "OK") << flag;
  }
}

struct Wrong {
  std::vector<std::string> arguments;
  std::string message;
};

TEST(KlatchdOptionsTest, SaysWhatIsWrongWithAnAddress) {
  const std::vector<Wrong> cases = {
      {{"--listen", "127.0.0.1:-1"}, "has the port \"-1\"; wants a number from 0 to 65535"},
      {{"--listen", "127.0.0.1:65536"}, "has the port \"65536\"; wants a number from 0 to 65535"},
      {{"--listen", "127.0.0.1:abc"}, "has the port \"abc\"; wants a number from 0 to 65535"},
      {{"--listen", "127.0.0.1:"}, "has the port \"\"; wants a number from 0 to 65535"},
      {{"--listen", "127.0.0.1"}, "has no port; wants host:port or unix:/path"},
      {{"--listen", ""}, "has no port"},
      {{"--listen", ":7420"}, "has no host"},
      {{"--listen", "::1:7420"}, "has colons in its host"},
      {{"--listen", "[::1]"}, "has no port"},
      {{"--listen", "[nonsense]:1"}, "which is no IPv6 address"},
      {{"--listen", "unix:"}, "names no path"},
      {{"--listen", "unix:/" + std::string(200, 'x')}, "has a path of 201 bytes"},
      {{"--listen", "http://host:1"}, "--listen is \"http://host:1\""},
      {{"--metrics-listen", "unix:/x"}, "wants host:port, or nothing to turn it off"},
      {{"--http-listen", "unix:/x"}, "wants host:port, or nothing to turn it off"},
      {{"--http-listen", "127.0.0.1:65536"}, "has the port \"65536\"; wants a number from 0 to"},
      {{"--http-connections-max", "0"}, "wants 1..100000"},
      {{"--redis", "localhost:6379"}, "begins with neither redis:// nor rediss:// nor unix:"},
      {{"--redis", "redis://"}, "no host"},
      {{"--redis", "redis://h:99999"}, "the port must be a number from 1 to 65535"},
      {{"--redis", "redis://h:abc"}, "the port must be a number from 1 to 65535"},
      {{"--redis", "redis://h:6379/5"}, "a database number or options after the port are not"},
      {{"--redis", "redis://user@h"}, "has no ':' between user and password"},
      {{"--redis", "unix://relative"}, "must begin with '/'"},
      {{"--redis", "unix:/" + std::string(107, 'x')}, "the path has 108 bytes"},
      {{"--data-dir", ""}, "wants a path"},
      {{"--namespaces", "Default"}, "is no name of 1 to 32"},
      {{"--namespaces", "{b}"}, "is no name of 1 to 32"},
      {{"--namespaces", "a,b"}, "at most 1"},
  };
  for (const Wrong& wrong : cases) {
    EXPECT_THAT(ErrorOf(wrong.arguments), HasSubstr(wrong.message)) << wrong.arguments[1];
  }
}

TEST(KlatchdOptionsTest, NeverRepeatsAPassword) {
  for (const char* uri : {"redis://:hunter2", "redis://me:hunter2@h:abc", "rdis://me:hunter2@h"}) {
    EXPECT_THAT(ErrorOf({"--redis", uri}), HasSubstr("--redis is \"***\", "));
  }
  KlatchdOptions options;
  base::OptionTable table = MakeKlatchdOptionTable(options, "0.1.0");
  const auto resolved = table.Resolve({"--redis", "redis://me:hunter2@h"}, {});
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  const std::string description = table.Describe(*resolved);
  EXPECT_THAT(description, HasSubstr("redis = \"redis://***:***@h\""));
  EXPECT_EQ(ErrorOf({"--redis", "redis://***:***@h"}), "OK") << "what is shown must read back";
}

TEST(KlatchdOptionsTest, NamesTheOptionsThatClash) {
  const std::vector<Wrong> cases = {
      {{"--metrics-listen", "127.0.0.1:7420"}, "--metrics-listen and --listen are both"},
      {{"--listen", "0.0.0.0:7420"}, "--listen 0.0.0.0:7420 is not loopback"},
      {{"--metrics-listen", "0.0.0.0:1"}, "--metrics-listen 0.0.0.0:1 is not loopback"},
      {{"--http-listen", "127.0.0.1:7420"}, "--http-listen and --listen are both 127.0.0.1:7420"},
      {{"--http-listen", "127.0.0.1:7421"}, "--http-listen and --metrics-listen are both"},
      {{"--http-listen", "0.0.0.0:7422"}, "--http-listen 0.0.0.0:7422 is not loopback"},
      {{"--flush-interval", "3s"}, "--flush-interval 3s must be less than --lease-duration 3s"},
      {{"--flush-interval", "2s", "--admission-flush-age", "1s"},
       "--flush-interval 2s must be less than --admission-flush-age 1s"},
      {{"--namespaces", ""}, "--namespaces names none"},
  };
  for (const Wrong& wrong : cases) {
    EXPECT_THAT(ErrorOf(wrong.arguments), HasSubstr(wrong.message));
  }
}

TEST(KlatchdOptionsTest, TakesWhatIsMeant) {
  EXPECT_EQ(ErrorOf({"--listen", "unix:/run/k.sock", "--metrics-listen="}), "OK");
  EXPECT_EQ(ErrorOf({"--listen", "[::1]:0", "--metrics-listen", "[::1]:0"}), "OK");
  EXPECT_EQ(ErrorOf({"--listen", "0.0.0.0:7420", "--insecure"}), "OK");
  EXPECT_EQ(ErrorOf({"--http-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}), "OK");
  EXPECT_EQ(ErrorOf({"--http-listen", "0.0.0.0:7422", "--insecure"}), "OK");
  EXPECT_EQ(ErrorOf({"--redis", "unix:///tmp/r.sock"}), "OK");
  EXPECT_EQ(ErrorOf({"--redis", "unix:relative.sock"}), "OK");
  EXPECT_EQ(ErrorOf({"--redis", ""}), "OK");
  EXPECT_EQ(ErrorOf({"--namespaces", "staging-2"}), "OK");
}

TEST(KlatchdOptionsTest, NamesTheNearestOption) {
  EXPECT_EQ(ErrorOf({"--flsh-interval", "1s"}),
            "unknown option --flsh-interval; did you mean --flush-interval?");
  EXPECT_THAT(ErrorOf({"--roles=foo"}), HasSubstr("unknown option --roles; "));
}

TEST(KlatchdOptionsTest, TakesOneWorkerPerCoreUnlessTold) {
  KlatchdOptions options;
  EXPECT_EQ(WorkerCount(options, 0), 1u);
  EXPECT_EQ(WorkerCount(options, 2), 2u);
  EXPECT_EQ(WorkerCount(options, 500), kWorkersAutoMax);
  options.workers = 5;
  EXPECT_EQ(WorkerCount(options, 2), 5u);
}

TEST(EndpointTest, PrintsWhatItReads) {
  for (const char* text : {"127.0.0.1:7420", "[::1]:1", "localhost:0", "unix:/a/b"}) {
    const auto endpoint = base::Endpoint::Parse(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(endpoint->ToString(), text);
    EXPECT_TRUE(endpoint->is_loopback());
  }
  EXPECT_EQ(base::Endpoint::Parse("unix:///a").value().socket_path, "/a");
  EXPECT_FALSE(base::Endpoint::Parse("example.org:1").value().is_loopback());
  EXPECT_FALSE(base::Endpoint::Parse("[::]:1").value().is_loopback());
}

}  // namespace
}  // namespace klatch
