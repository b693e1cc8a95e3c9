// The edge over real sockets, in front of a server of gRPC that does what a test wants: what a node
// behind it cannot be made to do at will.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "klatch/v1/feed_service.grpc.pb.h"
#include "services/accept/grpc_status.h"
#include "services/edge/http_edge.h"
#include "tests/integration/http_peer.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AnswerTo;
using ::testing::Contains;
using testing::Getting;
using ::testing::HasSubstr;
using testing::HttpAnswer;
using testing::HttpPeer;
using ::testing::Key;
using ::testing::Not;
using testing::Posting;

constexpr char kGet[] = "/klatch.v1.FeedService/GetUpdate";
constexpr char kHeld[] = "/klatch.v1.FeedService/PublishUpdate";
constexpr char kBusy[] = "/klatch.v1.FeedService/ListHomeTimeline";
constexpr char kWatch[] = "/klatch.v1.FeedService/WatchHomeTimeline";
constexpr size_t kBodyMax = 64 << 10;
constexpr size_t kEndlessBytes = 64 << 10;
// What the kernel's buffers take of a stream that nobody reads, and far more.
constexpr size_t kUnreadBytesMax = 32 << 20;
constexpr seconds kWaitMax{60};

class FakeFeed;

// "endless" writes for ever; "refused" fails before its first message; anybody else gets one
// message.
class FakeWatch final : public grpc::ServerWriteReactor<v1::WatchHomeTimelineResponse> {
 public:
  FakeWatch(FakeFeed& feed, const v1::WatchHomeTimelineRequest& request)
      : feed_(feed), is_endless_(request.actor() == "endless") {
    if (request.actor() == "refused") {
      Finish(ToGrpcStatus(
          base::FieldError(absl::StatusCode::kInvalidArgument, "actor", "is refused")));
      return;
    }
    message_.set_resume_token("after " + request.resume_token());
    message_.add_events()->mutable_published()->set_text(
        is_endless_ ? std::string(kEndlessBytes, 'x') : request.actor());
    StartWrite(&message_);
  }
  void OnWriteDone(bool ok) override;
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override;

 private:
  FakeFeed& feed_;
  const bool is_endless_;
  v1::WatchHomeTimelineResponse message_;
};

class FakeFeed final : public v1::FeedService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetUpdate(grpc::CallbackServerContext* context,
                                      const v1::GetUpdateRequest* request,
                                      v1::GetUpdateResponse* response) override {
    Note(&FakeFeed::calls_);
    response->mutable_update()->set_author(request->actor());
    response->mutable_update()->set_id(request->update_id());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* PublishUpdate(grpc::CallbackServerContext* context,
                                          const v1::PublishUpdateRequest*,
                                          v1::PublishUpdateResponse*) override {
    auto* reactor = context->DefaultReactor();
    std::lock_guard lock(mutex_);
    held_.push_back(reactor);
    changed_.notify_all();
    return reactor;
  }
  grpc::ServerUnaryReactor* ListHomeTimeline(grpc::CallbackServerContext* context,
                                             const v1::ListHomeTimelineRequest*,
                                             v1::ListHomeTimelineResponse*) override {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(
        base::RetryLater(absl::StatusCode::kResourceExhausted, "busy", milliseconds(1'500))));
    return reactor;
  }
  grpc::ServerWriteReactor<v1::WatchHomeTimelineResponse>* WatchHomeTimeline(
      grpc::CallbackServerContext*, const v1::WatchHomeTimelineRequest* request) override {
    auto* watch = new FakeWatch(*this, *request);
    std::lock_guard lock(mutex_);
    watch_ = watch;
    return watch;
  }

  // The watch that began last. REQUIRES: its message was read, and it has not ended.
  FakeWatch& watch() {
    std::lock_guard lock(mutex_);
    return *watch_;
  }
  void Note(int FakeFeed::*count) {
    std::lock_guard lock(mutex_);
    ++(this->*count);
    changed_.notify_all();
  }
  int Count(int FakeFeed::*count) {
    std::lock_guard lock(mutex_);
    return this->*count;
  }
  bool Await(int FakeFeed::*count, int wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kWaitMax, [&] { return this->*count >= wanted; });
  }
  bool AwaitHeld(size_t wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kWaitMax, [&] { return held_.size() >= wanted; });
  }
  void ReleaseHeld() {
    std::lock_guard lock(mutex_);
    for (auto* reactor : held_) {
      reactor->Finish(grpc::Status::OK);
    }
    held_.clear();
  }

  // Guarded by mutex_.
  int calls_ = 0;
  int written_ = 0;
  int watches_ended_ = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<grpc::ServerUnaryReactor*> held_;
  FakeWatch* watch_ = nullptr;
};

void FakeWatch::OnWriteDone(bool ok) {
  feed_.Note(&FakeFeed::written_);
  if (ok && is_endless_) {
    StartWrite(&message_);
  }
}

void FakeWatch::OnDone() {
  feed_.Note(&FakeFeed::watches_ended_);
  delete this;
}

class HttpEdgeTest : public ::testing::Test {
 protected:
  HttpEdgeTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&feed_);
    server_ = builder.BuildAndStart();
  }
  ~HttpEdgeTest() override {
    edge_.reset();
    feed_.ReleaseHeld();
    server_->Shutdown();
    server_->Wait();
  }

  void Start(HttpTimes times = {}, uint32_t connections_max = 100) {
    auto edge = HttpEdge::Bind({.listen = base::Endpoint::Parse("127.0.0.1:0").value(),
                                .services = {"klatch.v1.FeedService"},
                                .connections_max = connections_max,
                                .body_bytes_max = kBodyMax,
                                .times = times});
    ASSERT_TRUE(edge.ok()) << edge.status();
    edge_ = *std::move(edge);
    edge_->Serve(server_->InProcessChannel({}));
  }
  std::string GetBy(std::string_view actor) {
    return Posting(kGet, fmt::format(R"({{"actor": "{}"}})", actor));
  }
  const std::string& address() const { return edge_->address(); }

  FakeFeed feed_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HttpEdge> edge_;
};

TEST_F(HttpEdgeTest, AnswersInJsonAndKeepsTheConnection) {
  Start();
  HttpPeer peer(address());
  for (const std::string actor : {"ann", "bob"}) {
    peer.Send(Posting(
        kGet, fmt::format(R"({{"actor": "{}", "updateId": "18446744073709551615"}})", actor)));
    const auto answer = peer.ReadAnswer();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->code, 200);
    EXPECT_EQ(answer->body,
              fmt::format(R"({{"update":{{"id":"18446744073709551615","author":"{}"}}}})", actor));
    EXPECT_EQ(answer->Header("content-type"), "application/json");
    EXPECT_EQ(answer->Header("cache-control"), "no-store");
    EXPECT_THAT(answer->headers, Not(Contains(Key("access-control-allow-origin"))));
  }
}

TEST_F(HttpEdgeTest, AnswersRequestsThatAreSentAheadOneAfterTheOther) {
  Start();
  HttpPeer peer(address());
  peer.Send(GetBy("ann") + Posting(kGet, "{") + Posting("/nothing", "{}") + GetBy("bob"));
  EXPECT_THAT(peer.ReadAnswer()->body, HasSubstr("ann"));
  EXPECT_EQ(peer.ReadAnswer()->code, 400);
  EXPECT_EQ(peer.ReadAnswer()->code, 404);
  EXPECT_THAT(peer.ReadAnswer()->body, HasSubstr("bob"));
}

TEST_F(HttpEdgeTest, TellsErrorsOfTheCallAndWhenToTryAgain) {
  Start();
  const HttpAnswer answer = AnswerTo(address(), Posting(kBusy, "{}"));
  EXPECT_EQ(answer.code, 429);
  EXPECT_EQ(answer.Header("retry-after"), "2");
  EXPECT_THAT(answer.body, HasSubstr(R"("code":8,"message":"busy")"));
  EXPECT_THAT(answer.body, HasSubstr(R"("retryDelay":"1.500s")"));
  EXPECT_EQ(AnswerTo(address(), Posting("/klatch.v1.FeedService/DeleteUpdate", "{}")).code, 501);
}

TEST_F(HttpEdgeTest, DoesNotMakeACallWhoseTimeIsOverOnArrival) {
  Start();
  const std::string headers = "Content-Type: application/json\r\nX-Timeout-Ms: 0\r\n";
  EXPECT_EQ(AnswerTo(address(), Posting(kGet, "{}", headers)).code, 504);
  EXPECT_EQ(AnswerTo(address(), GetBy("ann")).code, 200);
  EXPECT_EQ(feed_.Count(&FakeFeed::calls_), 1);
}

TEST_F(HttpEdgeTest, EndsACallAtItsDeadline) {
  Start();
  const std::string headers = "Content-Type: application/json\r\nX-Timeout-Ms: 50\r\n";
  const HttpAnswer answer = AnswerTo(address(), Posting(kHeld, "{}", headers));
  EXPECT_EQ(answer.code, 504);
  EXPECT_THAT(answer.body, HasSubstr(R"("code":4)"));
}

TEST_F(HttpEdgeTest, AnswersOtherVerbsWithoutABodyForHead) {
  Start();
  HttpPeer peer(address());
  peer.Send(fmt::format("HEAD {} HTTP/1.1\r\nHost: localhost\r\n\r\n", kGet));
  EXPECT_EQ(peer.ReadHead()->code, 405);
  peer.Send(
      fmt::format("OPTIONS {} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.example\r\n"
                  "Access-Control-Request-Method: POST\r\n\r\n",
                  kGet));
  const auto leave = peer.ReadAnswer();
  EXPECT_EQ(leave->code, 405);
  EXPECT_EQ(leave->Header("allow"), "POST");
  for (const auto& [name, value] : leave->headers) {
    EXPECT_FALSE(name.starts_with("access-control")) << name;
  }
}

TEST_F(HttpEdgeTest, RefusesWhatIsNoHttpAndCloses) {
  Start();
  const std::string get = Getting(kGet);
  const std::string length = "POST " + std::string(kGet) + " HTTP/1.1\r\nHost: localhost\r\n";
  const std::pair<std::string, int> rows[] = {
      {"hello\r\n\r\n", 400},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\r\n\r\n", 16), 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / HTTP/3.7\r\n\r\n", 505},
      {"GET /a b HTTP/1.1\r\n\r\n", 505},
      {length + "Content-Length: -1\r\n\r\n", 400},
      {length + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {length + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
      {length + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400},
      {length + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400},
      {std::string("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 26), 400},
      {length + "A: " + std::string(64 << 10, 'a') + "\r\n\r\n", 431},
      {"GET /" + std::string(64 << 10, 'a') + " HTTP/1.1\r\n\r\n", 431},
  };
  for (const auto& [request, code] : rows) {
    HttpPeer peer(address());
    peer.Send(request);
    const auto answer = peer.ReadAnswer();
    ASSERT_TRUE(answer.has_value()) << request.substr(0, 100);
    EXPECT_EQ(answer->code, code) << request.substr(0, 100) << answer->body;
    EXPECT_THAT(answer->body, HasSubstr(R"("message":)")) << request.substr(0, 100);
    EXPECT_TRUE(peer.AwaitClosed()) << request.substr(0, 100);
  }
  EXPECT_EQ(AnswerTo(address(), GetBy("ann")).code, 200);
}

TEST_F(HttpEdgeTest, TakesBodiesUpToTheBoundAndNoLarger) {
  Start();
  const auto body = [](size_t bytes) {
    const std::string begin = R"({"actor":")";
    return begin + std::string(bytes - begin.size() - 2, 'a') + R"("})";
  };
  EXPECT_EQ(AnswerTo(address(), Posting(kGet, body(kBodyMax))).code, 200);
  const HttpAnswer large = AnswerTo(address(), Posting(kGet, body(kBodyMax + 1)));
  EXPECT_EQ(large.code, 413);
  EXPECT_THAT(large.body, HasSubstr(R"("code":8)"));
  const std::string chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
  const auto in_chunks = [&](const std::string& text) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", kGet,
                       chunked, text.size(), text);
  };
  EXPECT_EQ(AnswerTo(address(), in_chunks(body(kBodyMax))).code, 200);
  EXPECT_EQ(AnswerTo(address(), in_chunks(body(kBodyMax + 1))).code, 413);
}

TEST_F(HttpEdgeTest, AsksForABodyOnlyIfItWillTakeIt) {
  Start();
  const std::string expecting = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
  HttpPeer peer(address());
  peer.Send(fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 2\r\n\r\n", kGet,
                        expecting));
  EXPECT_EQ(peer.ReadAnswer()->code, 100);
  peer.Send("{}");
  EXPECT_EQ(peer.ReadAnswer()->code, 200);
  peer.Send(fmt::format("POST /nothing HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 2\r\n\r\n",
                        expecting));
  EXPECT_EQ(peer.ReadAnswer()->code, 404);
  EXPECT_TRUE(peer.AwaitClosed());
}

TEST_F(HttpEdgeTest, AnswersAClientThatHasClosedItsSideMeanwhile) {
  Start();
  HttpPeer peer(address());
  peer.Send(GetBy("ann"));
  peer.HalfClose();
  EXPECT_EQ(peer.ReadAnswer()->code, 200);
  EXPECT_TRUE(peer.AwaitClosed());
}

TEST_F(HttpEdgeTest, TurnsAwayConnectionsAboveTheBound) {
  Start({}, /*connections_max=*/2);
  HttpPeer first(address());
  first.Send(GetBy("ann"));
  EXPECT_EQ(first.ReadAnswer()->code, 200);
  HttpPeer second(address());
  second.Send(GetBy("ann"));
  EXPECT_EQ(second.ReadAnswer()->code, 200);
  HttpPeer third(address());
  third.Send(GetBy("ann"));
  const auto refused = third.ReadAnswer();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code, 503);
  EXPECT_EQ(refused->Header("retry-after"), "1");
  EXPECT_TRUE(third.AwaitClosed());
  first.Close();
  // Its place is free when the edge has seen it.
  int code = 0;
  while (code != 200) {
    code = AnswerTo(address(), GetBy("bob")).code;
    ASSERT_TRUE(code == 200 || code == 503) << code;
  }
}

TEST_F(HttpEdgeTest, EndsConnectionsThatTakeTooLong) {
  Start({.head = milliseconds(100), .body = milliseconds(100), .idle = milliseconds(100)});
  HttpPeer silent(address());
  EXPECT_TRUE(silent.AwaitClosed());
  HttpPeer slow_head(address());
  slow_head.Send("POST /");
  EXPECT_EQ(slow_head.ReadAnswer()->code, 408);
  EXPECT_TRUE(slow_head.AwaitClosed());
  HttpPeer slow_body(address());
  slow_body.Send(fmt::format(
      "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9"
      "\r\n\r\n{{",
      kGet));
  EXPECT_EQ(slow_body.ReadAnswer()->code, 408);
  HttpPeer idle(address());
  idle.Send(GetBy("ann"));
  EXPECT_EQ(idle.ReadAnswer()->code, 200);
  EXPECT_TRUE(idle.AwaitClosed());
}

TEST_F(HttpEdgeTest, StreamsEventsAndTellsHowTheStreamEnded) {
  Start();
  HttpPeer peer(address());
  peer.Send(Getting(std::string(kWatch) + "?actor=bob&resume_token=t1"));
  const auto head = peer.ReadHead();
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->code, 200);
  EXPECT_EQ(head->Header("content-type"), "text/event-stream");
  EXPECT_EQ(peer.ReadEvent(),
            "id: after t1\n"
            R"(data: {"events":[{"published":{"text":"bob"}}],"resumeToken":"after t1"})");
  feed_.watch().Finish(ToGrpcStatus(base::WithReason(
      base::RetryLater(absl::StatusCode::kUnavailable, "ends", milliseconds(100)), "STOPPING")));
  const auto error = peer.ReadEvent();
  ASSERT_TRUE(error.has_value());
  EXPECT_THAT(*error, ::testing::StartsWith("event: error\ndata: {\"code\":14"));
  EXPECT_THAT(*error, HasSubstr("STOPPING"));
  EXPECT_EQ(peer.ReadEvent(), std::nullopt);
  EXPECT_TRUE(peer.has_ended());
  EXPECT_TRUE(peer.AwaitClosed());
}

TEST_F(HttpEdgeTest, StreamsToHttp10WithoutChunks) {
  Start();
  HttpPeer peer(address());
  peer.Send(fmt::format("GET {}?actor=bob HTTP/1.0\r\n\r\n", kWatch));
  const auto head = peer.ReadHead();
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->Header("transfer-encoding"), "");
  EXPECT_THAT(*peer.ReadEvent(), HasSubstr(R"("text":"bob")"));
}

TEST_F(HttpEdgeTest, AnswersAStreamThatNeverBeganAsACall) {
  Start();
  const HttpAnswer answer = AnswerTo(address(), Getting(std::string(kWatch) + "?actor=refused"));
  EXPECT_EQ(answer.code, 400);
  EXPECT_EQ(answer.Header("content-type"), "application/json");
  EXPECT_THAT(answer.body, HasSubstr(R"("field":"actor")"));
}

TEST_F(HttpEdgeTest, CancelsTheWatchOfAClientThatHasGone) {
  Start();
  HttpPeer peer(address());
  peer.Send(Getting(std::string(kWatch) + "?actor=bob"));
  ASSERT_TRUE(peer.ReadHead().has_value());
  peer.Close();
  EXPECT_TRUE(feed_.Await(&FakeFeed::watches_ended_, 1));
}

TEST_F(HttpEdgeTest, HoldsLittleForAClientThatDoesNotReadAndEndsItsWatch) {
  Start({.event = milliseconds(200)});
  HttpPeer peer(address(), /*receive_bytes=*/4'096);
  peer.Send(Getting(std::string(kWatch) + "?actor=endless"));
  ASSERT_TRUE(feed_.Await(&FakeFeed::watches_ended_, 1));
  EXPECT_GT(feed_.Count(&FakeFeed::written_), 0);
  EXPECT_LT(static_cast<size_t>(feed_.Count(&FakeFeed::written_)) * kEndlessBytes, kUnreadBytesMax);
}

TEST_F(HttpEdgeTest, StopsAcceptingAndAnswersWhatIsUnderWay) {
  Start();
  HttpPeer idle(address());
  idle.Send(GetBy("ann"));
  EXPECT_EQ(idle.ReadAnswer()->code, 200);
  HttpPeer busy(address());
  busy.Send(Posting(kHeld, "{}"));
  ASSERT_TRUE(feed_.AwaitHeld(1));
  edge_->StopAccepting();
  EXPECT_TRUE(idle.AwaitClosed());
  feed_.ReleaseHeld();
  const auto answer = busy.ReadAnswer();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code, 200);
  EXPECT_EQ(answer->Header("connection"), "close");
  EXPECT_TRUE(busy.AwaitClosed());
  EXPECT_FALSE(HttpPeer(address()).is_connected());
}

TEST_F(HttpEdgeTest, CutsOffAtTheDeadlineOfShutdownWhatHasNotEnded) {
  Start();
  HttpPeer busy(address());
  busy.Send(Posting(kHeld, "{}"));
  ASSERT_TRUE(feed_.AwaitHeld(1));
  HttpPeer watch(address());
  watch.Send(Getting(std::string(kWatch) + "?actor=bob"));
  ASSERT_TRUE(watch.ReadHead().has_value());
  edge_->Shutdown(base::SystemClock().Monotonic());
  EXPECT_EQ(busy.ReadAnswer(), std::nullopt);
  EXPECT_TRUE(feed_.Await(&FakeFeed::watches_ended_, 1));
}

TEST_F(HttpEdgeTest, SurvivesManyClientsThatComeAndGoWhileItEnds) {
  Start();
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([this, i, address = address()] {
      while (true) {
        HttpPeer peer(address);
        if (!peer.is_connected()) {
          return;
        }
        peer.Send(i % 2 == 0 ? GetBy("ann") : Getting(std::string(kWatch) + "?actor=endless"));
        peer.ReadHead();
      }
    });
  }
  EXPECT_TRUE(feed_.Await(&FakeFeed::watches_ended_, 200));
  edge_->Shutdown(base::SystemClock().Monotonic() + milliseconds(1));
  for (std::thread& client : clients) {
    client.join();
  }
}

TEST_F(HttpEdgeTest, CountsAnswersByCode) {
  Start();
  AnswerTo(address(), GetBy("ann"));
  AnswerTo(address(), Posting("/nothing", "{}"));
  obs::MetricsRegistry metrics;
  edge_->Register(metrics);
  const std::string text = metrics.Render();
  EXPECT_THAT(text, HasSubstr("klatch_http_requests_total{code=\"200\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("klatch_http_requests_total{code=\"404\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("klatch_http_connections "));
}

TEST_F(HttpEdgeTest, SaysThatItsAddressIsTaken) {
  Start();
  const auto second = HttpEdge::Bind({.listen = base::Endpoint::Parse(address()).value()});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(base::MessageOf(second.status()), HasSubstr(address()));
  const auto nowhere =
      HttpEdge::Bind({.listen = base::Endpoint::Parse("no.such.host.invalid:0").value()});
  EXPECT_EQ(nowhere.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace klatch
