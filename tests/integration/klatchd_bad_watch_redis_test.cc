// Watches that klatchd must refuse, and tokens that it did not make or can't follow.

#include <gmock/gmock.h>

#include "absl/strings/escaping.h"
#include "services/model/keys.h"
#include "services/model/limits.h"
#include "services/model/watch_tokens.h"
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
