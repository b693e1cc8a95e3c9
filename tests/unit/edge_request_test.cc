// What the edge decides without a socket: which call a request asks for, JSON to bytes and back,
// the table of codes, the framing of events.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "klatch/v1/feed_service.pb.h"
#include "services/accept/grpc_status.h"
#include "services/edge/event_stream.h"
#include "services/edge/http_request.h"
#include "services/edge/http_status.h"

namespace klatch {
namespace {

using ::testing::HasSubstr;

constexpr char kPublish[] = "/klatch.v1.FeedService/PublishUpdate";
constexpr char kWatch[] = "/klatch.v1.FeedService/WatchHomeTimeline";

const ServedMethods& Methods() {
  static const ServedMethods methods({"klatch.v1.FeedService"});
  return methods;
}

HttpHead HeadOf(std::string verb, std::string target) {
  HttpHead head;
  head.verb = std::move(verb);
  head.target = std::move(target);
  head.host = HttpHeader{"localhost:7422"};
  if (head.verb == "POST") {
    head.content_type = HttpHeader{"application/json"};
  }
  return head;
}

// "GET kWatch", with a change.
HttpHead With(std::string verb, std::string target, const std::function<void(HttpHead&)>& change) {
  HttpHead head = HeadOf(std::move(verb), std::move(target));
  change(head);
  return head;
}

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

// The request that `head` and `body` stand for.
template <typename Request>
absl::StatusOr<Request> Read(const HttpHead& head, std::string_view body) {
  const auto asked = ReadHead(head, Methods(), HostRule::kLoopbackOnly);
  if (const auto* refusal = std::get_if<HttpRefusal>(&asked)) {
    return refusal->status;
  }
  KLATCH_ASSIGN_OR_RETURN(const std::string bytes,
                          RequestBytes(std::get<HttpCall>(asked), body, Transcoder()));
  Request request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  return request;
}

TEST(ServedMethodsTest, ServesListedServicesOnly) {
  ASSERT_NE(Methods().Find(kPublish), nullptr);
  EXPECT_EQ(Methods().Find(kPublish)->kind, ServedMethod::Kind::kUnary);
  EXPECT_EQ(Methods().Find(kWatch)->kind, ServedMethod::Kind::kServerStreaming);
  EXPECT_EQ(Methods().Find("/klatch.v1.FeedService/WatchHomeTimelines")->kind,
            ServedMethod::Kind::kClientStreaming);
  EXPECT_EQ(Methods().Find("/klatch.v1.GroupService/GetGroup"), nullptr);
  EXPECT_EQ(Methods().Find("/klatch.v1.FeedService/publishupdate"), nullptr);
}

struct Refused {
  std::string name;
  HttpHead head;
  unsigned http_code;
  std::string field;
  std::string allow = "";
};

TEST(HttpRequestTest, RefusesWhatIsNoCallAndSaysWhy) {
  const auto header = [](const char* value) { return HttpHeader{value}; };
  const auto post = [](const std::function<void(HttpHead&)>& change) {
    return With("POST", kPublish, change);
  };
  const std::vector<Refused> rows = {
      {"no such call", HeadOf("POST", "/klatch.v1.FeedService/Publish"), 404, ""},
      {"a service that is not listed", HeadOf("POST", "/klatch.v1.GroupService/GetGroup"), 404, ""},
      {"the root", HeadOf("GET", "/"), 404, ""},
      {"no path", HeadOf("GET", ""), 404, ""},
      {"a dot segment", HeadOf("POST", "/x/../klatch.v1.FeedService/PublishUpdate"), 404, ""},
      {"GET of a unary call", HeadOf("GET", kPublish), 405, "", "POST"},
      {"OPTIONS, as a browser asks for leave", HeadOf("OPTIONS", kPublish), 405, "", "POST"},
      {"PUT of a watch", HeadOf("PUT", kWatch), 405, "", "GET, POST"},
      {"a stream of requests", HeadOf("POST", "/klatch.v1.FeedService/WatchHomeTimelines"), 501,
       ""},
      {"no Content-Type", post([](auto& head) { head.content_type.reset(); }), 415, "Content-Type"},
      {"a form's Content-Type", post([&](auto& head) { head.content_type = header("text/plain"); }),
       415, "Content-Type"},
      {"another charset",
       post([&](auto& head) { head.content_type = header("application/json; charset=latin1"); }),
       415, "Content-Type"},
      {"two Content-Types", post([](auto& head) { head.content_type->is_repeated = true; }), 415,
       "Content-Type"},
      {"a compressed body", post([&](auto& head) { head.content_encoding = header("gzip"); }), 415,
       "Content-Encoding"},
      {"a query on a POST", HeadOf("POST", std::string(kPublish) + "?actor=ann"), 400, ""},
      {"a time limit that is no number", post([&](auto& head) { head.timeout_ms = header("1s"); }),
       400, "X-Timeout-Ms"},
      {"a negative time limit", post([&](auto& head) { head.timeout_ms = header("-1"); }), 400,
       "X-Timeout-Ms"},
      {"an empty time limit", post([&](auto& head) { head.timeout_ms = header(""); }), 400,
       "X-Timeout-Ms"},
      {"a time limit above the bound",
       post([&](auto& head) { head.timeout_ms = header("600001"); }), 400, "X-Timeout-Ms"},
      {"a time limit beyond 64 bits",
       post([&](auto& head) { head.timeout_ms = header("99999999999999999999"); }), 400,
       "X-Timeout-Ms"},
      {"no Host", post([](auto& head) { head.host.reset(); }), 400, "Host"},
      {"two Hosts", post([](auto& head) { head.host->is_repeated = true; }), 400, "Host"},
      {"another site's name", post([&](auto& head) { head.host = header("evil.example"); }), 403,
       "Host"},
      {"a name that begins well",
       post([&](auto& head) { head.host = header("localhost.evil.example"); }), 403, "Host"},
      {"an address that is not ours",
       post([&](auto& head) { head.host = header("10.0.0.1:7422"); }), 403, "Host"},
      {"an empty Host", post([&](auto& head) { head.host = header(""); }), 403, "Host"},
      {"another site's URL", HeadOf("POST", std::string("http://evil.example") + kPublish), 403,
       "Host"},
  };
  for (const Refused& row : rows) {
    const auto asked = ReadHead(row.head, Methods(), HostRule::kLoopbackOnly);
    const auto* refusal = std::get_if<HttpRefusal>(&asked);
    ASSERT_NE(refusal, nullptr) << row.name;
    EXPECT_EQ(refusal->http_code, row.http_code) << row.name;
    EXPECT_EQ(FieldOf(refusal->status), row.field) << row.name << ": " << refusal->status;
    EXPECT_EQ(refusal->allow, row.allow) << row.name;
    EXPECT_FALSE(refusal->status.ok()) << row.name;
  }
}

TEST(HttpRequestTest, TakesEveryNameOfLoopback) {
  for (const char* host : {"localhost", "LOCALHOST:1", "localhost.:80", "127.0.0.1:7422",
                           "127.1.2.3", "[::1]", "[::1]:7"}) {
    const auto asked =
        ReadHead(With("POST", kPublish, [&](auto& head) { head.host->value = host; }), Methods(),
                 HostRule::kLoopbackOnly);
    EXPECT_TRUE(std::holds_alternative<HttpCall>(asked)) << host;
  }
  const auto any =
      ReadHead(With("POST", kPublish, [&](auto& head) { head.host->value = "a.example"; }),
               Methods(), HostRule::kAny);
  EXPECT_TRUE(std::holds_alternative<HttpCall>(any));
}

TEST(HttpRequestTest, TakesUrlsOfProxiesAndClientsOfHttp10) {
  const auto whole = ReadHead(HeadOf("POST", std::string("HTTP://127.0.0.1:1") + kPublish),
                              Methods(), HostRule::kLoopbackOnly);
  EXPECT_TRUE(std::holds_alternative<HttpCall>(whole));
  const auto old = ReadHead(With("POST", kPublish,
                                 [](auto& head) {
                                   head.host.reset();
                                   head.wants_host = false;
                                 }),
                            Methods(), HostRule::kLoopbackOnly);
  EXPECT_TRUE(std::holds_alternative<HttpCall>(old));
}

TEST(HttpRequestTest, ReadsTimeLimitAndContentType) {
  for (const char* type : {"application/json", "Application/JSON; charset=UTF-8",
                           "application/json;charset=\"utf-8\""}) {
    const auto asked = ReadHead(With("POST", kPublish,
                                     [&](auto& head) {
                                       head.content_type->value = type;
                                       head.timeout_ms = HttpHeader{"250"};
                                     }),
                                Methods(), HostRule::kLoopbackOnly);
    ASSERT_TRUE(std::holds_alternative<HttpCall>(asked)) << type;
    EXPECT_EQ(std::get<HttpCall>(asked).timeout, std::chrono::milliseconds(250));
  }
  const auto asked = ReadHead(HeadOf("POST", kPublish), Methods(), HostRule::kLoopbackOnly);
  EXPECT_EQ(std::get<HttpCall>(asked).timeout, std::nullopt);
}

TEST(HttpRequestTest, ReadsFieldsOfAQuery) {
  const auto request = Read<v1::WatchHomeTimelineRequest>(
      HeadOf("GET",
             std::string(kWatch) +
                 "?namespace=&actor=b%C3%B6b+%22x%22&resumeToken=a%2Bb%3d&heartbeat_seconds=7&"),
      "");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->actor(), "böb \"x\"");
  EXPECT_EQ(request->resume_token(), "a+b=");
  EXPECT_EQ(request->heartbeat_seconds(), 7);
}

TEST(HttpRequestTest, RefusesQueriesByField) {
  const std::pair<std::string, std::string> rows[] = {
      {"actr=bob", "actr"},
      {"actor=a&actor=b", "actor"},
      {"tokens=1", "tokens"},
      {"heartbeat_seconds=soon", "heartbeat_seconds"},
      {"actor=%f", "actor"},
      {"actor=%zz", "actor"},
      {"%=1", "query"},
      {"actor=%ff", "actor"},
      {"actor=a&%61ctor=b", "actor"},
      {"=x", ""},
  };
  for (const auto& [query, field] : rows) {
    const auto request =
        Read<v1::WatchHomeTimelineRequest>(HeadOf("GET", std::string(kWatch) + "?" + query), "");
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << query;
    EXPECT_EQ(FieldOf(request.status()), field) << query << ": " << request.status();
  }
  EXPECT_FALSE(Read<v1::WatchHomeTimelineRequest>(HeadOf("GET", kWatch), "{}").ok());
}

TEST(HttpRequestTest, LastEventIdBeatsTheTokenOfTheAddress) {
  const auto came_back = [](HttpHead& head) { head.last_event_id = HttpHeader{"newer"}; };
  const auto by_get = Read<v1::WatchHomeTimelineRequest>(
      With("GET", std::string(kWatch) + "?actor=bob&resume_token=older", came_back), "");
  EXPECT_EQ(by_get->resume_token(), "newer");
  const auto by_post = Read<v1::WatchHomeTimelineRequest>(
      With("POST", kWatch, came_back), R"({"actor": "bob", "resume_token": "older"})");
  EXPECT_EQ(by_post->resume_token(), "newer");
  EXPECT_EQ(by_post->actor(), "bob");
  const auto empty = Read<v1::WatchHomeTimelineRequest>(
      With("GET", std::string(kWatch) + "?resume_token=older",
           [](HttpHead& head) { head.last_event_id = HttpHeader{""}; }),
      "");
  EXPECT_EQ(empty->resume_token(), "older");
  const auto garbage = Read<v1::WatchHomeTimelineRequest>(
      With("GET", std::string(kWatch) + "?actor=bob",
           [](HttpHead& head) { head.last_event_id = HttpHeader{"A\xc1\xb1"}; }),
      "");
  EXPECT_TRUE(absl::IsInvalidArgument(garbage.status())) << garbage.status();
  EXPECT_NE(garbage.status().message().find("Last-Event-ID"), std::string::npos);
}

TEST(TranscoderTest, ReadsBothSpellingsAndNumbersAsTexts) {
  const auto request = Read<v1::PublishUpdateRequest>(HeadOf("POST", kPublish), R"({
    "actor": "ann", "request_id": "r", "update": {"groups": ["g"], "text": "h\u00e9 \ud83d\ude00",
    "replyTo": "18446744073709551615", "audience": "AUDIENCE_MEMBERS_NOW"}})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->update().text(), "hé 😀");
  EXPECT_EQ(request->update().reply_to(), UINT64_MAX);
  EXPECT_EQ(request->update().audience(), v1::AUDIENCE_MEMBERS_NOW);
}

TEST(TranscoderTest, RefusesBadJsonAndNamesTheField) {
  const std::string deep_arrays(100'000, '[');
  std::string deep_messages;
  for (int i = 0; i < 200; ++i) {
    deep_messages += R"({"update":)";
  }
  const std::pair<std::string, std::string> rows[] = {
      {"", ""},
      {"null", ""},
      {"[]", ""},
      {"3", ""},
      {"{", ""},
      {"{} x", ""},
      {"{}{}", ""},
      {R"({"actor": "\ud800"})", ""},
      {"{\"actor\": \"\xff\"}", ""},
      {R"({"update": )" + deep_arrays, ""},
      {deep_messages, ""},
      {R"({"actr": "ann"})", "actr"},
      {R"({"update": {"txt": "a"}})", "update.txt"},
      {R"({"update": {"text": 3}})", "update.text"},
      {R"({"update": {"groups": ["a", 3]}})", "update.groups[1]"},
      {R"({"update": {"reply_to": "x"}})", "update.reply_to"},
      {R"({"update": {"replyTo": -1}})", "update.reply_to"},
      {R"({"update": {"replyTo": 18446744073709551616}})", "update.reply_to"},
      {R"({"update": {"attachments": [{"uri": "a"}, {"urk": "b"}]}})", "update.attachments[1].urk"},
      {R"({"update": []})", "update"},
      {R"({"update": "s"})", "update"},
      {R"({"actor": ["ann"]})", "actor"},
      {R"({"update": {"audience": "ALL"}})", "update.audience"},
      {R"({"update": {"expireTime": "soon"}})", "update.expire_time"},
  };
  for (const auto& [json, field] : rows) {
    const auto request = Read<v1::PublishUpdateRequest>(HeadOf("POST", kPublish), json);
    ASSERT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << json.substr(0, 80);
    EXPECT_EQ(FieldOf(request.status()), field) << json.substr(0, 80) << request.status();
    EXPECT_LE(request.status().message().size(), 600u) << json.substr(0, 80);
  }
}

TEST(TranscoderTest, TellsErrorsWithTheirDetails) {
  const google::rpc::Status error =
      ToRpcStatus(base::FieldError(absl::StatusCode::kInvalidArgument, "actor", "is empty"));
  EXPECT_THAT(Transcoder().ErrorJson(error),
              ::testing::AllOf(HasSubstr(R"("code":3)"),
                               HasSubstr(R"("@type":"type.googleapis.com/google.rpc.BadRequest")"),
                               HasSubstr(R"("field":"actor")")));
}

TEST(TranscoderTest, LeavesOutDetailsThatItDoesNotKnow) {
  google::rpc::Status error;
  error.set_code(5);
  error.set_message("gone");
  error.add_details()->set_type_url("type.googleapis.com/no.such.Message");
  error.mutable_details(0)->set_value("\x0a\x01x");
  EXPECT_EQ(Transcoder().ErrorJson(error), R"({"code":5,"message":"gone"})");
}

TEST(HttpStatusTest, MapsEachCodeAndCountsItUnderItsOwn) {
  const std::pair<absl::StatusCode, unsigned> rows[] = {
      {absl::StatusCode::kOk, 200},
      {absl::StatusCode::kCancelled, 499},
      {absl::StatusCode::kUnknown, 500},
      {absl::StatusCode::kInvalidArgument, 400},
      {absl::StatusCode::kDeadlineExceeded, 504},
      {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kAlreadyExists, 409},
      {absl::StatusCode::kPermissionDenied, 403},
      {absl::StatusCode::kResourceExhausted, 429},
      {absl::StatusCode::kFailedPrecondition, 400},
      {absl::StatusCode::kAborted, 409},
      {absl::StatusCode::kOutOfRange, 400},
      {absl::StatusCode::kUnimplemented, 501},
      {absl::StatusCode::kInternal, 500},
      {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kDataLoss, 500},
      {absl::StatusCode::kUnauthenticated, 401},
      {static_cast<absl::StatusCode>(77), 500},
  };
  for (const auto& [code, http_code] : rows) {
    EXPECT_EQ(HttpCodeOf(static_cast<int32_t>(code)), http_code);
    EXPECT_THAT(kHttpCodes, ::testing::Contains(http_code));
  }
}

TEST(HttpStatusTest, SaysWhenToTryAgainInWholeSeconds) {
  const auto seconds = [](int64_t ms) {
    return RetryAfterSeconds(ToRpcStatus(
        base::RetryLater(absl::StatusCode::kUnavailable, "", std::chrono::milliseconds(ms))));
  };
  EXPECT_EQ(seconds(1), 1);
  EXPECT_EQ(seconds(1'000), 1);
  EXPECT_EQ(seconds(1'001), 2);
  EXPECT_EQ(seconds(0), 1);
  EXPECT_EQ(RetryAfterSeconds(google::rpc::Status()), std::nullopt);
}

TEST(HttpStatusTest, KeepsTheMessageOfAnErrorWithoutDetails) {
  const google::rpc::Status error = ErrorOf(grpc::Status(grpc::StatusCode::UNAVAILABLE, "away"));
  EXPECT_EQ(error.code(), 14);
  EXPECT_EQ(error.message(), "away");
}

TEST(EventStreamTest, FramesMessagesErrorsAndChunks) {
  EXPECT_EQ(DataEvent("t1", "{}"), "id: t1\ndata: {}\n\n");
  EXPECT_EQ(DataEvent("", "{}"), "data: {}\n\n");
  EXPECT_EQ(DataEvent("a\nb", "{}"), "data: {}\n\n") << "an id may not end its line";
  EXPECT_EQ(ErrorEvent("{}"), "event: error\ndata: {}\n\n");
  EXPECT_EQ(Chunk(std::string(26, 'x')), "1a\r\n" + std::string(26, 'x') + "\r\n");
}

TEST(EventStreamTest, FindsTheTokenOfAMessage) {
  v1::WatchHomeTimelineResponse response;
  response.add_events()->mutable_published()->set_text("hello");
  response.set_resume_token("t2");
  response.add_stale_shards(3);
  const auto* field = ResumeTokenOf(*response.GetDescriptor());
  ASSERT_NE(field, nullptr);
  grpc::Slice slice(response.SerializeAsString());
  grpc::ByteBuffer bytes(&slice, 1);
  EXPECT_EQ(ReadResumeToken(*field, bytes), "t2");
  grpc::Slice broken(response.SerializeAsString().substr(0, 5));
  grpc::ByteBuffer broken_bytes(&broken, 1);
  EXPECT_EQ(ReadResumeToken(*field, broken_bytes), "");
  EXPECT_EQ(ResumeTokenOf(*v1::PublishUpdateRequest::descriptor()), nullptr);
}

}  // namespace
}  // namespace klatch
