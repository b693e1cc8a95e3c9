// The shared pipeline against a real redis-server.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "common/base/task.h"
#include "common/redis/connection.h"
#include "common/redis/info.h"
#include "common/redis/pipeline.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::redis {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Script& EchoScript() {
  static const Script* const script = new Script("echo", "return ARGV[1]");
  return *script;
}

std::future<Pipeline::Replies> SubmitForFuture(Pipeline& pipeline, std::vector<Command> commands) {
  auto promise = std::make_shared<std::promise<Pipeline::Replies>>();
  auto future = promise->get_future();
  pipeline.Submit(std::move(commands),
                  [promise](Pipeline::Replies replies) { promise->set_value(std::move(replies)); });
  return future;
}

Pipeline::Replies CallNow(Pipeline& pipeline, std::vector<Command> commands) {
  return SubmitForFuture(pipeline, std::move(commands)).get();
}

// Calls until it works; each attempt waits for its own answer.
void AwaitWorking(Pipeline& pipeline) {
  const auto deadline = std::chrono::steady_clock::now() + seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    if (CallNow(pipeline, {{"PING"}}).ok()) {
      return;
    }
    std::this_thread::yield();
  }
  FAIL() << "the pipeline did not come back";
}

class PipelineRedisTest : public testing::RedisTest {};

TEST_F(PipelineRedisTest, FirstCallWaitsForTheFirstConnection) {
  SocketPipeline pipeline(server_.address(), {});
  auto replies = CallNow(pipeline, {{"PING"}});
  ASSERT_TRUE(replies.ok()) << replies.status();
  EXPECT_EQ((*replies)[0].text(), "PONG");
  EXPECT_TRUE(pipeline.connected());
}

TEST_F(PipelineRedisTest, EachCallerGetsItsRepliesInOrder) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 2000;
  SocketPipeline pipeline(server_.address(), {});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::future<Pipeline::Replies>> futures;
      for (int i = 0; i < kCalls; ++i) {
        const std::string name = std::to_string(t) + ":" + std::to_string(i);
        futures.push_back(SubmitForFuture(
            pipeline, {{"ECHO", name}, Command::Eval(EchoScript(), {}, {name + "s"})}));
      }
      for (int i = 0; i < kCalls; ++i) {
        const std::string name = std::to_string(t) + ":" + std::to_string(i);
        auto replies = futures[i].get();
        const bool right = replies.ok() && replies->size() == 2 && (*replies)[0].text() == name &&
                           (*replies)[1].text() == name + "s";
        wrong.fetch_add(right ? 0 : 1, std::memory_order_relaxed);  // Read after join.
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong.load(std::memory_order_relaxed), 0);
  EXPECT_EQ(pipeline.OldestAge().count(), 0);
}

TEST_F(PipelineRedisTest, BatchLargerThanAllBuffersComesBackWhole) {
  SocketPipeline pipeline(server_.address(), {});
  std::vector<Command> commands;
  for (int i = 0; i < 512; ++i) {
    commands.push_back({"ECHO", std::string(65536, static_cast<char>('a' + i % 26))});
  }
  auto replies = CallNow(pipeline, commands);
  ASSERT_TRUE(replies.ok()) << replies.status();
  for (size_t i = 0; i < commands.size(); ++i) {
    ASSERT_EQ((*replies)[i].text(), commands[i].args[1]);
  }
}

TEST_F(PipelineRedisTest, CallOfNothingIsAnswered) {
  SocketPipeline pipeline(server_.address(), {});
  auto replies = CallNow(pipeline, {});
  ASSERT_TRUE(replies.ok());
  EXPECT_TRUE(replies->empty());
}

TEST_F(PipelineRedisTest, ErrorRepliesAreReplies) {
  SocketPipeline pipeline(server_.address(), {});
  auto replies = CallNow(pipeline, {{"NOPE"}, {"PING"}});
  ASSERT_TRUE(replies.ok());
  EXPECT_TRUE((*replies)[0].is_error());
  EXPECT_EQ((*replies)[1].text(), "PONG");
}

TEST_F(PipelineRedisTest, ScriptsRunAfterScriptFlushInTheirPlaces) {
  SocketPipeline pipeline(server_.address(), {});
  ASSERT_TRUE(CallNow(pipeline, {Command::Eval(EchoScript(), {}, {"first"})}).ok());
  ASSERT_TRUE(CallNow(pipeline, {{"SCRIPT", "FLUSH"}}).ok());
  std::vector<std::future<Pipeline::Replies>> futures;
  for (int i = 0; i < 100; ++i) {
    const std::string name = std::to_string(i);
    futures.push_back(SubmitForFuture(
        pipeline,
        {{"ECHO", "before"}, Command::Eval(EchoScript(), {}, {name}), {"ECHO", "after"}}));
  }
  for (int i = 0; i < 100; ++i) {
    auto replies = futures[i].get();
    ASSERT_TRUE(replies.ok()) << replies.status();
    EXPECT_EQ((*replies)[0].text(), "before");
    EXPECT_EQ((*replies)[1].text(), std::to_string(i));
    EXPECT_EQ((*replies)[2].text(), "after");
  }
}

TEST_F(PipelineRedisTest, CallbackMaySubmit) {
  SocketPipeline pipeline(server_.address(), {});
  std::promise<std::string> promise;
  pipeline.Submit({{"ECHO", "one"}}, [&](Pipeline::Replies) {
    pipeline.Submit({{"ECHO", "two"}}, [&](Pipeline::Replies replies) {
      promise.set_value(replies.ok() ? std::string((*replies)[0].text()) : "failed");
    });
  });
  EXPECT_EQ(promise.get_future().get(), "two");
}

TEST_F(PipelineRedisTest, WhatBelongsToAConnectionGoesOverNoOther) {
  SocketPipeline pipeline(server_.address(), {});
  // What is sent over the connection that answers now.
  auto over = [&pipeline](const Command& command) {
    std::promise<uint64_t> connection;
    pipeline.Submit({{"PING"}},
                    [&](const Pipeline::Replies&) { connection.set_value(pipeline.connection()); });
    return [&pipeline, command, number = connection.get_future().get()] {
      std::promise<Pipeline::Replies> promise;
      pipeline.SubmitOver(number, {command}, [&promise](Pipeline::Replies replies) {
        promise.set_value(std::move(replies));
      });
      return promise.get_future().get();
    };
  };
  AwaitWorking(pipeline);
  const auto first = over({"SET", "k", "first"});
  EXPECT_TRUE(first().ok());
  static_cast<void>(CallNow(pipeline, {{"CLIENT", "KILL", "SKIPME", "no", "TYPE", "normal"}}));
  AwaitWorking(pipeline);
  EXPECT_TRUE(over({"SET", "k", "second"})().ok());
  const absl::Status late = first().status();
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  EXPECT_EQ(base::ReasonOf(late), "NOT_SENT");
  EXPECT_EQ((*CallNow(pipeline, {{"GET", "k"}}))[0].text(), "second");
  EXPECT_EQ(pipeline.OldestAge(), milliseconds(0));
}

TEST_F(PipelineRedisTest, CoroutineReadsFromTopToBottom) {
  SocketPipeline pipeline(server_.address(), {});
  std::promise<std::string> promise;
  auto body = [](Pipeline& p, std::promise<std::string>& done) -> base::Task<void> {
    Command set{"SET", "k", "v"};
    auto stored = co_await p.Call(std::move(set));
    Command get{"GET", "k"};
    auto loaded = co_await p.Call(std::move(get));
    done.set_value(stored.ok() && loaded.ok() ? std::string(loaded->text()) : "failed");
  };
  base::Spawn(body(pipeline, promise));
  EXPECT_EQ(promise.get_future().get(), "v");
}

TEST_F(PipelineRedisTest, KillMidFlightIsOutcomeUnknownAndRestartWorksAgain) {
  SocketPipeline pipeline(server_.address(), {});
  ASSERT_TRUE(CallNow(pipeline, {Command::Eval(EchoScript(), {}, {"x"})}).ok());
  // Frozen, so that what is sent is surely unanswered when the server dies.
  server_.Freeze();
  auto future = SubmitForFuture(pipeline, {{"PING"}});
  // Blocks until the bytes are with the server: OldestAge counts it, the socket has taken it.
  auto second = SubmitForFuture(pipeline, {{"PING"}});
  EXPECT_EQ(future.wait_for(milliseconds(100)), std::future_status::timeout);
  EXPECT_GT(pipeline.OldestAge(), milliseconds(50));
  server_.Kill();
  for (auto* f : {&future, &second}) {
    absl::Status status = f->get().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN");
  }
  absl::Status down = CallNow(pipeline, {{"PING"}}).status();
  EXPECT_TRUE(absl::IsUnavailable(down)) << down;
  EXPECT_EQ(base::ReasonOf(down), "NOT_SENT");
  EXPECT_FALSE(pipeline.connected());
  server_.Start();
  AwaitWorking(pipeline);
  auto replies = CallNow(pipeline, {Command::Eval(EchoScript(), {}, {"again"})});
  ASSERT_TRUE(replies.ok());
  EXPECT_EQ((*replies)[0].text(), "again");
}

TEST_F(PipelineRedisTest, SilentServerFailsCallsWithinTheTimeoutAndComesBack) {
  Pipeline::Options options;
  options.call_timeout = milliseconds(100);
  SocketPipeline pipeline(server_.address(), options);
  ASSERT_TRUE(CallNow(pipeline, {{"PING"}}).ok());
  server_.Freeze();
  const auto begin = std::chrono::steady_clock::now();
  absl::Status status = CallNow(pipeline, {{"PING"}}).status();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
  server_.Thaw();
  EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN") << status;
  AwaitWorking(pipeline);
}

TEST_F(PipelineRedisTest, ACutEndsWhatIsUnderWayAndRefusesWhatComes) {
  Cutoff cutoff;
  Pipeline::Options options;
  options.cutoff = &cutoff;
  SocketPipeline pipeline(server_.address(), options);
  ASSERT_TRUE(CallNow(pipeline, {{"PING"}}).ok());
  // Under way for certain: Redis has it, and waits.
  std::future<Pipeline::Replies> waiting = SubmitForFuture(pipeline, {{"BLPOP", "list", "60"}});
  auto other = Connect();
  while (ParseInfo(other->Call({"INFO", "clients"})->text()).at("blocked_clients") != "1") {
    std::this_thread::yield();
  }
  const auto begin = std::chrono::steady_clock::now();
  cutoff.Cut();
  EXPECT_EQ(base::ReasonOf(waiting.get().status()), "OUTCOME_UNKNOWN");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(base::ReasonOf(CallNow(pipeline, {{"PING"}}).status()), "NOT_SENT");
    std::this_thread::sleep_for(milliseconds(30));
  }
  EXPECT_FALSE(pipeline.connected());
}

TEST_F(PipelineRedisTest, FullQueueRefusesWithRetryAndSendsNothingOfTheRefused) {
  Pipeline::Options options;
  options.queue_commands_max = 10;
  SocketPipeline pipeline(server_.address(), options);
  ASSERT_TRUE(CallNow(pipeline, {{"PING"}}).ok());
  server_.Freeze();
  std::vector<std::future<Pipeline::Replies>> admitted;
  for (int i = 0; i < 5; ++i) {
    admitted.push_back(SubmitForFuture(pipeline, {{"INCR", "n"}, {"INCR", "n"}}));
  }
  absl::Status refused = CallNow(pipeline, {{"INCR", "n"}}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(base::RetryAfterOf(refused), milliseconds(50));
  server_.Thaw();
  for (auto& future : admitted) {
    EXPECT_TRUE(future.get().ok());
  }
  auto replies = CallNow(pipeline, {{"GET", "n"}});
  ASSERT_TRUE(replies.ok()) << replies.status();
  EXPECT_EQ((*replies)[0].text(), "10");
}

TEST_F(PipelineRedisTest, QueueIsBoundedInBytesToo) {
  Pipeline::Options options;
  options.queue_bytes_max = 1000;
  SocketPipeline pipeline(server_.address(), options);
  EXPECT_TRUE(
      absl::IsResourceExhausted(CallNow(pipeline, {{"ECHO", std::string(2000, 'x')}}).status()));
  EXPECT_TRUE(CallNow(pipeline, {{"PING"}}).ok());
}

TEST_F(PipelineRedisTest, DestructorFailsWhatIsUnanswered) {
  std::future<Pipeline::Replies> future;
  {
    SocketPipeline pipeline(server_.address(), {});
    ASSERT_TRUE(CallNow(pipeline, {{"PING"}}).ok());
    server_.Freeze();
    future = SubmitForFuture(pipeline, {{"PING"}});
  }
  server_.Thaw();
  ASSERT_EQ(future.wait_for(seconds(0)), std::future_status::ready);
  EXPECT_TRUE(absl::IsUnavailable(future.get().status()));
}

TEST_F(PipelineRedisTest, AbsentServerFailsCallsAtOnceAsNotSent) {
  Address address = server_.address();
  address.socket_path += ".absent";
  SocketPipeline pipeline(address, {});
  for (int i = 0; i < 20; ++i) {
    absl::Status status = CallNow(pipeline, {{"PING"}}).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_EQ(base::ReasonOf(status), "NOT_SENT");
  }
}

TEST_F(PipelineRedisTest, PasswordIsSentFirst) {
  testing::RedisServer::Options options;
  options.arguments = {"--requirepass", "secret"};
  testing::RedisServer server(options);
  Address address = server.address();
  address.password = "secret";
  SocketPipeline right(address, {});
  EXPECT_TRUE(CallNow(right, {{"SET", "k", "v"}}).ok());
  address.password = "wrong";
  SocketPipeline wrong(address, {});
  EXPECT_EQ(base::ReasonOf(CallNow(wrong, {{"PING"}}).status()), "NOT_SENT");
}

}  // namespace
}  // namespace klatch::redis
