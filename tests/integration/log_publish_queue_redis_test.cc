// How posts wait for their script: what shares one, in which order they go, and what becomes of those that
// can't go.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <sstream>

#include "common/base/bytes.h"
#include "log_fixture.h"
#include "services/log/outcome.h"
#include "services/log/publish_queue.h"
#include "services/log/publish_words.h"
#include "services/model/limits.h"
#include "services/model/stored_slots.h"

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

  // Until Release the pipeline's thread sends and reads nothing, so that what is posted meanwhile waits.
  void Hold() {
    release_ = std::promise<void>();
    std::promise<void> held;
    pipeline_->Submit({redis::Command{"PING"}},
                      [&held, until = release_.get_future().share()](auto) {
                        held.set_value();
                        until.wait();
                      });
    held.get_future().wait();
  }
  void Release() { release_.set_value(); }

  // How often Redis has run a command.
  int Calls(const std::string& command) {
    std::istringstream lines(std::string(connection_->Call({"INFO", "commandstats"})->text()));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("cmdstat_" + command + ":")) {
        return std::stoi(line.substr(line.find("calls=") + 6));
      }
    }
    return 0;
  }
  int Scripts() { return Calls("eval") + Calls("evalsha"); }
  int Transactions() { return Calls("exec"); }

  // To within a minute.
  void ExpectKeptAsLong(const std::string& key, const std::string& other) {
    EXPECT_NEAR(static_cast<double>(Redis({"PTTL", key}).integer()),
                static_cast<double>(Redis({"PTTL", other}).integer()), 60'000)
        << key;
  }

  // The first update of a feed goes by a script, which makes it; at 40 and at 110 one makes it longer.
  void BeginFeed(int count = 1) {
    for (int i = 0; i < count; ++i) {
      ASSERT_THAT(Publish(Post("ann", "hiking", fmt::format("begin{}", i))), IsOk());
    }
  }

  std::future<absl::StatusOr<Appended>> StartTick(ShardIndex shard) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<Appended>>>();
    auto future = promise->get_future();
    base::Spawn([](Appender& appender, ShardIndex of, auto out) -> base::Task<void> {
      base::Task<absl::StatusOr<Appended>> tick = appender.Tick(of);
      absl::StatusOr<Appended> ticked = co_await std::move(tick);
      out->set_value(std::move(ticked));
    }(*appender_, shard, std::move(promise)));
    return future;
  }

  void Use(RedisAppender::Options options) {
    appender_ =
        std::make_unique<RedisAppender>(*pipeline_, layout_, log_clock_, std::move(options));
  }

 private:
  std::promise<void> release_;

  static base::Task<void> Run(Appender& appender, std::vector<PublishCommand> commands,
                              std::shared_ptr<std::promise<Results>> promise) {
    base::Task<Results> publish = appender.Publish(std::move(commands));
    Results results = co_await std::move(publish);
    promise->set_value(std::move(results));
  }
};

TEST_F(LogPublishQueueRedisTest, WhatWaitsSharesTransactions) {
  BeginFeed(120);
  const int scripts = Scripts();
  const int transactions = Transactions();
  Hold();
  std::vector<std::future<Results>> posts;
  for (size_t i = 0; i < 1 + PublishQueue::kPerRoundMax + 6; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  Release();
  Position last;
  for (std::future<Results>& post : posts) {
    const absl::StatusOr<Appended> result = First(post);
    ASSERT_THAT(result, IsOk());
    EXPECT_GT(result->position, last);
    EXPECT_FALSE(result->replayed);
    last = result->position;
  }
  // The first, as many as may, the other six.
  EXPECT_EQ(Transactions() - transactions, 3);
  EXPECT_EQ(Scripts() - scripts, 0);
}

TEST_F(LogPublishQueueRedisTest, ANarrowWayTakesFewAtOnce) {
  BeginFeed();
  Use({.open_share = [] { return 0.0; }});
  const int transactions = Transactions();
  Hold();
  std::vector<std::future<Results>> posts;
  for (int i = 0; i < 11; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  Release();
  for (std::future<Results>& post : posts) {
    EXPECT_THAT(First(post), IsOk());
  }
  EXPECT_EQ(Transactions() - transactions, 6);
}

TEST_F(LogPublishQueueRedisTest, WhoBringsMuchLeavesRoomForOthers) {
  const GroupId hiking("hiking");
  std::string other = "a";
  while (layout_.ShardOf(GroupId(other)) == layout_.ShardOf(hiking)) {
    other += "a";
  }
  MakeGroup("ann", other.c_str());
  std::vector<std::string> answered;  // the pipeline's thread writes it
  std::vector<std::future<void>> done;
  auto start = [&](const std::string& group, int count) {
    std::vector<PublishCommand> commands;
    for (int i = 0; i < count; ++i) {
      commands.push_back(Post("ann", group.c_str(), fmt::format("{}", i)));
    }
    auto promise = std::make_shared<std::promise<void>>();
    done.push_back(promise->get_future());
    base::Spawn([](Appender& appender, std::vector<PublishCommand> posts, std::string name,
                   std::vector<std::string>& out, auto end) -> base::Task<void> {
      base::Task<Results> publish = appender.Publish(std::move(posts));
      const Results results = co_await std::move(publish);
      out.push_back(name);
      end->set_value();
    }(*appender_, std::move(commands), group, answered, promise));
  };
  Hold();
  start("hiking", 1);
  start("hiking", static_cast<int>(PublishQueue::kPerRoundMax) + 10);
  start(other, 1);
  Release();
  for (std::future<void>& each : done) {
    each.wait();
  }
  EXPECT_EQ(answered, (std::vector<std::string>{"hiking", other, "hiking"}));
}

TEST_F(LogPublishQueueRedisTest, ACallIsAnsweredInItsOrderWhateverItSharesRoundsWith) {
  Hold();
  std::future<Results> first = StartPost("a");
  std::vector<PublishCommand> commands;
  for (int i = 0; i < 150; ++i) {
    // Rounds with refusals and without.
    commands.push_back(
        Post(i / 50 == 1 && i % 7 == 3 ? "zoe" : "ann", "hiking", std::to_string(i)));
  }
  std::future<Results> many = Start(std::move(commands));
  std::future<Results> last = StartPost("z");
  Release();
  Position before = First(first)->position;
  const Results results = many.get();
  ASSERT_EQ(results.size(), 150u);
  for (size_t i = 0; i < results.size(); ++i) {
    if (i / 50 == 1 && i % 7 == 3) {
      EXPECT_THAT(results[i], FailsWith(absl::StatusCode::kPermissionDenied, "actor")) << i;
    } else {
      ASSERT_THAT(results[i], IsOk()) << i;
      EXPECT_GT(results[i]->position, before) << i;
      before = results[i]->position;
    }
  }
  EXPECT_GT(First(last)->position, before);
}

TEST_F(LogPublishQueueRedisTest, WhatElseIsAppendedStopsTheTransactionAndScriptsDoIt) {
  BeginFeed();
  const int scripts = Scripts();
  const int transactions = Transactions();
  Hold();
  std::vector<std::future<Results>> posts;
  for (int i = 0; i < 8; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  // Sent behind the first post's questions, before its transaction.
  std::future<absl::StatusOr<Appended>> tick = StartTick(layout_.ShardOf(GroupId("hiking")));
  Release();
  EXPECT_THAT(tick.get(), IsOk());
  Position last;
  for (std::future<Results>& post : posts) {
    const absl::StatusOr<Appended> result = First(post);
    ASSERT_THAT(result, IsOk());
    EXPECT_GT(result->position, last);
    last = result->position;
  }
  EXPECT_EQ(Transactions() - transactions, 1);
  EXPECT_EQ(Scripts() - scripts, 2);  // the tick, the posts
  EXPECT_EQ(GroupField("hiking", "f"), "9");
  // The way back: one round by scripts, then transactions again.
  for (int i = 8; i < 12; ++i) {
    EXPECT_THAT(Publish(Post("ann", "hiking", std::to_string(i))), IsOk());
  }
  EXPECT_EQ(Transactions() - transactions, 4);
  EXPECT_EQ(Scripts() - scripts, 3);
}

TEST_F(LogPublishQueueRedisTest, OneKeyTwiceAtOnceIsOneUpdate) {
  BeginFeed();
  Hold();
  std::future<Results> first = StartPost("a");
  std::vector<PublishCommand> commands;
  for (const char* request : {"b", "b", "c", "a"}) {
    commands.push_back(Post("ann", "hiking", request));
  }
  std::future<Results> rest = Start(std::move(commands));
  Release();
  const Position a = First(first)->position;
  const Results results = rest.get();
  for (const absl::StatusOr<Appended>& result : results) {
    ASSERT_THAT(result, IsOk());
  }
  EXPECT_FALSE(results[0]->replayed);
  EXPECT_TRUE(results[1]->replayed);
  EXPECT_EQ(results[1]->position, results[0]->position);
  EXPECT_FALSE(results[2]->replayed);
  EXPECT_TRUE(results[3]->replayed);
  EXPECT_EQ(results[3]->position, a);
  EXPECT_EQ(GroupField("hiking", "f"), "4");
}

// Two nodes, each with its own pipeline, to one shard.
TEST_F(LogPublishQueueRedisTest, TwoWhoAppendToOneLogLoseNothing) {
  redis::SocketPipeline pipeline(server_.address(), {});
  RedisAppender other(pipeline, layout_, log_clock_, {});
  constexpr int kPosts = 600;
  auto post = [](Appender& appender, const std::string& name) {
    std::vector<Position> positions;
    for (int i = 0; i < kPosts; i += 3) {
      std::vector<PublishCommand> commands;
      for (int k = 0; k < 3; ++k) {
        commands.push_back(Post("ann", "hiking", fmt::format("{}{}", name, i + k)));
      }
      for (const absl::StatusOr<Appended>& result :
           testing::Await(appender.Publish(std::move(commands)))) {
        EXPECT_THAT(result, IsOk());
        positions.push_back(result.ok() ? result->position : Position());
      }
    }
    return positions;
  };
  auto ours = std::async(std::launch::async, post, std::ref(*appender_), "ours");
  std::vector<Position> positions = post(other, "theirs");
  for (const Position position : ours.get()) {
    positions.push_back(position);
  }
  std::ranges::sort(positions);
  ASSERT_EQ(std::ranges::adjacent_find(positions), positions.end());
  std::vector<Position> logged;
  for (const LogEntry& entry : Records("hiking")) {
    if (entry.record.has_published()) {
      logged.push_back(entry.position);
    }
  }
  EXPECT_EQ(logged, positions);
  EXPECT_EQ(GroupField("hiking", "f"), std::to_string(2 * kPosts));
  // The ring of the feed holds the newest.
  const std::string feed(Redis({"GET", keys_.Feed(GroupId("hiking"))}).text());
  std::vector<Position> kept;
  for (size_t at = 0; at < feed.size(); at += kSlotBytes) {
    kept.emplace_back(base::LoadLittleEndian<uint64_t>(feed, at));
  }
  std::ranges::sort(kept);
  EXPECT_EQ(kept.size(), limits::kStoredSlotsMax);
  EXPECT_TRUE(std::ranges::equal(kept, std::span(positions).last(kept.size())));
}

// A clock that went back: the other logs go on where the furthest is, by transactions and by scripts.
TEST_F(LogPublishQueueRedisTest, NoLogStaysBehindTheFurthest) {
  BeginFeed();
  const auto posted = Publish(Post("ann", "hiking", "before"));
  ASSERT_THAT(posted, IsOk());
  constexpr uint64_t kHourMs = 3'600'000;
  const Position ahead(posted->position.ms() + kHourMs, ShardIndex(0), 0);
  log_clock_.Note(ahead);
  const int transactions = Transactions();
  for (const char* id : {"by-transaction", "and-the-next"}) {
    const auto after = Publish(Post("ann", "hiking", id));
    ASSERT_THAT(after, IsOk());
    EXPECT_GE(after->position.ms(), ahead.ms()) << id;
  }
  EXPECT_GT(Transactions(), transactions);
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    const auto ticked = StartTick(ShardIndex(shard)).get();
    ASSERT_THAT(ticked, IsOk());
    EXPECT_GE(ticked->position.ms(), ahead.ms()) << shard;
  }
  // What is read of logs counts as well; what is more than a day ahead does not.
  RedisLogReader reader(server_.address(), {}, layout_, log_clock_);
  constexpr uint64_t kDayMs = 24 * kHourMs;
  const ShardIndex other((posted->position.shard().value() + 1) % layout_.shard_count);
  const Position far(posted->position.ms() + kDayMs + kHourMs, other, 5);
  Redis({"XADD", keys_.Log(other), far.ToStreamId(), "r", ""});
  ASSERT_THAT(reader.LastPositions(), IsOk());
  const auto last = Publish(Post("ann", "hiking", "last"));
  ASSERT_THAT(last, IsOk());
  EXPECT_LT(last->position.ms(), ahead.ms() + kHourMs);
}

// What transactions leave in Redis is what scripts leave, but for positions and nonces.
TEST_F(LogPublishQueueRedisTest, TransactionsLeaveWhatScriptsLeave) {
  const PublishWords words(layout_, log_clock_, limits::kBodyRetention, limits::kOnceRetention);
  MakeGroup("ann", "scripted");
  ASSERT_THAT(Add("ann", "scripted", {{"ben", Role::kMember}, {"rea", Role::kReader}}, "add"),
              IsOk());
  ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kMember}, {"rea", Role::kReader}}, "add"),
              IsOk());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t in_an_hour = std::chrono::duration_cast<milliseconds>(now).count() + 3'600'000;
  for (int i = 0; i < 130; ++i) {
    const char* actor = i % 11 == 5 ? "ben" : i % 17 == 3 ? "zoe" : i % 23 == 4 ? "rea" : "ann";
    const std::string request = std::to_string(i % 29 == 7 ? i - 1 : i);
    const UpdateOrigin origin = i % 5 == 2 ? UpdateOrigin::kImport : UpdateOrigin::kPost;
    const AudienceRule audience = static_cast<AudienceRule>(i % 3);
    auto of = [&](const char* group) {
      PublishCommand command = Post(actor, group, request);
      command.body = BodyOf(PersonId(actor), GroupId(group), "hi", 0, audience);
      command.expire_unix_ms = i % 7 == 1 ? in_an_hour : kNeverUnixMs;
      command.bad_reference = i % 31 == 9 ? BadReference::kReplyTo : BadReference::kNone;
      return command;
    };
    const absl::StatusOr<Appended> result =
        origin == UpdateOrigin::kImport ? Import(of("hiking")) : Publish(of("hiking"));
    const PublishCommand scripted = of("scripted");
    const PublishCommand* commands[] = {&scripted};
    const auto reply = connection_->CallAll(std::vector{words.Script(origin, commands)});
    ASSERT_THAT(reply, IsOk());
    const absl::StatusOr<Outcome> outcome = ReadOutcome((*reply)[0][0], {});
    ASSERT_EQ(result.status().code(), outcome.status().code()) << i << outcome.status();
    if (!result.ok()) {
      continue;
    }
    EXPECT_EQ(result->replayed, outcome->replayed) << i;
    EXPECT_EQ(result->audience, outcome->audience) << i;
    const std::string update = keys_.Update(result->position);
    const std::string scripted_update = keys_.Update(outcome->position);
    const auto body = Body::Decode(std::string(Redis({"GET", update}).text()));
    const auto scripted_body = Body::Decode(std::string(Redis({"GET", scripted_update}).text()));
    ASSERT_TRUE(body && scripted_body) << i;
    EXPECT_EQ(body->header().audience, scripted_body->header().audience) << i;
    EXPECT_EQ(body->update_bytes(), scripted_body->update_bytes()) << i;
    ExpectKeptAsLong(update, scripted_update);
    const std::string once = words.OnceKey(origin, of("hiking"));
    const std::string scripted_once = words.OnceKey(origin, scripted);
    const std::string outcome_bytes(Redis({"GET", once}).text());
    EXPECT_EQ(outcome_bytes.size(), 24u) << i;
    EXPECT_EQ(base::LoadLittleEndian<uint64_t>(outcome_bytes, 0), result->position.value()) << i;
    EXPECT_EQ(outcome_bytes.substr(8), Redis({"GET", scripted_once}).text().substr(8)) << i;
    ExpectKeptAsLong(once, scripted_once);
  }
  EXPECT_GT(Transactions(), 60);
  EXPECT_EQ(GroupField("hiking", "f"), GroupField("scripted", "f"));
  EXPECT_EQ(Redis({"STRLEN", keys_.Feed(GroupId("hiking"))}).integer(),
            Redis({"STRLEN", keys_.Feed(GroupId("scripted"))}).integer());
}

TEST_F(LogPublishQueueRedisTest, WhatWaitedForTooLongIsNotSent) {
  Use({.publish_wait_max = milliseconds(50)});
  Hold();
  std::future<Results> first = StartPost("a");
  std::future<Results> second = StartPost("b");
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_GE(appender_->OldestAge(), milliseconds(100));
  Release();
  EXPECT_THAT(First(first), IsOk());
  const absl::StatusOr<Appended> late = First(second);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kUnavailable) << late.status();
  EXPECT_EQ(base::ReasonOf(late.status()), "NOT_SENT");
  EXPECT_EQ(appender_->OldestAge(), milliseconds(0));
  const absl::StatusOr<Appended> again = Publish(Post("ann", "hiking", "b"));
  ASSERT_THAT(again, IsOk());
  EXPECT_FALSE(again->replayed);
}

TEST_F(LogPublishQueueRedisTest, SaysHowLongAPostWouldWait) {
  constexpr size_t kPosts = 2'000;
  const auto posts = [](const std::string& run) {
    std::vector<PublishCommand> commands;
    for (size_t i = 0; i < kPosts; ++i) {
      commands.push_back(Post("ann", "hiking", fmt::format("{}{}", run, i)));
    }
    return commands;
  };
  const auto take_all = [](std::future<Results>& waiting) {
    for (const absl::StatusOr<Appended>& result : waiting.get()) {
      ASSERT_THAT(result, IsOk());
    }
  };
  EXPECT_EQ(appender_->ExpectedWait(), milliseconds(0));
  const base::MonotonicTime begun = std::chrono::steady_clock::now();
  std::future<Results> first = Start(posts("first"));
  take_all(first);
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_EQ(appender_->ExpectedWait(), milliseconds(0));

  // The second time behind a round that took very long: Redis stood still, but goes no slower.
  for (const std::string run : {"second", "third"}) {
    Hold();
    std::future<Results> held = StartPost(run);
    std::future<Results> waiting = Start(posts(run));
    std::this_thread::sleep_for(milliseconds(500));
    EXPECT_GT(appender_->ExpectedWait(), took / 4) << run;
    EXPECT_LT(appender_->ExpectedWait(), took * 4) << run;
    Release();
    EXPECT_THAT(First(held), IsOk());
    take_all(waiting);
  }
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

// Redis answers questions and writes nothing, and goes.
TEST_F(LogPublishQueueRedisTest, ABrokenConnectionFailsWhatWaitsToo) {
  BeginFeed();
  ASSERT_FALSE(connection_->Call({"CLIENT", "PAUSE", "60000", "WRITE"})->is_error());
  std::vector<std::future<Results>> posts;
  posts.push_back(StartPost("first"));
  while (connection_->Call({"CLIENT", "LIST"})->text().find(" multi=0 ") ==
         std::string_view::npos) {
    std::this_thread::yield();
  }
  for (int i = 0; i < 40; ++i) {
    posts.push_back(StartPost(std::to_string(i)));
  }
  server_.Kill();
  std::vector<std::string> reasons;
  for (std::future<Results>& post : posts) {
    const absl::Status status = First(post).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    reasons.push_back(base::ReasonOf(status).value_or(""));
  }
  // Only the first was being written.
  EXPECT_EQ(reasons.front(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(std::ranges::count(reasons, "NOT_SENT"), 40);
}

}  // namespace
}  // namespace klatch
