// Bad input over HTTP: a code and a body that name what is wrong, and nothing that changes.

#include "tests/integration/klatchd_bad_input.h"
#include "tests/integration/klatchd_http_client.h"

namespace klatch::testing {
namespace {

constexpr char kPublish[] = "/klatch.v1.FeedService/PublishUpdate";
constexpr char kWatch[] = "/klatch.v1.FeedService/WatchHomeTimeline";
constexpr size_t kMessageMax = 1 << 20;

struct HttpRow {
  std::string name;
  int http_code;
  grpc::StatusCode code;
  std::string field;
  std::string request;
};

class KlatchdBadHttpTest : public KlatchdBadInputTest {
 protected:
  // Every row is refused as it says, and leaves Redis and the server as they were.
  void CheckHttp(const std::vector<HttpRow>& rows) {
    ASSERT_NO_FATAL_FAILURE(Settle());
    auto redis = klatchd_->ConnectRedis();
    const Contents before = ContentsOf(*redis);
    for (const HttpRow& row : rows) {
      const HttpAnswer answer = AnswerTo(klatchd_->http_address(), row.request);
      EXPECT_EQ(answer.code, row.http_code) << row.name << ": " << answer.body;
      ASSERT_EQ(answer.Header("content-type"), "application/json") << row.name;
      const google::rpc::Status error = ErrorIn(answer);
      EXPECT_EQ(error.code(), row.code) << row.name << ": " << answer.body;
      EXPECT_EQ(BadField(error), row.field) << row.name << ": " << answer.body;
      EXPECT_NE(error.message(), "") << row.name;
      EXPECT_LE(answer.body.size(), 4'000u) << row.name;
      ASSERT_THAT(Differences(before, ContentsOf(*redis)), ::testing::IsEmpty()) << row.name;
    }
    ASSERT_TRUE(klatchd_->process().running());
    EXPECT_THAT(client_.Get("bob", update_), Succeeds());
  }
  // A good post of "ann" but for what is given.
  static std::string PostWith(const std::string& update, const std::string& more = "") {
    return Posting(
        kPublish,
        fmt::format(R"({{"actor": "ann", "requestId": "r", "update": {{{}}}{}}})", update, more));
  }
};

TEST_F(KlatchdBadHttpTest, Bodies) {
  using enum grpc::StatusCode;
  const std::string groups = R"("groups": ["g"], )";
  CheckHttp({
      {"no body", 400, INVALID_ARGUMENT, "", Posting(kPublish, "")},
      {"no JSON", 400, INVALID_ARGUMENT, "", Posting(kPublish, "actor=ann")},
      {"half of it", 400, INVALID_ARGUMENT, "", Posting(kPublish, R"({"actor": "an)")},
      {"a list", 400, INVALID_ARGUMENT, "", Posting(kPublish, "[]")},
      {"bad UTF-8", 400, INVALID_ARGUMENT, "", Posting(kPublish, "{\"actor\": \"\xff\"}")},
      {"half a surrogate", 400, INVALID_ARGUMENT, "", Posting(kPublish, R"({"actor": "\ud800"})")},
      {"very deep", 400, INVALID_ARGUMENT, "", Posting(kPublish, std::string(1'000'000, '['))},
      {"unknown field", 400, INVALID_ARGUMENT, "update.txt", PostWith(groups + R"("txt": "a")")},
      {"wrong type", 400, INVALID_ARGUMENT, "update.text", PostWith(groups + R"("text": 1)")},
      {"unknown enum", 400, INVALID_ARGUMENT, "update.audience",
       PostWith(groups + R"("text": "a", "audience": "ALL")")},
      {"enum out of range", 400, INVALID_ARGUMENT, "update.audience",
       PostWith(groups + R"("text": "a", "audience": 99)")},
      {"number out of range", 400, INVALID_ARGUMENT, "update.reply_to",
       PostWith(groups + R"("text": "a", "replyTo": "18446744073709551616")")},
      {"not a number", 400, INVALID_ARGUMENT, "update.place.latitude",
       PostWith(groups + R"("text": "a", "place": {"latitude": "NaN"})")},
      {"nothing said", 400, INVALID_ARGUMENT, "update.text", PostWith(R"("groups": ["g"])")},
      {"text one byte too long", 400, INVALID_ARGUMENT, "update.text",
       PostWith(groups + R"("text": ")" + std::string(10'001, 'a') + "\"")},
      {"an id with NUL", 400, INVALID_ARGUMENT, "update.groups[0]",
       PostWith(R"("groups": ["g\u0000"], "text": "a")")},
      {"no request id", 400, INVALID_ARGUMENT, "request_id",
       Posting(kPublish, R"({"actor": "ann", "update": {"groups": ["g"], "text": "a"}})")},
      {"another namespace", 404, NOT_FOUND, "namespace",
       PostWith(groups + R"("text": "a")", R"(, "namespace": "other")")},
      {"no member", 403, PERMISSION_DENIED, "actor",
       Posting(
           kPublish,
           R"({"actor": "mallory", "requestId": "r", "update": {"groups": ["g"], "text": "a"}})")},
      {"a body one byte too long", 413, RESOURCE_EXHAUSTED, "",
       Posting(kPublish, std::string(kMessageMax + 1, ' '))},
  });
}

TEST_F(KlatchdBadHttpTest, Heads) {
  using enum grpc::StatusCode;
  const std::string json = "Content-Type: application/json\r\n";
  const std::string good =
      R"({"actor": "ann", "requestId": "r", "update": {"groups": ["g"], "text": "a"}})";
  const auto post = [&](const std::string& headers) { return Posting(kPublish, good, headers); };
  CheckHttp({
      {"no such call", 404, NOT_FOUND, "", Posting("/klatch.v1.FeedService/Publish", good)},
      {"a path with NUL in it, escaped", 404, NOT_FOUND, "",
       Posting(std::string(kPublish) + "%00", good)},
      {"GET", 405, UNIMPLEMENTED, "", Getting(kPublish)},
      {"a form", 415, INVALID_ARGUMENT, "Content-Type", post("Content-Type: text/plain\r\n")},
      {"no type", 415, INVALID_ARGUMENT, "Content-Type", post("")},
      {"compressed", 415, INVALID_ARGUMENT, "Content-Encoding",
       post(json + "Content-Encoding: gzip\r\n")},
      {"time over", 504, DEADLINE_EXCEEDED, "", post(json + "X-Timeout-Ms: 0\r\n")},
      {"time twice", 400, INVALID_ARGUMENT, "X-Timeout-Ms",
       post(json + "X-Timeout-Ms: 5\r\nX-Timeout-Ms: 6\r\n")},
      {"time below 0", 400, INVALID_ARGUMENT, "X-Timeout-Ms", post(json + "X-Timeout-Ms: -5\r\n")},
      {"a second Host", 400, INVALID_ARGUMENT, "Host", post(json + "Host: localhost\r\n")},
      {"no Host", 400, INVALID_ARGUMENT, "Host",
       fmt::format("POST {} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{}", kPublish, json,
                   good.size(), good)},
      {"a name that leads here", 403, PERMISSION_DENIED, "Host",
       fmt::format("POST {} HTTP/1.1\r\nHost: evil.example\r\n{}Content-Length: {}\r\n\r\n{}",
                   kPublish, json, good.size(), good)},
      {"64 KiB of head", 431, RESOURCE_EXHAUSTED, "",
       post(json + "A: " + std::string(64 << 10, 'a') + "\r\n")},
      {"not HTTP", 400, INVALID_ARGUMENT, "", "hello\r\n\r\n"},
      {"HTTP/2", 505, INVALID_ARGUMENT, "", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
  });
}

TEST_F(KlatchdBadHttpTest, Watches) {
  using enum grpc::StatusCode;
  const std::string watch = kWatch;
  CheckHttp({
      {"nobody", 400, INVALID_ARGUMENT, "actor", Getting(watch)},
      {"unknown field", 400, INVALID_ARGUMENT, "actr", Getting(watch + "?actr=bob")},
      {"not UTF-8", 400, INVALID_ARGUMENT, "actor", Getting(watch + "?actor=%ff")},
      {"half an escape", 400, INVALID_ARGUMENT, "actor", Getting(watch + "?actor=%f")},
      {"a heartbeat too slow", 400, INVALID_ARGUMENT, "heartbeat_seconds",
       Getting(watch + "?actor=bob&heartbeat_seconds=61")},
      {"a heartbeat that is no number", 400, INVALID_ARGUMENT, "heartbeat_seconds",
       Getting(watch + "?actor=bob&heartbeat_seconds=soon")},
      {"a token of nothing", 400, INVALID_ARGUMENT, "resume_token",
       Getting(watch + "?actor=bob&resume_token=x")},
      {"a last event of nothing", 400, INVALID_ARGUMENT, "resume_token",
       Getting(watch + "?actor=bob", "Last-Event-ID: x\r\n")},
      {"a last event that is not UTF-8", 400, INVALID_ARGUMENT, "resume_token",
       Getting(watch + "?actor=bob", "Last-Event-ID: \xff\r\n")},
      {"another's last event", 400, INVALID_ARGUMENT, "resume_token",
       Getting(watch + "?actor=ann",
               "Last-Event-ID: " + client_.Home("bob")->watch_token() + "\r\n")},
      {"a gateway's", 501, UNIMPLEMENTED, "",
       Posting("/klatch.v1.FeedService/WatchHomeTimelines", "{}")},
  });
}

}  // namespace
}  // namespace klatch::testing
