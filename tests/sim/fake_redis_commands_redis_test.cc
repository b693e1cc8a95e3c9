// Random commands to a FakeRedis and to a real one: right ones and wrong ones, on keys of the right
// type and of others, in transactions of two connections that watch each other, in scripts, without
// memory, on a replica. Every reply is the same, and so is everything that is stored.
//
// KLATCH_SEED repeats a run.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/redis_server_fixture.h"
#include "tests/lib/setting.h"
#include "tests/sim/redis_twins.h"

namespace klatch::testing {
namespace {

using Args = RedisTwins::Args;

constexpr int kSteps = 20'000;
constexpr int kStepsPerLook = 500;
constexpr size_t kDifferencesShownMax = 5;

uint64_t Seed() {
  const uint64_t seed = setting::Number("KLATCH_SEED", std::random_device{}(), 0, UINT64_MAX);
  std::printf("KLATCH_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// Makes commands up.
class Composer {
 public:
  explicit Composer(uint64_t seed) : random_(seed) {}

  size_t Below(size_t bound) { return random_() % bound; }
  bool OneIn(size_t count) { return Below(count) == 0; }

  // About one in eight is wrong.
  Args Any() {
    Args args = Right();
    if (OneIn(8)) {
      Spoil(args);
    }
    return OneIn(6) ? InScript(std::move(args)) : args;
  }

 private:
  static constexpr std::string_view kTypes = "shmzx";

  std::string Number() { return std::to_string(Below(5)); }
  // Of a key that mostly holds that type.
  std::string Key(char type) {
    const char actual = OneIn(12) ? kTypes[Below(kTypes.size())] : type;
    return std::string(1, actual) + Number();
  }
  std::string AnyKey() { return Key(kTypes[Below(kTypes.size())]); }
  std::string Field() { return std::string(1, static_cast<char>('a' + Below(8))); }
  std::string Value() {
    const std::array<std::string, 5> values = {"", "v", std::string("\0\r\n\xff", 4), "12",
                                               std::string(Below(90), 'l')};
    return values[Below(values.size())];
  }
  std::string Score() {
    constexpr std::array<const char*, 7> kScores = {"0", "1", "-2.5", "1e3", "+inf", "-inf", "0.1"};
    return kScores[Below(kScores.size())];
  }
  std::string Bound() { return (OneIn(3) ? "(" : "") + Score(); }
  std::string Id() {
    switch (Below(5)) {
      case 0:
        return std::to_string(Below(40));
      case 1:
        return std::to_string(Below(40)) + "-*";
      default:
        return std::to_string(Below(40)) + "-" + Number();
    }
  }
  std::string RangeId() {
    switch (Below(4)) {
      case 0:
        return OneIn(2) ? "-" : "+";
      case 1:
        return "(" + std::to_string(Below(40)) + "-" + Number();
      default:
        return std::to_string(Below(40));
    }
  }
  static std::string LongTime() { return "100000000"; }

  template <typename Make>
  void Append(Args& args, size_t count, Make make) {
    for (size_t i = 0; i < count; ++i) {
      args.push_back(make());
    }
  }

  Args Right() {
    switch (Below(7)) {
      case 0:
        return OfString();
      case 1:
        return OfAnyKey();
      case 2:
        return OfHash();
      case 3:
        return OfSet();
      case 4:
        return OfSortedSet();
      case 5:
        return OfStream();
      default:
        return OfServer();
    }
  }

  Args OfString() {
    const std::string key = Key('s');
    switch (Below(8)) {
      case 0:
        return {"GET", key};
      case 1:
        return {"SET", key, Value()};
      case 2:
        return {"SET", key, Value(), "PX", LongTime()};
      case 3:
        return OneIn(3) ? Args{"SET", key, Value(), "NX", "PX", LongTime()}
                        : Args{"SET", key, Value(), OneIn(2) ? "NX" : "XX"};
      case 4:
        return {"set", key, Value(), "keepttl"};
      case 5:
        return {"SETRANGE", key, std::to_string(Below(20)), Value()};
      case 6:
        return {"GETRANGE", key, std::to_string(static_cast<int>(Below(30)) - 15),
                std::to_string(static_cast<int>(Below(30)) - 15)};
      default:
        return {"STRLEN", key};
    }
  }

  Args OfAnyKey() {
    const std::string key = AnyKey();
    switch (Below(9)) {
      case 0: {
        Args args = {OneIn(2) ? "DEL" : "UNLINK"};
        Append(args, 1 + Below(2), [this] { return AnyKey(); });
        return args;
      }
      case 1: {
        Args args = {OneIn(2) ? "EXISTS" : "MGET"};
        Append(args, 1 + Below(3), [this] { return AnyKey(); });
        return args;
      }
      case 2:
        return {"PERSIST", key};
      case 3:
        return {"PEXPIRE", key, OneIn(10) ? "-5" : LongTime()};
      case 4:
        return {"TYPE", key};
      case 5:
        return {"MEMORY", "USAGE", key};
      case 6:
        return {"KEYS", OneIn(2) ? "*" : "s?"};
      default:
        return {"PTTL", key};
    }
  }

  Args OfHash() {
    const std::string key = Key('h');
    switch (Below(9)) {
      case 0:
      case 1: {
        Args args = {"HSET", key};
        Append(args, 2 * (1 + Below(3)), [this] { return Field(); });
        return args;
      }
      case 2:
        return {"HSETNX", key, Field(), Value()};
      case 3: {
        Args args = {OneIn(2) ? "HDEL" : "HMGET", key};
        Append(args, 1 + Below(3), [this] { return Field(); });
        return args;
      }
      case 4:
        return {"HGET", key, Field()};
      case 5:
        return {OneIn(2) ? "HGETALL" : "HKEYS", key};
      case 6:
        return {"HLEN", key};
      case 7:
        return {"HEXISTS", key, Field()};
      default:
        return {"HSCAN", key, "0", "COUNT", "2"};
    }
  }

  Args OfSet() {
    const std::string key = Key('m');
    constexpr std::array<const char*, 4> kOfMany = {"SADD", "SADD", "SREM", "SMISMEMBER"};
    switch (Below(8)) {
      case 0:
        return {"SISMEMBER", key, Field()};
      case 1:
        return {OneIn(2) ? "SCARD" : "SMEMBERS", key};
      case 2:
        return {"SSCAN", key, "0"};
      default: {
        Args args = {kOfMany[Below(kOfMany.size())], key};
        Append(args, 1 + Below(3), [this] { return Field(); });
        return args;
      }
    }
  }

  Args OfSortedSet() {
    const std::string key = Key('z');
    switch (Below(8)) {
      case 0:
      case 1: {
        Args args = {"ZADD", key};
        for (size_t i = 0; i <= Below(3); ++i) {
          args.push_back(Score());
          args.push_back(Field());
        }
        return args;
      }
      case 2:
        return {"ZREM", key, Field(), Field()};
      case 3:
        return {"ZCARD", key};
      case 4:
        return {"ZSCORE", key, Field()};
      case 5:
        return {"ZRANGEBYSCORE", key, Bound(), Bound()};
      case 6:
        return {"ZRANGEBYSCORE", key, Bound(), Bound(), "WITHSCORES"};
      default:
        return {"ZRANGEBYSCORE",           key, "-inf", Bound(), "LIMIT", Number(),
                OneIn(4) ? "-1" : Number()};
    }
  }

  Args OfStream() {
    const std::string key = Key('x');
    switch (Below(11)) {
      case 0:
      case 1:
      case 2:
        return {"XADD", key, Id(), "r", Value()};
      case 3:
        return {"XDEL", key, Id(), Id()};
      case 4:
        return OneIn(2) ? Args{"XTRIM", key, "MINID", OneIn(2) ? "=" : Id(), Id()}
                        : Args{"XTRIM", key, "MAXLEN", Number()};
      case 5:
        return {"XTRIM", key, "MINID", std::to_string(Below(30))};
      case 6:
        return {"XREAD", "COUNT", Number(), "STREAMS", key, Key('x'), Id(), OneIn(3) ? "$" : Id()};
      case 7:
        return {"XREAD", "COUNT", "2", "BLOCK", "1", "STREAMS", key, Id()};
      case 8:
        return {"XREVRANGE", key, RangeId(), RangeId(), "COUNT", Number()};
      case 9:
        return {OneIn(2) ? "XREVRANGE" : "XRANGE", key, RangeId(), RangeId()};
      default:
        return OneIn(2) ? Args{"XINFO", "STREAM", key} : Args{"XLEN", key};
    }
  }

  Args OfServer() {
    switch (Below(10)) {
      case 0:
        return {"PING"};
      case 1:
        return {"TIME"};
      case 2:
        return {"INFO", "replication"};
      case 3:
        return {"WAIT", "0", "1"};
      case 4:
        return {"CONFIG", "GET", "maxmemory-policy", "appendonly"};
      case 5:
        return {"EVALSHA", std::string(OneIn(2) ? 40 : 3, 'e'), "0"};
      case 6:
        return {"EVAL",
                "return {1, 2.7, -3.9, 'x', false, true, {}, {false, 1, nil, 2}, {ok='OK fine'}, "
                "{err='X why'}, nil, 5}",
                "0"};
      case 7:
        return {"EVAL", Erring(), "1", AnyKey(), Field()};
      case 8:
        return {"EVAL", Piping(), "1", AnyKey(), Field()};
      default:
        return {"SCRIPT", "EXISTS", std::string(40, 'e')};
    }
  }

  std::string Erring() {
    constexpr std::array<const char*, 12> kScripts = {
        "error('plain')",
        "error({err='MINE own'})",
        "return redis.call('NOPE', KEYS[1])",
        "\nreturn redis.call('GET')",
        "return redis.call('MULTI')",
        "return redis.call('SET', KEYS[1], {})",
        "local x = nil\nreturn x.y",
        "return nope",
        "nope = 1",
        "return {redis.acl_check_cmd('GET', KEYS[1]), redis.pcall('XINFO', 'NOPE')}",
        "return redis.error_reply('MINE ' .. ARGV[1])",
        "this is no script",
    };
    return kScripts[Below(kScripts.size())];
  }

  std::string Piping() {
    constexpr std::array<const char*, 7> kScripts = {
        "return {pcall(function() return redis.call('HGET', KEYS[1], ARGV[1]) end)}",
        "return {pcall(error, {err='MINE own'})}",
        "return {pcall(error, 'text')}",
        "return {pcall(redis.call, 'HSET', KEYS[1], ARGV[1], 1.5)}",
        "local r = redis.pcall('GET', KEYS[1]); return {type(r), r}",
        "redis.call('HSET', 'h1', 'a', 0.1, 'b', 1e15, 'c', 2^53); return redis.call('HGET', 'h1', "
        "'b')",
        "return {struct.pack('<I4I4', 1, 4294967295), struct.unpack('<I4i2>I2', 'abcdefgh'), "
        "struct.unpack('>i8', '12345678')}",
    };
    return kScripts[Below(kScripts.size())];
  }

  Args InScript(Args args) {
    constexpr std::array<const char*, 4> kScripts = {
        "return redis.call(unpack(ARGV))",
        "return redis.pcall(unpack(ARGV))",
        "redis.call('PERSIST', 's0')\nreturn redis.call(unpack(ARGV))",
        "local ok, r = pcall(redis.call, unpack(ARGV))\nreturn {ok, r}",
    };
    // Orders would not be looked past within the reply of EVAL.
    for (const char* const name : {"TIME", "INFO", "MEMORY", "SSCAN", "HSCAN", "KEYS", "SMEMBERS",
                                   "HKEYS", "HGETALL", "XINFO"}) {
      if (args[0] == name) {
        return args;
      }
    }
    args.insert(args.begin(), {"EVAL", kScripts[Below(kScripts.size())], "0"});
    return args;
  }

  // No number above zero, or something might block or expire.
  void Spoil(Args& args) {
    constexpr std::array<const char*, 9> kWrong = {
        "", "abc", "-1", "3.5", "(5", "nan", "99999999999999999999", "01", "+"};
    const std::string wrong = kWrong[Below(kWrong.size())];
    switch (Below(5)) {
      case 0:
        args.pop_back();
        break;
      case 1:
        args.push_back(wrong);
        break;
      case 2:
        args.resize(1);
        break;
      default:
        args[Below(args.size())] = wrong;
    }
    if (args.empty()) {
      args.emplace_back("NOPE");
    }
  }

  std::mt19937_64 random_;
};

class FakeRedisCommandsRedisTest : public RedisTest {
 protected:
  FakeRedisCommandsRedisTest()
      : twins_(server_.address()), links_{twins_.Connect(), twins_.Connect()} {}

  void SetUp() override {
    if (!twins_.is_comparable()) {
      GTEST_SKIP() << "the real one is no Redis 7.0";
    }
  }

  void SetMemory(bool is_short) {
    const redis::Reply set =
        twins_.CallReal(*control_, {"CONFIG", "SET", "maxmemory", is_short ? "1" : "0"});
    ASSERT_EQ(set.text(), "OK");
    twins_.fake().facts.is_out_of_memory = is_short;
  }

  void SetReplica(bool is_replica) {
    const redis::Reply set =
        twins_.CallReal(*control_, is_replica ? Args{"REPLICAOF", "127.0.0.1", "1"}
                                              : Args{"REPLICAOF", "NO", "ONE"});
    ASSERT_TRUE(set.text().starts_with("OK"));
    twins_.fake().facts.role =
        is_replica ? sim::FakeRedis::Role::kReplica : sim::FakeRedis::Role::kMaster;
  }

  Args OfTransaction(Composer& composer) {
    constexpr std::array<const char*, 8> kWords = {"MULTI", "MULTI", "EXEC",    "EXEC",
                                                   "EXEC",  "WATCH", "DISCARD", "UNWATCH"};
    Args args = {kWords[composer.Below(kWords.size())]};
    if (args[0] == "WATCH") {
      args.push_back(std::string(1, "shmzx"[composer.Below(5)]) + "1");
    }
    return args;
  }

  // Of what kind the replies are, by the first words of errors and states; and what became of
  // transactions.
  void Count(const Args& args, const redis::Reply& reply) {
    if (args[0] == "EXEC" && !reply.is_error()) {
      ++seen_[reply.is_nil() ? "not run" : "run"];
    } else if (!reply.text().empty()) {
      ++seen_[std::string(reply.text().substr(0, reply.text().find(' ')))];
    }
  }

  std::map<std::string, int> seen_;
  RedisTwins twins_;
  std::unique_ptr<RedisTwins::Link> control_ = twins_.Connect();
  std::array<std::unique_ptr<RedisTwins::Link>, 2> links_;
};

TEST_F(FakeRedisCommandsRedisTest, RandomCommandsHaveTheRepliesOfARealOne) {
  Composer composer(Seed());
  for (int step = 0; step < kSteps && twins_.differences().size() < kDifferencesShownMax; ++step) {
    if (composer.OneIn(100)) {
      SetMemory(composer.OneIn(3));
    } else if (composer.OneIn(200)) {
      SetReplica(composer.OneIn(4));
    }
    RedisTwins::Link& link = *links_[composer.Below(2)];
    const Args args = composer.OneIn(5) ? OfTransaction(composer) : composer.Any();
    Count(args, twins_.Call(link, args));
    if (step % kStepsPerLook == 0) {
      twins_.CompareContents(*control_);
    }
  }
  for (size_t i = 0; i < std::min(kDifferencesShownMax, twins_.differences().size()); ++i) {
    ADD_FAILURE() << twins_.differences()[i];
  }
  for (const char* const seen : {"ERR", "WRONGTYPE", "OOM", "READONLY", "EXECABORT", "NOSCRIPT",
                                 "QUEUED", "run", "not run"}) {
    EXPECT_GT(seen_[seen], 0) << seen << ": the commands are not as various as they should be";
  }
}

}  // namespace
}  // namespace klatch::testing
