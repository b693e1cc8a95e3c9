// Who gets in: TLS, certificates, tokens and the policy, against a real klatchd, over gRPC and HTTP.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <regex>

#include "services/identity/call_names.h"
#include "services/identity/client_access.h"
#include "tests/integration/any_call.h"
#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_contents.h"
#include "tests/integration/klatchd_http_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"
#include "tests/unit/certificate_maker.h"
#include "tests/unit/token_maker.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kPolicy[] = R"(audience = "klatch"
issuer = "https://login"
[[identity]]
name = "backend"
subjects = ["backend"]
namespaces = ["default"]
calls = ["FeedService", "GroupService", "PersonService", "ImportService", "AdminService"]
act_for = "anybody"
[[identity]]
name = "elsewhere"
subjects = ["elsewhere"]
namespaces = ["staging"]
calls = ["FeedService"]
act_for = "anybody"
[[identity]]
name = "slow"
subjects = ["slow"]
namespaces = ["default"]
calls = ["FeedService/ListHomeTimeline"]
act_for = "subject"
calls_per_second = 1
burst = 2
[[identity]]
name = "people"
subjects = ["*"]
namespaces = ["default"]
calls = ["FeedService/PublishUpdate", "FeedService/BatchPublishUpdates",
         "FeedService/ListHomeTimeline", "FeedService/WatchHomeTimeline"]
act_for = "subject"
)";

// What the reason of an error's ErrorInfo says; empty if it has none.
std::string ReasonIn(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) {
      return info.reason();
    }
  }
  return "";
}
std::string ReasonIn(const grpc::Status& status) {
  google::rpc::Status details;
  return details.ParseFromString(status.error_details()) ? ReasonIn(details) : "";
}

// Files of a policy, keys and certificates, and a klatchd with them.
class IdentityFiles {
 public:
  IdentityFiles() {
    std::filesystem::create_directories(directory_.path() / "keys");
    Write("policy.toml", kPolicy);
    Write("keys/k.pem", issuer_.PublicPem());
    Write("ca.crt", authority_.authority());
    WritePair("server", authority_.Make("DNS:localhost,DNS:klatch.example.org"));
  }

  std::string Path(const std::string& name) const { return (directory_.path() / name).string(); }
  void Write(const std::string& name, const std::string& text) const {
    // In one step, as whoever rotates files does it.
    std::ofstream(Path(name + ".new")) << text;
    std::filesystem::rename(Path(name + ".new"), Path(name));
  }
  void WritePair(const std::string& name, const CertifiedKey& pair) const {
    Write(name + ".key", pair.key);
    Write(name + ".crt", pair.certificate);
  }

  // Good for as long as said.
  std::string Token(const std::string& subject, std::chrono::seconds holds = std::chrono::hours(1),
                    const std::string& header = R"({"alg": "RS256", "kid": "k"})") const {
    const auto expires = std::chrono::system_clock::now() + holds;
    return issuer_.Sign(
        header,
        fmt::format(R"({{"iss": "https://login", "aud": "klatch", "sub": "{}", "exp": {}}})",
                    subject, std::chrono::system_clock::to_time_t(expires)));
  }
  std::string TokenFile(const std::string& subject) const {
    Write(subject + ".jwt", Token(subject) + "\n");
    return Path(subject + ".jwt");
  }

  const CertificateMaker& authority() const { return authority_; }
  const TokenMaker& issuer() const { return issuer_; }

 private:
  const TemporaryDirectory directory_;
  const CertificateMaker authority_;
  const TokenMaker issuer_{TokenMaker::Kind::kRsa};
};

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address, const ClientAccess& access) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  return OpenChannel(address, access, arguments).value();
}

// Tokens over a Unix socket and HTTP.
class KlatchdTokensTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = std::make_unique<IdentityFiles>();
    klatchd_ = std::make_unique<Klatchd>(Klatchd::Options{
        .arguments = {"--shards", "4", "--partitions", "4", "--workers", "1", "--http-listen",
                      "127.0.0.1:0", "--policy", files_->Path("policy.toml"), "--token-keys",
                      files_->Path("keys"), "--audit", "--log-level", "debug"}});
    Client backend = As("backend");
    ASSERT_THAT(backend.CreateGroup("owner", "g"), Succeeds());
    ASSERT_THAT(backend.Add("owner", "g", {"ann", "bob"}), Succeeds());
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    klatchd_.reset();
    files_.reset();
  }

  static std::shared_ptr<grpc::Channel> ChannelWith(const std::string& token_file) {
    return ChannelTo(klatchd_->address(), {.token_file = token_file});
  }
  static Client As(const std::string& subject) {
    return Client(ChannelWith(files_->TokenFile(subject)));
  }
  // Restarts it, so that nothing of earlier calls waits to be written.
  static void Settle() {
    ASSERT_EQ(klatchd_->Terminate(), 0) << klatchd_->process().errors();
    klatchd_->Start();
  }
  // How a call with an empty message and no token ends, whatever its kind.
  static grpc::Status Ask(const std::string& path) {
    return CallAny(klatchd_->Channel(), path, "", kCallDeadline).status;
  }
  // A page with exactly this header, or none.
  static grpc::Status Try(const std::string& authorization, const std::string& actor = "ann") {
    const auto stub = v1::FeedService::NewStub(klatchd_->Channel());
    grpc::ClientContext context;
    if (!authorization.empty()) {
      context.AddMetadata("authorization", authorization);
    }
    v1::ListHomeTimelineRequest request;
    request.set_actor(actor);
    v1::ListHomeTimelineResponse response;
    return stub->ListHomeTimeline(&context, request, &response);
  }

  static inline std::unique_ptr<IdentityFiles> files_;
  static inline std::unique_ptr<Klatchd> klatchd_;
};

TEST_F(KlatchdTokensTest, NoCallAnswersWithoutAToken) {
  for (const CallName& call : AllCalls()) {
    const grpc::Status status = Ask(call.path);
    EXPECT_EQ(status.error_code(), StatusCode::UNAUTHENTICATED) << call.path;
    EXPECT_EQ(ReasonIn(status), "TOKEN_REQUIRED") << call.path;
    const HttpAnswer answer = AnswerTo(klatchd_->http_address(), Posting(call.path, "{}"));
    if (call.name.starts_with("AdminService/")) {
      EXPECT_EQ(answer.code, 404) << call.path;
    } else if (call.name != "FeedService/WatchHomeTimelines" &&
               call.name != "ImportService/SyncManyMembers") {
      EXPECT_EQ(answer.code, 401) << call.path << answer.body;
      EXPECT_EQ(answer.Header("www-authenticate"), "Bearer") << call.path;
    }
  }
  EXPECT_GT(AllCalls().size(), 40u);
}

TEST_F(KlatchdTokensTest, ProbesNeedNoTokenAndReflectionIsOff) {
  EXPECT_EQ(Ask("/grpc.health.v1.Health/Check").error_code(), StatusCode::OK);
  EXPECT_EQ(Ask("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo").error_code(),
            StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(klatchd_->Get("/readyz").first, 200);
  EXPECT_EQ(
      AnswerTo(klatchd_->http_address(),
               Posting("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "{}"))
          .code,
      404);
}

TEST_F(KlatchdTokensTest, BadTokensAreRefusedAndNeverWrittenDown) {
  const std::string good = files_->Token("ann");
  std::string flipped = good;
  flipped[flipped.size() / 2] = flipped[flipped.size() / 2] == 'A' ? 'B' : 'A';
  const std::string claims = good.substr(good.find('.') + 1, good.rfind('.') - good.find('.') - 1);
  const std::string hs = files_->issuer().SignWithPublicKey(
      R"({"alg": "HS256", "kid": "k"})",
      R"({"iss": "https://login", "aud": "klatch", "sub": "ann"})");
  ASSERT_NO_FATAL_FAILURE(Settle());
  auto redis = klatchd_->ConnectRedis();
  const Contents before = ContentsOf(*redis);
  const std::pair<std::string, StatusCode> rows[] = {
      {"", StatusCode::UNAUTHENTICATED},
      {"Bearer ", StatusCode::UNAUTHENTICATED},
      {"Basic YW5uOnNlY3JldA==", StatusCode::UNAUTHENTICATED},
      {"Bearer " + flipped, StatusCode::UNAUTHENTICATED},
      {"Bearer " + Base64Url(R"({"alg": "none", "kid": "k"})") + "." + claims + ".",
       StatusCode::UNAUTHENTICATED},
      {"Bearer " + hs, StatusCode::UNAUTHENTICATED},
      {"Bearer " + files_->Token("ann", std::chrono::seconds(-60)), StatusCode::UNAUTHENTICATED},
      {"Bearer " + files_->Token("ann", std::chrono::hours(1), R"({"alg": "RS256", "kid": "x"})"),
       StatusCode::UNAUTHENTICATED},
      {"Bearer " + std::string(6'000, 'a'), StatusCode::UNAUTHENTICATED},
      // More than metadata may have: gRPC itself refuses it.
      {"Bearer " + std::string(64 * 1024, 'a'), StatusCode::RESOURCE_EXHAUSTED},
      {"Bearer " + files_->Token("elsewhere"), StatusCode::PERMISSION_DENIED},
      {"Bearer " + good, StatusCode::OK},
      {"bearer " + good, StatusCode::OK},
  };
  for (const auto& [header, code] : rows) {
    const grpc::Status status = Try(header);
    EXPECT_EQ(status.error_code(), code) << header << ": " << status.error_message();
    if (header.size() > 20) {
      EXPECT_THAT(status.error_message(), Not(HasSubstr(header.substr(7)))) << header;
      EXPECT_THAT(klatchd_->process().errors(), Not(HasSubstr(header.substr(7)))) << header;
    }
  }
  EXPECT_THAT(Differences(before, ContentsOf(*redis)), IsEmpty());
}

TEST_F(KlatchdTokensTest, TokensOfPeopleActForNobodyElse) {
  const auto posted = As("ann").Publish("ann", "g", "mine");
  ASSERT_THAT(posted, Succeeds());
  ASSERT_NO_FATAL_FAILURE(Settle());
  auto redis = klatchd_->ConnectRedis();
  const Contents before = ContentsOf(*redis);
  Client ann = As("ann");
  const auto forged = ann.Publish("bob", "g", "not mine");
  EXPECT_THAT(forged, Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_EQ(ReasonIn(forged.status), "ACTOR_NOT_ALLOWED");
  v1::BatchPublishUpdatesRequest batch;
  *batch.add_requests() = Client::Post("ann", "g", "mine");
  *batch.add_requests() = Client::Post("bob", "g", "not mine");
  EXPECT_THAT(ann.Feed(&v1::FeedService::Stub::BatchPublishUpdates, batch),
              Refuses(StatusCode::PERMISSION_DENIED, "requests[1].actor"));
  EXPECT_THAT(ann.Home("bob"), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  EXPECT_THAT(ann.Home(""), Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  const auto denied = ann.Get("ann", posted->update_id());
  EXPECT_THAT(denied, RefusesWith(StatusCode::PERMISSION_DENIED));
  EXPECT_EQ(ReasonIn(denied.status), "CALL_NOT_ALLOWED");
  Watcher watcher(ChannelWith(files_->TokenFile("ann")), Watching("bob"));
  ASSERT_TRUE(watcher.AwaitEnd());
  EXPECT_EQ(watcher.status().error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(Differences(before, ContentsOf(*redis)), IsEmpty());
  EXPECT_THAT(TextsOf(*As("bob").Home("bob", posted->tokens())), ::testing::Contains("mine"));
}

TEST_F(KlatchdTokensTest, AWatchEndsWithItsToken) {
  files_->Write("short.jwt", files_->Token("ann", std::chrono::seconds(-26)));
  Watcher watcher(ChannelWith(files_->Path("short.jwt")), Watching("ann"));
  ASSERT_TRUE(watcher.AwaitBegun());
  ASSERT_TRUE(watcher.AwaitEnd());
  EXPECT_EQ(watcher.status().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(watcher.status().error_message(), HasSubstr("expired"));
}

TEST_F(KlatchdTokensTest, ARateIsEachSubjectsOwn) {
  const std::string token = "Bearer " + files_->Token("slow");
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    const grpc::Status status = Try(token, "slow");
    if (!status.ok()) {
      EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_EQ(ReasonIn(status), "RATE_LIMITED");
      EXPECT_TRUE(RetryDelay(status).has_value());
      ++refused;
    }
  }
  EXPECT_GE(refused, 5);
  EXPECT_THAT(As("ann").Home("ann"), Succeeds());
}

TEST_F(KlatchdTokensTest, HttpHasTheSameDoor) {
  const std::string body = R"({"actor": "ann"})";
  const auto ask = [&](const std::string& headers) {
    return AnswerTo(klatchd_->http_address(),
                    Posting("/klatch.v1.FeedService/ListHomeTimeline", body,
                            "Content-Type: application/json\r\n" + headers));
  };
  const std::string good = "Authorization: Bearer " + files_->Token("ann") + "\r\n";
  EXPECT_EQ(ask(good).code, 200);
  EXPECT_EQ(ask("").code, 401);
  EXPECT_EQ(ask("Authorization: Bearer x\r\n").code, 401);
  EXPECT_EQ(ask("Authorization: Bearer \xc3\xa4\r\n").code, 401);
  EXPECT_EQ(ask(good + good).code, 401);
  const HttpAnswer other = ask("Authorization: Bearer " + files_->Token("bob") + "\r\n");
  EXPECT_EQ(other.code, 403);
  EXPECT_EQ(BadField(ErrorIn(other)), "actor");
}

TEST_F(KlatchdTokensTest, HttpDoesNotWaitForTheBodyOfAStranger) {
  HttpPeer peer(klatchd_->http_address());
  peer.Send(
      "POST /klatch.v1.FeedService/PublishUpdate HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{");
  const auto answer = peer.ReadAnswer();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code, 401);
  EXPECT_THAT(answer->body, HasSubstr("TOKEN_REQUIRED"));
}

TEST_F(KlatchdTokensTest, WhatChangesMembershipIsWrittenDown) {
  Client backend = As("backend");
  ASSERT_THAT(backend.Add("owner", "g", {"carl", "dora"}), Succeeds());
  ASSERT_THAT(backend.Remove("nobody", "g", {"carl"}), RefusesWith(StatusCode::PERMISSION_DENIED));
  const std::string log = klatchd_->process().errors();
  EXPECT_THAT(log, HasSubstr(R"("component":"audit","msg":"GroupService/AddMembers",)"
                             R"("identity":"backend","subject":"backend","actor":"owner",)"
                             R"("group":"g","outcome":"OK","count":2,"persons":"carl dora")"));
  EXPECT_THAT(log, HasSubstr(R"("msg":"GroupService/RemoveMembers","identity":"backend",)"
                             R"("subject":"backend","actor":"nobody","group":"g",)"
                             R"("outcome":"PERMISSION_DENIED","count":1,"persons":"carl")"));
}

TEST_F(KlatchdTokensTest, AWatchEndsWhenItsIdentityMayActForNobodyElse) {
  Watcher watcher(ChannelWith(files_->TokenFile("backend")), Watching("bob"));
  ASSERT_TRUE(watcher.AwaitBegun());
  std::string policy = kPolicy;
  const std::string backend = "calls = [\"FeedService\", \"GroupService\"";
  const size_t calls = policy.find(backend);
  policy.replace(calls, policy.find("[[identity]]", calls) - calls,
                 "calls = [\"FeedService/WatchHomeTimeline\"]\nact_for = \"subject\"\n");
  files_->Write("policy.toml", policy);
  ASSERT_TRUE(watcher.AwaitEnd());
  EXPECT_EQ(watcher.status().error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ReasonIn(watcher.status()), "ACTOR_NOT_ALLOWED");
  files_->Write("policy.toml", kPolicy);
  EXPECT_TRUE(Eventually([] { return As("backend").Home("bob").ok(); }));
}

TEST_F(KlatchdTokensTest, APolicyIsReadAgain) {
  ASSERT_THAT(As("zoe").Home("zoe"), Succeeds());
  std::string policy = kPolicy;
  policy.resize(policy.find("[[identity]]\nname = \"people\""));
  files_->Write("policy.toml", policy);
  EXPECT_TRUE(Eventually(
      [] { return As("zoe").Home("zoe").status.error_code() == StatusCode::PERMISSION_DENIED; }));
  // One that can't be read changes nothing and is counted.
  files_->Write("policy.toml", "nonsense");
  EXPECT_TRUE(Eventually([] {
    return std::regex_search(klatchd_->Get("/metrics").second,
                             std::regex("klatch_policy_reload_failures_total [1-9]"));
  }));
  EXPECT_THAT(As("backend").Home("zoe"), Succeeds());
  files_->Write("policy.toml", kPolicy);
  EXPECT_TRUE(Eventually([] { return As("zoe").Home("zoe").ok(); }));
}

constexpr char kBackendByCertificate[] =
    "[[identity]]\nname = \"backend\"\ncertificates = [\"spiffe://example.org/backend\"]\n"
    "namespaces = [\"default\"]\ncalls = [\"FeedService\"]\nact_for = \"anybody\"\n";

// TLS and certificates over TCP.
class KlatchdTlsTest : public ::testing::Test {
 protected:
  std::vector<std::string> Arguments(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"--shards",     "4",
                                       "--partitions", "4",
                                       "--workers",    "1",
                                       "--tls-cert",   files_.Path("server.crt"),
                                       "--tls-key",    files_.Path("server.key")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  ClientAccess With(const std::string& name) const {
    return {.ca_file = files_.Path("ca.crt"),
            .cert_file = name.empty() ? "" : files_.Path(name + ".crt"),
            .key_file = name.empty() ? "" : files_.Path(name + ".key"),
            .server_name = "localhost"};
  }
  static StatusCode TryHome(const Klatchd& klatchd, const ClientAccess& access) {
    return Client(ChannelTo(klatchd.address(), access)).Home("ann").status.error_code();
  }

  const IdentityFiles files_;
};

TEST_F(KlatchdTlsTest, OnlyKnownCertificatesGetIn) {
  files_.WritePair("backend", files_.authority().Make("URI:spiffe://example.org/backend"));
  files_.WritePair("other", files_.authority().Make("DNS:other.example.org"));
  files_.WritePair("expired", files_.authority().Make("URI:spiffe://example.org/backend", -60));
  files_.WritePair("foreign", CertificateMaker().Make("URI:spiffe://example.org/backend"));
  files_.Write("policy.toml", kBackendByCertificate);
  Klatchd klatchd({.arguments = Arguments({"--tls-client-ca", files_.Path("ca.crt"), "--policy",
                                           files_.Path("policy.toml")}),
                   .listen = Klatchd::Listen::kTcp});
  EXPECT_EQ(TryHome(klatchd, With("backend")), StatusCode::OK);
  EXPECT_EQ(TryHome(klatchd, With("other")), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(TryHome(klatchd, With("expired")), StatusCode::UNAVAILABLE);
  EXPECT_EQ(TryHome(klatchd, With("foreign")), StatusCode::UNAVAILABLE);
  EXPECT_EQ(TryHome(klatchd, With("")), StatusCode::UNAVAILABLE);
  EXPECT_EQ(TryHome(klatchd, {}), StatusCode::UNAVAILABLE);
  ClientAccess elsewhere = With("backend");
  elsewhere.server_name = "elsewhere";
  EXPECT_EQ(TryHome(klatchd, elsewhere), StatusCode::UNAVAILABLE);
  EXPECT_EQ(TryHome(klatchd, With("backend")), StatusCode::OK);
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST_F(KlatchdTlsTest, TokensComeWithOrWithoutACertificate) {
  std::string policy = kPolicy;
  policy.replace(policy.find("subjects"), 0, "certificates = [\"spiffe://example.org/backend\"]\n");
  files_.Write("policy.toml", policy);
  files_.WritePair("backend", files_.authority().Make("URI:spiffe://example.org/backend"));
  Klatchd klatchd(
      {.arguments = Arguments({"--tls-client-ca", files_.Path("ca.crt"), "--policy",
                               files_.Path("policy.toml"), "--token-keys", files_.Path("keys")}),
       .listen = Klatchd::Listen::kTcp});
  ClientAccess token = With("");
  token.token_file = files_.TokenFile("ann");
  EXPECT_EQ(TryHome(klatchd, token), StatusCode::OK);
  EXPECT_EQ(TryHome(klatchd, With("backend")), StatusCode::OK);
  EXPECT_EQ(TryHome(klatchd, With("")), StatusCode::UNAUTHENTICATED);
  // The token counts, also beside a certificate that may do more.
  ClientAccess both = With("backend");
  both.token_file = files_.TokenFile("bob");
  EXPECT_EQ(TryHome(klatchd, both), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST_F(KlatchdTlsTest, CertificatesAreReadAgain) {
  Klatchd klatchd({.arguments = Arguments({"--policy", files_.Path("policy.toml"), "--token-keys",
                                           files_.Path("keys")}),
                   .listen = Klatchd::Listen::kTcp});
  ClientAccess token = With("");
  token.token_file = files_.TokenFile("ann");
  const auto held = ChannelTo(klatchd.address(), token);
  EXPECT_THAT(Client(held).Home("ann"), Succeeds());
  const CertificateMaker next;
  // A key that comes before its certificate, or never: what is there holds.
  const CertifiedKey pair = next.Make("DNS:localhost");
  files_.Write("server.key", pair.key);
  EXPECT_TRUE(Eventually([&] {
    return std::regex_search(klatchd.Get("/metrics").second,
                             std::regex("klatch_certificate_reload_failures_total [1-9]"));
  }));
  EXPECT_EQ(TryHome(klatchd, token), StatusCode::OK);
  files_.Write("server.crt", pair.certificate);
  files_.Write("next.crt", next.authority());
  ClientAccess renewed = token;
  renewed.ca_file = files_.Path("next.crt");
  EXPECT_TRUE(Eventually([&] { return TryHome(klatchd, renewed) == StatusCode::OK; }));
  // Connections that are there go on.
  EXPECT_THAT(Client(held).Home("ann"), Succeeds());
  EXPECT_EQ(TryHome(klatchd, token), StatusCode::UNAVAILABLE);
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

// A connection over HTTPS that trusts one authority.
class HttpsPeer {
 public:
  HttpsPeer(const std::string& address, const ClientAccess& access)
      : context_(MakeContext(access)), stream_(io_, context_) {
    stream_.set_verify_mode(boost::asio::ssl::verify_peer);
    stream_.set_verify_callback(boost::asio::ssl::host_name_verification(access.server_name));
    const size_t colon = address.rfind(':');
    stream_.lowest_layer().connect(
        {boost::asio::ip::make_address(address.substr(0, colon)),
         static_cast<unsigned short>(std::stoi(address.substr(colon + 1)))});
    stream_.handshake(boost::asio::ssl::stream_base::client, error_);
  }

  bool is_trusted() const { return !error_; }
  void Send(const std::string& text) {
    boost::asio::write(stream_, boost::asio::buffer(text), error_);
  }
  // Up to the first of what ends it, and that too.
  std::string ReadUntil(const std::string& end) {
    boost::asio::read_until(stream_, boost::asio::dynamic_buffer(received_), end, error_);
    const size_t size = error_ ? received_.size() : received_.find(end) + end.size();
    std::string text = received_.substr(0, size);
    received_.erase(0, size);
    return text;
  }

  // A page of a person, by one request; the status line.
  std::string Home(const std::string& person, const std::string& headers = "") {
    if (!is_trusted()) {
      return "";
    }
    Send(Posting("/klatch.v1.FeedService/ListHomeTimeline",
                 fmt::format(R"({{"actor": "{}"}})", person),
                 "Content-Type: application/json\r\n" + headers));
    return ReadUntil("\r\n");
  }

 private:
  static boost::asio::ssl::context MakeContext(const ClientAccess& access) {
    boost::asio::ssl::context context(boost::asio::ssl::context::tls_client);
    context.load_verify_file(access.ca_file);
    if (!access.cert_file.empty()) {
      context.use_certificate_chain_file(access.cert_file);
      context.use_private_key_file(access.key_file, boost::asio::ssl::context::pem);
    }
    return context;
  }

  boost::asio::io_context io_;
  boost::asio::ssl::context context_;
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::system::error_code error_;
  std::string received_;
};

TEST_F(KlatchdTlsTest, HttpIsByTlsToo) {
  Klatchd klatchd(
      {.arguments = Arguments({"--http-listen", "127.0.0.1:0", "--policy",
                               files_.Path("policy.toml"), "--token-keys", files_.Path("keys")}),
       .listen = Klatchd::Listen::kTcp});
  const std::string headers =
      "Content-Type: application/json\r\nAuthorization: Bearer " + files_.Token("ann") + "\r\n";
  const std::string home =
      Posting("/klatch.v1.FeedService/ListHomeTimeline", R"({"actor": "ann"})", headers);
  HttpsPeer peer(klatchd.http_address(), With(""));
  ASSERT_TRUE(peer.is_trusted());
  // Two requests in one record: the second is in the cipher's hands when the first is answered.
  peer.Send(home + home);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(peer.ReadUntil("\r\n"), HasSubstr("200 OK")) << i;
    EXPECT_THAT(peer.ReadUntil("\r\n\r\n"), HasSubstr("application/json")) << i;
    peer.ReadUntil("}");
  }
  // A watch, and what a client says meanwhile.
  HttpsPeer watch(klatchd.http_address(), With(""));
  ASSERT_TRUE(watch.is_trusted());
  watch.Send(Getting(
      "/klatch.v1.FeedService/WatchHomeTimeline?actor=ann&heartbeat_seconds=1",
      "Accept: text/event-stream\r\nAuthorization: Bearer " + files_.Token("ann") + "\r\n"));
  EXPECT_THAT(watch.ReadUntil("data:"), HasSubstr("200 OK"));
  EXPECT_THAT(watch.ReadUntil("data:"), HasSubstr("resumeToken"));
  // Plain text is no TLS, and another authority's is not trusted.
  EXPECT_EQ(AnswerTo(klatchd.http_address(), home).code, 0);
  files_.Write("other-ca.crt", CertificateMaker().authority());
  ClientAccess other = With("");
  other.ca_file = files_.Path("other-ca.crt");
  EXPECT_FALSE(HttpsPeer(klatchd.http_address(), other).is_trusted());
  // A renewed certificate is the next connection's.
  const CertificateMaker next;
  files_.WritePair("server", next.Make("DNS:localhost"));
  files_.Write("next.crt", next.authority());
  ClientAccess renewed = With("");
  renewed.ca_file = files_.Path("next.crt");
  EXPECT_TRUE(Eventually([&] { return HttpsPeer(klatchd.http_address(), renewed).is_trusted(); }));
  peer.Send(home);
  EXPECT_THAT(peer.ReadUntil("\r\n"), HasSubstr("200 OK"));
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST_F(KlatchdTlsTest, HttpKnowsCertificatesOfClients) {
  files_.WritePair("backend", files_.authority().Make("URI:spiffe://example.org/backend"));
  files_.WritePair("other", files_.authority().Make("DNS:other.example.org"));
  files_.WritePair("expired", files_.authority().Make("URI:spiffe://example.org/backend", -60));
  files_.WritePair("foreign", CertificateMaker().Make("URI:spiffe://example.org/backend"));
  files_.Write("policy.toml", kBackendByCertificate);
  Klatchd klatchd(
      {.arguments = Arguments({"--http-listen", "127.0.0.1:0", "--tls-client-ca",
                               files_.Path("ca.crt"), "--policy", files_.Path("policy.toml")}),
       .listen = Klatchd::Listen::kTcp});
  const auto home = [&](const std::string& name) {
    return HttpsPeer(klatchd.http_address(), With(name)).Home("ann");
  };
  EXPECT_THAT(home("backend"), HasSubstr("200 OK"));
  EXPECT_THAT(home("other"), HasSubstr("403"));
  for (const char* name : {"expired", "foreign", ""}) {
    // TLS 1.3 tells a client only with the first answer that its certificate is refused.
    EXPECT_EQ(home(name), "") << name;
  }
  EXPECT_THAT(home("backend"), HasSubstr("200 OK"));
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST_F(KlatchdTlsTest, HttpTakesATokenBesideACertificate) {
  std::string policy = kPolicy;
  policy.replace(policy.find("subjects"), 0, "certificates = [\"spiffe://example.org/backend\"]\n");
  files_.Write("policy.toml", policy);
  files_.WritePair("backend", files_.authority().Make("URI:spiffe://example.org/backend"));
  Klatchd klatchd(
      {.arguments =
           Arguments({"--http-listen", "127.0.0.1:0", "--tls-client-ca", files_.Path("ca.crt"),
                      "--policy", files_.Path("policy.toml"), "--token-keys", files_.Path("keys")}),
       .listen = Klatchd::Listen::kTcp});
  const auto home = [&](const std::string& name, const std::string& headers) {
    return HttpsPeer(klatchd.http_address(), With(name)).Home("ann", headers);
  };
  const std::string ann = "Authorization: Bearer " + files_.Token("ann") + "\r\n";
  const std::string bob = "Authorization: Bearer " + files_.Token("bob") + "\r\n";
  EXPECT_THAT(home("backend", ""), HasSubstr("200 OK"));
  EXPECT_THAT(home("", ann), HasSubstr("200 OK"));
  EXPECT_THAT(home("", ""), HasSubstr("401"));
  // The token counts, and one that is none leaves the certificate out as well.
  EXPECT_THAT(home("backend", bob), HasSubstr("403"));
  EXPECT_THAT(home("backend", "Authorization: \r\n"), HasSubstr("401"));
  // Names of a certificate that a client only says it has are nobody's.
  grpc::ClientContext context;
  context.AddMetadata("klatch-client-certificate-bin", std::string(32, '\0'));
  context.AddMetadata("klatch-client-certificate-bin", "spiffe://example.org/backend");
  EXPECT_EQ(CallAny(ChannelTo(klatchd.address(), With("")),
                    "/klatch.v1.FeedService/ListHomeTimeline", "", context)
                .status.error_code(),
            StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(klatchd.Terminate(), 0) << klatchd.process().errors();
}

TEST_F(KlatchdTlsTest, FilesThatCannotHoldEndItWithOneLine) {
  files_.WritePair("expired", files_.authority().Make("DNS:localhost", -60));
  files_.WritePair("other", files_.authority().Make("DNS:other"));
  files_.Write("empty", "");
  const auto path = [&](const char* name) { return files_.Path(name); };
  const auto rows = std::vector<std::pair<std::vector<std::string>, std::string>>{
      {{"--tls-cert", path("server.crt")}, "--tls-cert needs --tls-key"},
      {{"--tls-key", path("server.key")}, "--tls-key needs --tls-cert"},
      {{"--tls-client-ca", path("ca.crt")}, "--tls-client-ca needs --tls-cert"},
      {{"--token-keys", path("keys")}, "--token-keys needs --policy"},
      {{"--policy", path("policy.toml")}, "--policy needs --token-keys or --tls-client-ca"},
      {{"--audit", "--log-level", "warn"}, "--audit writes at level info"},
      {{"--listen", "0.0.0.0:0", "--tls-cert", path("server.crt"), "--tls-key", path("server.key")},
       "without --policy whoever reaches it is trusted"},
      {{"--tls-cert", path("none"), "--tls-key", path("server.key")}, "none: can't be read"},
      {{"--tls-cert", path("keys"), "--tls-key", path("server.key")}, "keys: can't be read"},
      {{"--tls-cert", path("empty"), "--tls-key", path("server.key")}, "holds no certificate"},
      {{"--tls-cert", path("expired.crt"), "--tls-key", path("expired.key")}, "has expired"},
      {{"--tls-cert", path("server.crt"), "--tls-key", path("other.key")},
       "is not the key of the certificate"},
      {{"--tls-cert", path("server.crt"), "--tls-key", path("empty")}, "holds no private key"},
      {{"--tls-cert", path("server.crt"), "--tls-key", path("server.key"), "--tls-client-ca",
        path("empty")},
       "--tls-client-ca"},
      {{"--http-listen", "0.0.0.0:0", "--tls-cert", path("server.crt"), "--tls-key",
        path("server.key")},
       "--http-listen 0.0.0.0:0 is not loopback, and without --policy"},
      {{"--policy", path("empty"), "--token-keys", path("keys")}, "has no [[identity]]"},
      {{"--policy", path("none"), "--token-keys", path("keys")}, "none: can't be read"},
      {{"--policy", path("policy.toml"), "--token-keys", path("none")}, "none: cannot be read"},
  };
  for (const auto& [arguments, message] : rows) {
    EXPECT_THAT(ComplaintAbout(arguments), HasSubstr(message));
  }
}

}  // namespace
}  // namespace klatch::testing
