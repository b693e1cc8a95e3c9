#include "tests/sim/fake_redis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace klatch::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int64_t kStartUs = 1'700'000'000'000'000;
constexpr int64_t kMsUs = 1'000;

class FakeRedisTest : public ::testing::Test {
 protected:
  FakeRedisTest() { redis_.now_us = kStartUs; }

  redis::Reply Call(const std::vector<std::string>& args) { return redis_.Execute(session_, args); }
  redis::Reply CallOther(const std::vector<std::string>& args) {
    return redis_.Execute(other_, args);
  }
  std::string Text(const std::vector<std::string>& args) { return std::string(Call(args).text()); }

  FakeRedis redis_;
  FakeRedis::Session session_;
  FakeRedis::Session other_;
};

TEST_F(FakeRedisTest, SnapshotIsNotChangedByWhatComesLaterAndComesBackWhole) {
  Call({"SET", "string", "before"});
  Call({"HSET", "hash", "f", "1"});
  Call({"ZADD", "sorted", "1", "m"});
  Call({"XADD", "stream", "5-1", "r", "x"});
  const Data snapshot = redis_.data();
  Call({"SET", "string", "after"});
  Call({"HSET", "hash", "f", "2"});
  Call({"ZADD", "sorted", "2", "m"});
  Call({"XADD", "stream", "5-2", "r", "y"});
  Call({"SADD", "set", "new"});
  redis_.Restore(snapshot);
  EXPECT_EQ(redis_.data(), snapshot);
  EXPECT_EQ(Text({"GET", "string"}), "before");
  EXPECT_EQ(Text({"HGET", "hash", "f"}), "1");
  EXPECT_EQ(Text({"ZSCORE", "sorted", "m"}), "1");
  EXPECT_EQ(Call({"EXISTS", "set"}).integer(), 0);
  // The lost entry's id may be given again.
  EXPECT_EQ(Text({"XADD", "stream", "5-*", "r", "z"}), "5-2");
}

TEST_F(FakeRedisTest, TransactionFailsIfAnotherSessionAScriptOrARestoreHasChangedWhatItWatches) {
  const Data empty = redis_.data();
  const auto is_run = [&](auto meddle) {
    Call({"SET", "k", "1"});
    Call({"WATCH", "k"});
    meddle();
    Call({"MULTI"});
    EXPECT_EQ(Text({"SET", "other", "1"}), "QUEUED");
    return !Call({"EXEC"}).is_nil();
  };
  EXPECT_TRUE(is_run([] {}));
  EXPECT_TRUE(is_run([&] { CallOther({"SET", "another", "2"}); }));
  EXPECT_TRUE(is_run([&] { CallOther({"PERSIST", "k"}); }));
  EXPECT_FALSE(is_run([&] { CallOther({"SET", "k", "1"}); }));
  EXPECT_FALSE(is_run([&] { Call({"DEL", "k"}); }));
  EXPECT_FALSE(is_run([&] { CallOther({"EVAL", "return redis.call('DEL', KEYS[1])", "1", "k"}); }));
  EXPECT_FALSE(is_run([&] { redis_.Restore(redis_.data()); }));
  EXPECT_FALSE(is_run([&] { redis_.Restore(empty); }));
  EXPECT_TRUE(is_run([&] {
    CallOther({"SET", "k", "2"});
    Call({"UNWATCH"});
  }));
  EXPECT_FALSE(is_run([&] {
    CallOther({"PEXPIRE", "k", "100"});
    Call({"UNWATCH"});
    Call({"WATCH", "k"});
    redis_.now_us += 200 * kMsUs;
  }));
}

TEST_F(FakeRedisTest, CommandThatCannotBeQueuedAbortsTheTransaction) {
  Call({"MULTI"});
  EXPECT_THAT(Text({"NOPE"}), StartsWith("ERR unknown command"));
  EXPECT_EQ(Text({"SET", "k", "1"}), "QUEUED");
  EXPECT_THAT(Text({"EXEC"}), StartsWith("EXECABORT"));
  EXPECT_EQ(Call({"EXISTS", "k"}).integer(), 0);
}

TEST_F(FakeRedisTest, WhatExpiresIsGoneAfterItsMillisecondAndNotBefore) {
  Call({"SET", "k", "v", "PX", "100"});
  redis_.now_us += 100 * kMsUs;
  EXPECT_EQ(Text({"GET", "k"}), "v");
  EXPECT_EQ(Call({"PTTL", "k"}).integer(), 0);
  redis_.now_us += kMsUs;
  EXPECT_TRUE(Call({"GET", "k"}).is_nil());
  EXPECT_EQ(Call({"PTTL", "k"}).integer(), -2);
  EXPECT_TRUE(redis_.data().empty());
}

TEST_F(FakeRedisTest, ReplicaHidesWhatHasExpiredAndRemovesNothing) {
  Call({"SET", "k", "v", "PX", "100"});
  redis_.facts.role = FakeRedis::Role::kReplica;
  redis_.now_us += 101 * kMsUs;
  EXPECT_TRUE(Call({"GET", "k"}).is_nil());
  EXPECT_EQ(redis_.data().size(), 1u);
}

TEST_F(FakeRedisTest, ReplicaRefusesWritesInAndOutsideOfScripts) {
  redis_.facts.role = FakeRedis::Role::kReplica;
  EXPECT_THAT(Text({"SET", "k", "v"}), StartsWith("READONLY "));
  EXPECT_THAT(Text({"EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "k"}),
              StartsWith("READONLY "));
  EXPECT_EQ(Text({"EVAL", "return redis.pcall('SET', KEYS[1], 'v').err", "1", "k"}),
            "READONLY You can't write against a read only replica.");
  EXPECT_TRUE(Call({"GET", "k"}).is_nil());
  Call({"MULTI"});
  EXPECT_THAT(Text({"SET", "k", "v"}), StartsWith("READONLY "));
  EXPECT_THAT(Text({"EXEC"}), StartsWith("EXECABORT "));
}

TEST_F(FakeRedisTest, WithoutMemoryAScriptIsRefusedAtItsFirstWriteOnly) {
  redis_.facts.is_out_of_memory = true;
  const std::string refusal = "OOM command not allowed when used memory > 'maxmemory'.";
  EXPECT_EQ(Text({"SET", "k", "v"}), refusal);
  EXPECT_EQ(Call({"DEL", "k"}).integer(), 0);
  EXPECT_THAT(Text({"EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "k"}),
              StartsWith(refusal));
  EXPECT_EQ(Text({"EVAL", "redis.call('PERSIST', KEYS[1]); return redis.call('SET', KEYS[1], 'v')",
                  "1", "k"}),
            "OK");
  EXPECT_EQ(Text({"GET", "k"}), "v");
}

TEST_F(FakeRedisTest, WhileLoadingOnlyQuestionsAboutTheServerAreAnswered) {
  redis_.facts.is_loading = true;
  EXPECT_THAT(Text({"GET", "k"}), StartsWith("LOADING "));
  EXPECT_THAT(Text({"INFO", "persistence"}), HasSubstr("loading:1"));
}

TEST_F(FakeRedisTest, ScriptIsUnknownAfterARestart) {
  const redis::Script script("answer", "return 42");
  const redis::Command call = redis::Command::Eval(script, {}, {});
  EXPECT_THAT(Text(call.args), StartsWith("NOSCRIPT "));
  EXPECT_EQ(redis_.Execute(session_, call).integer(), 42);
  EXPECT_EQ(Call(call.args).integer(), 42);
  redis_.Restart("another");
  EXPECT_THAT(Text(call.args), StartsWith("NOSCRIPT "));
  EXPECT_THAT(Text({"INFO", "server"}), HasSubstr("run_id:another\r\n"));
}

TEST_F(FakeRedisTest, ScanFindsWhatIsThereAllTheTimeWhateverElseComesAndGoes) {
  const auto member = [](int i) { return "m" + std::to_string(i); };
  for (int i = 0; i < 100; ++i) {
    Call({"SADD", "s", member(i)});
  }
  std::set<std::string> found;
  std::string cursor = "0";
  int pages = 0;
  do {
    const redis::Reply page = Call({"SSCAN", "s", cursor, "COUNT", "7"});
    cursor = page[0].text();
    for (size_t i = 0; i < page[1].size(); ++i) {
      EXPECT_TRUE(found.emplace(page[1][i].text()).second);
    }
    CallOther({"SREM", "s", member(50 + pages)});
    CallOther({"SADD", "s", member(1'000 + pages)});
    ++pages;
  } while (cursor != "0");
  EXPECT_GT(pages, 10);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(found.contains(member(i))) << i;
  }
}

TEST_F(FakeRedisTest, TimeIsWhatWasSetAndNumbersEntries) {
  const redis::Reply time = Call({"TIME"});
  EXPECT_EQ(time[0].text(), "1700000000");
  EXPECT_EQ(Text({"XADD", "stream", "*", "r", "x"}), "1700000000000-0");
  EXPECT_EQ(Text({"XADD", "stream", "*", "r", "x"}), "1700000000000-1");
  redis_.now_us -= 5 * kMsUs;
  EXPECT_EQ(Text({"XADD", "stream", "*", "r", "x"}), "1700000000000-2");
}

TEST_F(FakeRedisTest, ChangedKeysAreReportedAfterTheCommandThatChangedThem) {
  std::vector<std::string> changed;
  redis_.on_change = [&](const std::string& key) { changed.push_back(key); };
  Call({"EVAL", "redis.call('SET', 'b', 1); redis.call('SET', 'a', 1); redis.call('DEL', 'b')",
        "0"});
  EXPECT_THAT(changed, ElementsAre("a", "b"));
  changed.clear();
  Call({"GET", "a"});
  Call({"SREM", "nothing", "x"});
  EXPECT_THAT(changed, ElementsAre());
  EXPECT_EQ(redis_.changes(), 3u);
}

TEST_F(FakeRedisTest, DeeplyNestedAnswerOfAScriptIsAnError) {
  EXPECT_TRUE(Call({"EVAL", "return {{{{{{{{{{1}}}}}}}}}}", "0"}).is_error());
  EXPECT_TRUE(Call({"EVAL", "local t = {}; t[1] = t; return t", "0"}).is_error());
  EXPECT_EQ(Text({"PING"}), "PONG");
}

}  // namespace
}  // namespace klatch::sim
