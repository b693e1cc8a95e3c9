// How posts wait for their script: what shares one, in which order they go, and what becomes of those that
// can't go.

#include <gtest/gtest.h>

#include <future>
#include <sstream>

#include "log_fixture.h"
#include "services/log/publish_queue.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::FailsWith;
using testing::IsOk;
using testing::LogRedisTest;
using Results = std::vector<absl::StatusOr<Appended>>;

class LogPublishQueueRedisTest : public LogRedisTest {
 protected:
  void SetUp() override {
    LogRedisTest::SetUp();
    MakeGroup("ann", "hiking");
  }

  // Runs until its first wait.
  std::future<Results> Start(std::vector<PublishCommand> commands) {
    auto promise = std::make_shared<std::promise<Results>>();
    std::future<Results> future = promise->get_future();
    base::Spawn(Run(*appender_, std::move(commands), std::move(promise)));
    return future;
  }

  std::future<Results> StartPost(const std::string& request_id) {
    std::vector<PublishCommand> commands;
    commands.push_back(Post("ann", "hiking", request_id));
    return Start(std::move(commands));
  }

  static absl::StatusOr<Appended> First(std::future<Results>& future) { return future.get().at(0); }

  // Until the next Resume, Redis answers no script.
  void Pause() {
    ASSERT_FALSE(connection_->Call({"CLIENT", "PAUSE", "60000", "WRITE"})->is_error());
  }
  void Resume() { ASSERT_FALSE(connection_->Call({"CLIENT", "UNPAUSE"})->is_error()); }

  // How many scripts Redis has run.
  int Scripts() {
    std::istringstream lines(std::string(connection_->Call({"INFO", "commandstats"})->text()));
    int scripts = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("cmdstat_eval")) {
        scripts += std::stoi(line.substr(line.find("calls=") + 6));
      }
    }
    return scripts;
  }

  void Use(RedisAppender::Options options) {
    appender_ = std::make_unique<RedisAppender>(*pipeline_, layout_, std::move(options));
  }

 private:
  static base::Task<void> Run(Appender& appender, std::vector<PublishCommand> commands,
                              std::shared_ptr<std::promise<Results>> promise) {
    base::Task<Results> publish = appender.Publish(std::move(commands));
    Results results = co_await std::move(publish);
    promise->set_value(std::move(results));
  }
};

TEST_F(LogPublishQueueRedisTest, CallsThatWaitShareScripts) {
  Use({.open_share = [] { return 0.0; }});
  const int before = Scripts();
  Pause();
  std::vector<std::future<Results>> posts;
  for (int i = 0; i < 40; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  Resume();
  Position last;
  for (std::future<Results>& post : posts) {
    const absl::StatusOr<Appended> result = First(post);
    ASSERT_THAT(result, IsOk());
    EXPECT_GT(result->position, last);
    last = result->position;
  }
  // Two at once, the other 38 in three more.
  EXPECT_EQ(Scripts() - before, 5);
}

TEST_F(LogPublishQueueRedisTest, AnOpenWayTakesMoreAtOnce) {
  const int before = Scripts();
  Pause();
  std::vector<std::future<Results>> posts;
  for (size_t i = 0; i < PublishQueue::kUnderWayMax + 5; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  Resume();
  for (std::future<Results>& post : posts) {
    EXPECT_THAT(First(post), IsOk());
  }
  EXPECT_EQ(Scripts() - before, static_cast<int>(PublishQueue::kUnderWayMax) + 1);
}

TEST_F(LogPublishQueueRedisTest, ACallIsAnsweredInItsOrderWhateverItSharesScriptsWith) {
  Use({.open_share = [] { return 0.0; }});
  Pause();
  std::future<Results> first = StartPost("a");
  std::vector<PublishCommand> commands;
  for (int i = 0; i < 50; ++i) {
    commands.push_back(Post(i % 7 == 3 ? "zoe" : "ann", "hiking", std::to_string(i)));
  }
  std::future<Results> many = Start(std::move(commands));
  std::future<Results> last = StartPost("z");
  Resume();
  Position before = First(first)->position;
  const Results results = many.get();
  ASSERT_EQ(results.size(), 50u);
  for (size_t i = 0; i < results.size(); ++i) {
    if (i % 7 == 3) {
      EXPECT_THAT(results[i], FailsWith(absl::StatusCode::kPermissionDenied, "actor")) << i;
    } else {
      ASSERT_THAT(results[i], IsOk()) << i;
      EXPECT_GT(results[i]->position, before) << i;
      before = results[i]->position;
    }
  }
  EXPECT_GT(First(last)->position, before);
}

TEST_F(LogPublishQueueRedisTest, WhatWaitedForTooLongIsNotSent) {
  Use({.publish_wait_max = milliseconds(50), .open_share = [] { return 0.0; }});
  Pause();
  std::future<Results> first = StartPost("a");
  std::future<Results> second = StartPost("b");
  std::future<Results> third = StartPost("c");
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_GE(appender_->OldestAge(), milliseconds(100));
  Resume();
  EXPECT_THAT(First(first), IsOk());
  EXPECT_THAT(First(second), IsOk());
  const absl::StatusOr<Appended> late = First(third);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable) << late.status();
  EXPECT_EQ(base::ReasonOf(late.status()), "NOT_SENT");
  EXPECT_EQ(appender_->OldestAge(), milliseconds(0));
  const absl::StatusOr<Appended> again = Publish(Post("ann", "hiking", "c"));
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->replayed);
}

TEST_F(LogPublishQueueRedisTest, RefusesMoreThanMayWait) {
  std::vector<PublishCommand> commands(PublishQueue::kWaitingMax + 1, Post("ann", "hiking", "a"));
  const Results results = Start(std::move(commands)).get();
  ASSERT_EQ(results.size(), PublishQueue::kWaitingMax + 1);
  for (const absl::StatusOr<Appended>& result : {results.front(), results.back()}) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted) << result.status();
    EXPECT_TRUE(base::RetryAfterOf(result.status()).has_value());
  }
  EXPECT_THAT(Publish(Post("ann", "hiking", "a")), IsOk());
}

TEST_F(LogPublishQueueRedisTest, ABrokenConnectionFailsWhatWaitsToo) {
  Use({.open_share = [] { return 0.0; }});
  Pause();
  std::vector<std::future<Results>> posts;
  for (int i = 0; i < 40; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  server_.Kill();
  int unknown = 0;
  for (std::future<Results>& post : posts) {
    const absl::Status status = First(post).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    unknown += base::ReasonOf(status) == "OUTCOME_UNKNOWN" ? 1 : 0;
  }
  EXPECT_LE(unknown, static_cast<int>(PublishQueue::kUnderWayMin));
}

}  // namespace
}  // namespace klatch
