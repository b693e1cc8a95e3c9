// Watches of a klatchd over HTTP, as server-sent events: the same as over gRPC, and resumed by what
// a browser sends when it comes back.

#include <gmock/gmock.h>

#include "tests/integration/klatchd_http_client.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kWatch[] = "/klatch.v1.FeedService/WatchHomeTimeline";

// A stream read by the test's own thread.
class EventSource {
 public:
  EventSource(const std::string& address, const std::string& query,
              const std::string& last_event_id = "")
      : peer_(address) {
    const std::string header =
        last_event_id.empty() ? "" : "Last-Event-ID: " + last_event_id + "\r\n";
    peer_.Send(Getting(kWatch + query, "Accept: text/event-stream\r\n" + header));
    const auto head = peer_.ReadHead();
    EXPECT_TRUE(head.has_value());
    EXPECT_EQ(head ? head->code : 0, 200);
  }

  // Reads until all words have come, and then to the next token; false if the stream ends before.
  bool Await(const std::vector<std::string>& words) {
    while (!(words_ == words && is_whole_)) {
      const auto event = peer_.ReadEvent();
      if (!event || words_.size() > words.size()) {
        ADD_FAILURE() << ::testing::PrintToString(words_);
        return false;
      }
      const WatchMessage message = WatchMessageOf(*event);
      EXPECT_EQ(message.id, message.response.resume_token());
      for (const v1::WatchEvent& each : message.response.events()) {
        words_.push_back(WordOf(each));
      }
      is_whole_ = !message.id.empty();
      if (is_whole_) {
        last_event_id_ = message.id;
      }
    }
    return true;
  }
  const std::string& last_event_id() const { return last_event_id_; }

 private:
  HttpPeer peer_;
  std::vector<std::string> words_;
  bool is_whole_ = false;
  std::string last_event_id_;
};

class KlatchdHttpWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(client_.CreateGroup("ann", "hiking"), Succeeds());
    ASSERT_THAT(client_.AddApplied("ann", "hiking", {"bob"}), Succeeds());
  }
  const std::string& address() const { return klatchd_.http_address(); }

  Klatchd klatchd_{{.arguments = {"--http-listen", "127.0.0.1:0", "--shards", "4", "--partitions",
                                  "4", "--workers", "2"}}};
  Client client_{klatchd_.Channel()};
};

TEST_F(KlatchdHttpWatchTest, ShowsWhatHappensAndGoesOnBehindTheLastEvent) {
  std::string last_event_id;
  {
    EventSource source(address(), "?actor=bob&heartbeat_seconds=1");
    ASSERT_TRUE(source.Await({}));
    const auto first = client_.Publish("ann", "hiking", "first");
    ASSERT_TRUE(source.Await({"+first"}));
    ASSERT_THAT(client_.Edit("ann", first->update_id(), "edited"), Succeeds());
    ASSERT_TRUE(source.Await({"+first", "~edited"}));
    last_event_id = source.last_event_id();
  }
  ASSERT_THAT(client_.Publish("ann", "hiking", "missed"), Succeeds());
  ASSERT_THAT(client_.Remove("ann", "hiking", {"bob"}), Succeeds());
  ASSERT_THAT(client_.AddApplied("ann", "hiking", {"bob"}), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "hiking", "second"), Succeeds());
  // By the same address as before, which a browser keeps; the header is newer.
  EventSource again(address(), "?actor=bob&heartbeat_seconds=1", last_event_id);
  Watcher by_grpc(klatchd_.Channel(), "bob", last_event_id);
  ASSERT_TRUE(by_grpc.AwaitToken(1));
  const auto words = WordsOf(by_grpc.events());
  EXPECT_TRUE(again.Await(words));
  EXPECT_THAT(words, ::testing::Contains("+second"));
  EXPECT_THAT(words, ::testing::Not(::testing::Contains("+first")));
}

TEST_F(KlatchdHttpWatchTest, BeginsBehindAPage) {
  const auto posted = client_.Publish("ann", "hiking", "on the page");
  const auto page = client_.Home("bob", posted->tokens());
  ASSERT_NE(page->watch_token(), "");
  ASSERT_THAT(client_.Publish("ann", "hiking", "behind it"), Succeeds());
  EventSource source(address(),
                     "?actor=bob&heartbeat_seconds=1&resume_token=" + page->watch_token());
  EXPECT_TRUE(source.Await({"+behind it"}));
}

TEST_F(KlatchdHttpWatchTest, ClientThatGoesAwayEndsItsWatch) {
  const auto watches = [this](int count) {
    const std::string line = fmt::format("\nklatch_watches {}\n", count);
    return klatchd_.Get("/metrics").second.find(line) != std::string::npos;
  };
  {
    EventSource one(address(), "?actor=bob");
    EventSource other(address(), "?actor=ann");
    EXPECT_TRUE(Eventually([&] { return watches(2); }));
  }
  EXPECT_TRUE(Eventually([&] { return watches(0); }));
  EXPECT_TRUE(Eventually([&] {
    return klatchd_.Get("/metrics").second.find("\nklatch_http_connections 0\n") !=
           std::string::npos;
  }));
}

TEST_F(KlatchdHttpWatchTest, EndsAtTheTimeThatItsClientHasSet) {
  HttpPeer peer(address());
  peer.Send(Getting(std::string(kWatch) + "?actor=bob", "X-Timeout-Ms: 300\r\n"));
  ASSERT_TRUE(peer.ReadHead().has_value());
  std::optional<std::string> event;
  std::string last;
  while ((event = peer.ReadEvent())) {
    last = *event;
  }
  EXPECT_THAT(last, HasSubstr("event: error\ndata: {\"code\":4"));
  EXPECT_TRUE(peer.has_ended());
}

TEST_F(KlatchdHttpWatchTest, ClientThatDoesNotReadHoldsUpNobody) {
  HttpPeer sleeper(address(), /*receive_bytes=*/4'096);
  sleeper.Send(Getting(std::string(kWatch) + "?actor=bob&heartbeat_seconds=1"));
  ASSERT_TRUE(sleeper.ReadHead().has_value());
  EventSource reader(address(), "?actor=ann&heartbeat_seconds=1");
  ASSERT_TRUE(reader.Await({}));
  const std::string text(10'000, 'x');
  std::vector<std::string> words;
  for (int i = 0; i < 300; ++i) {
    words.push_back("+" + std::to_string(i) + text.substr(10));
    ASSERT_THAT(client_.Publish("ann", "hiking", words.back().substr(1)), Succeeds());
  }
  EXPECT_TRUE(reader.Await(words));
  EXPECT_EQ(klatchd_.Terminate(), 0) << klatchd_.process().errors();
}

}  // namespace
}  // namespace klatch::testing
