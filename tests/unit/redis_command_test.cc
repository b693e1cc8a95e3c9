// Commands and scripts as bytes, and error replies as statuses.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "common/redis/command.h"
#include "common/redis/connection.h"

namespace klatch::redis {
namespace {

using std::string_literals::operator""s;

TEST(RedisCommandTest, ArgumentsAreBytesThatCannotBecomeAnotherCommand) {
  const Command command{"SET", std::string("k\r\n$1\0", 6), ""};
  std::string out;
  command.AppendTo(out);
  EXPECT_EQ(out, "*3\r\n$3\r\nSET\r\n$6\r\nk\r\n$1\0\r\n$0\r\n\r\n"s);
}

TEST(RedisCommandTest, EvalSendsTheHashFirstAndTheSourceOnDemand) {
  const Script script("one", "return 1");
  // The SHA-1 of "return 1", as `redis-cli script load` tells it.
  EXPECT_EQ(script.sha1_hex(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
  const Command command = Command::Eval(script, {"k"}, {"a", "b"});
  EXPECT_EQ(command.args,
            (std::vector<std::string>{"EVALSHA", script.sha1_hex(), "1", "k", "a", "b"}));
  std::string out;
  command.AppendEvalTo(out);
  EXPECT_EQ(out,
            "*6\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\nb\r\n");
}

TEST(RedisStatusTest, ErrorRepliesMapToTheirCodes) {
  const std::pair<const char*, absl::StatusCode> cases[] = {
      {"READONLY You can't write", absl::StatusCode::kUnavailable},
      {"LOADING Redis is loading", absl::StatusCode::kUnavailable},
      {"MASTERDOWN x", absl::StatusCode::kUnavailable},
      {"CLUSTERDOWN x", absl::StatusCode::kUnavailable},
      {"TRYAGAIN x", absl::StatusCode::kUnavailable},
      {"BUSY x", absl::StatusCode::kUnavailable},
      {"MISCONF x", absl::StatusCode::kUnavailable},
      {"NOREPLICAS x", absl::StatusCode::kUnavailable},
      {"OOM command not allowed", absl::StatusCode::kResourceExhausted},
      {"NOAUTH x", absl::StatusCode::kUnavailable},
      {"WRONGPASS x", absl::StatusCode::kUnavailable},
      {"NOPERM x", absl::StatusCode::kUnavailable},
      {"WRONGTYPE x", absl::StatusCode::kFailedPrecondition},
      {"ERR x", absl::StatusCode::kInternal},
      {"BUSYGROUP x", absl::StatusCode::kInternal},
      {"", absl::StatusCode::kInternal},
  };
  for (const auto& [text, code] : cases) {
    std::string copy = text;
    redisReply raw{};
    raw.type = REDIS_REPLY_ERROR;
    raw.str = copy.data();
    raw.len = copy.size();
    EXPECT_EQ(ToStatus(ReplyView(&raw)).code(), code) << text;
  }
  EXPECT_TRUE(ToStatus(ReplyView()).ok());
}

}  // namespace
}  // namespace klatch::redis
