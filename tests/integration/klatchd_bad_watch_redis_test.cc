// Watches that klatchd must refuse, and tokens that it did not make or can't follow.

#include <gmock/gmock.h>

#include "absl/strings/escaping.h"
#include "services/model/keys.h"
#include "services/model/limits.h"
#include "services/model/watch_tokens.h"
#include "tests/integration/any_call.h"
#include "tests/integration/klatchd_bad_input.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class KlatchdBadWatchTest : public KlatchdBadInputTest {
 protected:
  // How a watch ends that must not begin.
  std::function<grpc::Status()> Watch(
      const std::function<void(v1::WatchHomeTimelineRequest&)>& change) {
    v1::WatchHomeTimelineRequest request = Watching("ann");
    change(request);
    return [this, request] {
      Watcher watcher(klatchd_->Channel(), request);
      EXPECT_TRUE(watcher.AwaitEnd());
      EXPECT_THAT(WordsOf(watcher.events()), IsEmpty());
      return watcher.status();
    };
  }
  std::function<grpc::Status()> WatchMany(
      const std::function<void(v1::WatchHomeTimelinesRequest&)>& change, bool is_first = true) {
    return [this, change, is_first] {
      Gateway gateway(klatchd_->Channel());
      if (!is_first) {
        gateway.Watch({"ann"});
        EXPECT_TRUE(gateway.AwaitAnswers(1));
      }
      v1::WatchHomeTimelinesRequest request;
      change(request);
      gateway.Send(request);
      EXPECT_TRUE(gateway.AwaitEnd());
      return gateway.status();
    };
  }

  // How a stream ends whose first message is `bytes`.
  grpc::Status SendRaw(const std::string& method, const std::string& bytes) {
    return CallAny(klatchd_->Channel(), "/klatch.v1.FeedService/" + method, bytes, kCallDeadline)
        .status;
  }

  static Layout FixturesLayout() {
    return {.name = "default", .shard_count = 4, .partition_count = 4};
  }
  // Signs as klatchd does.
  WatchTokens Forge() const {
    auto redis = klatchd_->ConnectRedis();
    const redis::Command get{"HGET", Keys(FixturesLayout()).Namespace(), "cursor_key"};
    const auto key = redis->Call(get);
    const std::string_view hex = key->text();
    return WatchTokens(FixturesLayout(),
                       absl::HexStringToBytes(absl::string_view(hex.data(), hex.size())));
  }
};

TEST_F(KlatchdBadWatchTest, RequestsOfOnePerson) {
  const std::string of_bob = client_.Home("bob")->watch_token();
  ASSERT_NE(of_bob, "");
  const std::string page_token = client_.Home("ann", {}, 1)->next_page_token();
  ASSERT_NE(page_token, "");
  Check({
      {"no actor", StatusCode::INVALID_ARGUMENT, "actor", Watch([](auto& r) { r.clear_actor(); })},
      {"long actor", StatusCode::INVALID_ARGUMENT, "actor",
       Watch([](auto& r) { r.set_actor(std::string(129, 'a')); })},
      {"another namespace", StatusCode::NOT_FOUND, "namespace",
       Watch([](auto& r) { r.set_namespace_("other"); })},
      {"heartbeat below 0", StatusCode::INVALID_ARGUMENT, "heartbeat_seconds",
       Watch([](auto& r) { r.set_heartbeat_seconds(-1); })},
      {"heartbeat above 60", StatusCode::INVALID_ARGUMENT, "heartbeat_seconds",
       Watch([](auto& r) { r.set_heartbeat_seconds(61); })},
      {"token of another person", StatusCode::INVALID_ARGUMENT, "resume_token",
       Watch([&](auto& r) { r.set_resume_token(of_bob); })},
      {"token of a page", StatusCode::INVALID_ARGUMENT, "resume_token",
       Watch([&](auto& r) { r.set_resume_token(page_token); })},
      {"garbage", StatusCode::INVALID_ARGUMENT, "resume_token",
       Watch([](auto& r) { r.set_resume_token("garbage"); })},
      {"huge token", StatusCode::INVALID_ARGUMENT, "resume_token",
       Watch([](auto& r) { r.set_resume_token(std::string(100'000, 'A')); })},
      {"token of no shard", StatusCode::INVALID_ARGUMENT, "tokens[0].shard",
       Watch([](auto& r) { r.add_tokens()->set_shard(4); })},
      {"position of another shard", StatusCode::INVALID_ARGUMENT, "tokens[1].position",
       Watch([](auto& r) {
         r.add_tokens();
         r.add_tokens()->set_shard(1);
         r.mutable_tokens(1)->set_position(Position(1, ShardIndex(2), 0).value());
       })},
      {"129 tokens", StatusCode::INVALID_ARGUMENT, "tokens", Watch([](auto& r) {
         for (int i = 0; i < 129; ++i) {
           r.add_tokens();
         }
       })},
  });
}

TEST_F(KlatchdBadWatchTest, RequestsOfGateways) {
  const std::string of_bob = client_.Home("bob")->watch_token();
  const auto add = [](auto& request, int count) {
    for (int i = 0; i < count; ++i) {
      request.mutable_add()->add_persons(std::to_string(i));
    }
  };
  Check({
      {"nobody", StatusCode::INVALID_ARGUMENT, "add.persons",
       WatchMany([](auto& r) { r.mutable_add(); })},
      {"nobody to remove", StatusCode::INVALID_ARGUMENT, "remove.persons",
       WatchMany([](auto& r) { r.mutable_remove(); })},
      {"an empty name", StatusCode::INVALID_ARGUMENT, "add.persons[0]",
       WatchMany([](auto& r) { r.mutable_add()->add_persons(""); })},
      {"100,001 persons", StatusCode::INVALID_ARGUMENT, "add.persons",
       WatchMany([&](auto& r) { add(r, 100'001); })},
      {"100,001 to remove", StatusCode::INVALID_ARGUMENT, "remove.persons",
       WatchMany(
           [](auto& r) {
             for (int i = 0; i < 100'001; ++i) {
               r.mutable_remove()->add_persons(std::to_string(i));
             }
           },
           false)},
      {"heartbeat below 0", StatusCode::INVALID_ARGUMENT, "heartbeat_seconds",
       WatchMany([](auto& r) { r.set_heartbeat_seconds(-1); })},
      {"heartbeat above 60", StatusCode::INVALID_ARGUMENT, "heartbeat_seconds",
       WatchMany([](auto& r) { r.set_heartbeat_seconds(61); })},
      {"another's token for one person", StatusCode::INVALID_ARGUMENT, "add.resume_token",
       WatchMany([&](auto& r) {
         r.mutable_add()->set_resume_token(of_bob);
         r.mutable_add()->add_persons("ann");
       })},
      {"nothing", StatusCode::INVALID_ARGUMENT, "change", WatchMany([](auto&) {}, false)},
      {"namespace later", StatusCode::INVALID_ARGUMENT, "namespace",
       WatchMany([](auto& r) { r.set_namespace_("default"); }, false)},
      {"heartbeat later", StatusCode::INVALID_ARGUMENT, "heartbeat_seconds",
       WatchMany([](auto& r) { r.set_heartbeat_seconds(1); }, false)},
      {"one person's token for two", StatusCode::INVALID_ARGUMENT, "add.resume_token",
       WatchMany([&](auto& r) {
         r.mutable_add()->set_resume_token(of_bob);
         r.mutable_add()->add_persons("bob");
         r.mutable_add()->add_persons("ann");
       })},
      {"garbage", StatusCode::INVALID_ARGUMENT, "add.resume_token", WatchMany([](auto& r) {
         r.mutable_add()->add_persons("bob");
         r.mutable_add()->set_resume_token("garbage");
       })},
  });
}

TEST_F(KlatchdBadWatchTest, EveryIdIsChecked) {
  const std::vector<std::pair<std::string, std::string>> bad_ids = {
      {"empty", ""},
      {"129 bytes", std::string(129, 'x')},
      {"NUL", std::string("a\0b", 3)},
      {"CR LF", "a\r\nb"},
      {"DEL", "a\x7f"},
      {"no UTF-8", "a\xff\xfe"},
      {"half a character", "a\xe2\x82"}};
  std::vector<Row> rows;
  for (const auto& [what, id] : bad_ids) {
    rows.push_back({"actor: " + what, StatusCode::INVALID_ARGUMENT, "actor",
                    Watch([&id = id](auto& r) { r.set_actor(id); })});
    rows.push_back({"to add: " + what, StatusCode::INVALID_ARGUMENT, "add.persons[1]",
                    WatchMany([&id = id](auto& r) {
                      r.mutable_add()->add_persons("bob");
                      r.mutable_add()->add_persons(id);
                    })});
    rows.push_back({"to remove: " + what, StatusCode::INVALID_ARGUMENT, "remove.persons[1]",
                    WatchMany(
                        [&id = id](auto& r) {
                          r.mutable_remove()->add_persons("bob");
                          r.mutable_remove()->add_persons(id);
                        },
                        false)});
  }
  Check(rows);
}

TEST_F(KlatchdBadWatchTest, NamespacesThatAreNotServed) {
  std::vector<Row> rows;
  for (const std::string& name : {std::string("other"), std::string("Default"), std::string(" "),
                                  std::string("default\0", 8), std::string(64 << 10, 'x')}) {
    rows.push_back({"one of " + name.substr(0, 9), StatusCode::NOT_FOUND, "namespace",
                    Watch([=](auto& r) { r.set_namespace_(name); })});
    rows.push_back({"many of " + name.substr(0, 9), StatusCode::NOT_FOUND, "namespace",
                    WatchMany([=](auto& r) {
                      r.set_namespace_(name);
                      r.mutable_add()->add_persons("bob");
                    })});
  }
  Check(rows);
}

TEST_F(KlatchdBadWatchTest, ResumeTokensThatWereTamperedWith) {
  const std::string good = client_.Home("ann")->watch_token();
  ASSERT_GT(good.size(), 8u);
  std::vector<std::pair<std::string, std::string>> tokens = {
      {"first half", good.substr(0, good.size() / 2)},
      {"without its last four characters", good.substr(0, good.size() - 4)},
      {"without its first", good.substr(1)},
      {"twice", good + good}};
  for (const size_t at : {size_t{0}, good.size() / 4, good.size() / 2, good.size() - 8}) {
    std::string flipped = good;
    flipped[at] = flipped[at] == 'A' ? 'B' : 'A';
    tokens.emplace_back("flipped at " + std::to_string(at), flipped);
  }
  std::vector<Row> rows;
  for (const auto& [what, token] : tokens) {
    rows.push_back({"one: " + what, StatusCode::INVALID_ARGUMENT, "resume_token",
                    Watch([&token = token](auto& r) { r.set_resume_token(token); })});
    rows.push_back({"many: " + what, StatusCode::INVALID_ARGUMENT, "add.resume_token",
                    WatchMany([&token = token](auto& r) {
                      r.mutable_add()->add_persons("ann");
                      r.mutable_add()->set_resume_token(token);
                    })});
  }
  Check(rows);
}

TEST_F(KlatchdBadWatchTest, BytesThatAreNoProtocolBuffer) {
  std::vector<Row> rows;
  for (const char* method : {"WatchHomeTimeline", "WatchHomeTimelines"}) {
    for (const std::string& bytes : {std::string("\xff\xff\xff\xff"), std::string("\x0a\x7f")}) {
      // No field can be named.
      rows.push_back({method, StatusCode::INVALID_ARGUMENT, "",
                      [this, method, bytes] { return SendRaw(method, bytes); }});
    }
  }
  Check(rows);
}

TEST_F(KlatchdBadWatchTest, StreamOfNobodyBeginsAndTakesPersonsLater) {
  Gateway gateway(klatchd_->Channel());
  v1::WatchHomeTimelinesRequest request;
  request.set_heartbeat_seconds(1);
  gateway.Send(request);
  ASSERT_TRUE(gateway.AwaitBegun());
  EXPECT_THAT(gateway.answers(), IsEmpty());
  gateway.Watch({"bob"});
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  EXPECT_EQ(gateway.answers()[0].persons(), 1u);
}

TEST_F(KlatchdBadWatchTest, GatewaysTokensFromTheFutureAndFromBeforeTheLogBeginWithAGap) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const Position future(uint64_t{1} << 40, ShardIndex(1), 0);
  for (const auto& [position, gap] : {std::pair(future, "gap GAP_REASON_NODE_BEHIND"),
                                      std::pair(Position(), "gap GAP_REASON_TOKEN_TOO_OLD")}) {
    const std::string token = Forge().MakeForStream(
        {.floor = {Position(), position, Position(), Position()}, .shown = {}});
    Gateway gateway(klatchd_->Channel());
    gateway.Watch({"bob", "ann"}, token);
    ASSERT_TRUE(gateway.AwaitAnswers(1));
    EXPECT_EQ(gateway.answers()[0].persons(), 2u);
    ASSERT_TRUE(gateway.AwaitToken(1));
    EXPECT_EQ(WordOf(gateway.events()[0]), gap);
  }
}

TEST_F(KlatchdBadWatchTest, StreamOfHundredThousandPersonsTakesNoMore) {
  std::vector<std::string> persons;
  for (size_t i = 0; i < limits::kWatchPersonsPerStreamMax; ++i) {
    persons.push_back(std::to_string(i));
  }
  Gateway gateway(klatchd_->Channel());
  gateway.Watch(persons);
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  EXPECT_EQ(gateway.answers()[0].persons(), persons.size());
  gateway.Watch({"one more"});
  ASSERT_TRUE(gateway.AwaitEnd());
  EXPECT_EQ(gateway.status().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(BadField(gateway.status()), "add.persons");
}

TEST_F(KlatchdBadWatchTest, TokenFromTheFutureBeginsWithAGap) {
  const Position future(uint64_t{1} << 40, ShardIndex(1), 0);
  const std::string token = Forge().MakeForPerson(
      PersonId("ann"), {.floor = {Position(), future, Position(), Position()}, .shown = {}});
  Watcher watcher(klatchd_->Channel(), "ann", token);
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_THAT(client_.Publish("ann", "g", "hello again"), Succeeds());
  EXPECT_TRUE(watcher.AwaitWords({"gap GAP_REASON_NODE_BEHIND", "+hello again"}));
}

TEST_F(KlatchdBadWatchTest, TokenFromBeforeTheLogBeginsWithAGapAndShowsWhatThereIs) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  const std::string token =
      Forge().MakeForPerson(PersonId("bob"), {.floor = std::vector<Position>(4), .shown = {}});
  const auto page = client_.Home("bob");
  Watcher watcher(klatchd_->Channel(), "bob", token);
  ASSERT_TRUE(watcher.AwaitToken(1));
  const Events events = watcher.events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(WordOf(events[0]), "gap GAP_REASON_TOKEN_TOO_OLD");
  std::vector<uint64_t> shown;
  for (const v1::WatchEvent& event : events) {
    if (event.has_published()) {
      shown.insert(shown.begin(), event.published().id());
    }
  }
  std::vector<uint64_t> on_page;
  for (const v1::Update& update : page->updates()) {
    on_page.push_back(update.id());
  }
  EXPECT_EQ(shown, on_page);
}

TEST_F(KlatchdBadWatchTest, MoreWatchesThanTheNodeMayHave) {
  Klatchd small({.arguments = {"--watches-max", "1", "--watched-persons-max", "2"}});
  Gateway gateway(small.Channel());
  gateway.Watch({"a", "b", "c"});
  ASSERT_TRUE(gateway.AwaitAnswers(1));
  EXPECT_EQ(gateway.answers()[0].persons(), 2u);
  ASSERT_EQ(gateway.answers()[0].refused_size(), 1);
  EXPECT_EQ(gateway.answers()[0].refused(0).person(), "c");
  EXPECT_EQ(gateway.answers()[0].refused(0).error().code(), StatusCode::RESOURCE_EXHAUSTED);
  Watcher watcher(small.Channel(), "a");
  ASSERT_TRUE(watcher.AwaitEnd());
  EXPECT_EQ(watcher.status().error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace klatch::testing
