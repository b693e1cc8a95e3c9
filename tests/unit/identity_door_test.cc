// The door: tokens of every bad kind, certificates, rights, rates, and files that change.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/obs/log.h"
#include "klatch/v1/feed_service.pb.h"
#include "manual_clock.h"
#include "services/identity/door.h"
#include "token_maker.h"

namespace klatch {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kPolicy[] = R"(audience = "klatch"
issuer = "https://login"
[[identity]]
name = "backend"
certificates = ["backend.example.org"]
subjects = ["backend"]
namespaces = ["default"]
calls = ["FeedService"]
act_for = "anybody"
[[identity]]
name = "elsewhere"
subjects = ["elsewhere"]
namespaces = ["staging"]
calls = ["FeedService"]
act_for = "anybody"
[[identity]]
name = "people"
subjects = ["*"]
namespaces = ["default"]
calls = ["FeedService/ListHomeTimeline", "FeedService/BatchPublishUpdates"]
act_for = "subject"
calls_per_second = 10
burst = 3
)";

const CallName& Publish() { return CallOf(*v1::PublishUpdateRequest::descriptor()); }
const CallName& ListHome() { return CallOf(*v1::ListHomeTimelineRequest::descriptor()); }

class DoorTest : public ::testing::Test {
 protected:
  DoorTest() {
    std::filesystem::create_directories(keys());
    Write("policy.toml", kPolicy);
    Write("keys/rsa.pem", rsa_.PublicPem());
    Write("keys/ec.pem", ec_.PublicPem());
    Write("keys/README", "not a key");
  }
  ~DoorTest() override { std::filesystem::remove_all(folder_); }

  std::string keys() const { return folder_ + "/keys"; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }
  absl::StatusOr<std::unique_ptr<Door>> Open() const {
    return Door::Open({folder_ + "/policy.toml", keys(), /*takes_certificates=*/true, "default"},
                      clock_);
  }

  int64_t now() const { return base::UnixMs(clock_.Wall()) / 1'000; }
  static std::string Header(const std::string& algorithm, const std::string& kid) {
    return fmt::format(R"({{"alg": "{}", "typ": "JWT", "kid": "{}"}})", algorithm, kid);
  }
  // Of a good token of `subject`, with `more` claims in front; the first of two counts, or neither.
  std::string Claims(const std::string& subject) const {
    return fmt::format(R"({{"iss": "https://login", "aud": "klatch", "sub": "{}", "exp": {}}})",
                       subject, now() + 600);
  }
  std::string TokenOf(const std::string& subject) const {
    return rsa_.Sign(Header("RS256", "rsa"), Claims(subject));
  }
  static absl::Status Try(Door& door, const std::string& token) {
    return door.Enter({.token = token}, ListHome()).status();
  }

  const std::string folder_ = ::testing::TempDir() + "klatch_door";
  const TokenMaker rsa_{TokenMaker::Kind::kRsa};
  const TokenMaker ec_{TokenMaker::Kind::kP256};
  ManualClock clock_;
};

TEST_F(DoorTest, LetsInWhoHasAToken) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const auto backend = (*door)->Enter({.token = TokenOf("backend")}, Publish());
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ(backend->identity(), "backend");
  EXPECT_TRUE(backend->acts_for_anybody());
  EXPECT_TRUE(backend->CheckActor("actor", "anybody").ok());

  const std::string token = ec_.Sign(Header("ES256", "ec"), Claims("ann"));
  const auto ann = (*door)->Enter({.token = token}, ListHome());
  ASSERT_TRUE(ann.ok()) << ann.status();
  EXPECT_EQ(ann->identity(), "people");
  EXPECT_EQ(ann->subject(), "ann");
  EXPECT_TRUE(ann->CheckActor("actor", "ann").ok());
  const absl::Status other = ann->CheckActor("actor", "bob");
  EXPECT_TRUE(absl::IsPermissionDenied(other));
  EXPECT_EQ(base::FieldViolationOf(other)->field, "actor");
  EXPECT_FALSE(ann->CheckActor("actor", "").ok());
}

TEST_F(DoorTest, LooksAtEveryActorOfABatch) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const CallName& batch = CallOf(*v1::BatchPublishUpdatesRequest::descriptor());
  const auto ann = (*door)->Enter({.token = TokenOf("ann")}, batch);
  ASSERT_TRUE(ann.ok()) << ann.status();
  v1::BatchPublishUpdatesRequest request;
  request.add_requests()->set_actor("ann");
  EXPECT_TRUE(CheckActors(*ann, request).ok());
  request.add_requests()->set_actor("bob");
  const absl::Status refused = CheckActors(*ann, request);
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_EQ(base::FieldViolationOf(refused)->field, "requests[1].actor");
  // What has no actor at all is nobody's who acts for one person.
  EXPECT_FALSE(CheckActors(*ann, v1::WatchHomeTimelinesRequest()).ok());
}

TEST_F(DoorTest, RefusesTokensThatAreNotGood) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const TokenMaker stranger(TokenMaker::Kind::kRsa);
  const std::string good = Header("RS256", "rsa");
  const auto with = [&](const std::string& claims) { return rsa_.Sign(good, claims); };
  const auto but = [&](const std::string& from, const std::string& to) {
    std::string claims = Claims("ann");
    claims.replace(claims.find(from), from.size(), to);
    return with(claims);
  };
  const std::string token = TokenOf("ann");
  std::string flipped = token;
  flipped[flipped.size() / 2] ^= 1;
  const std::string exp = fmt::format("\"exp\": {}", now() + 600);
  const std::pair<std::string, std::string> rows[] = {
      {"x", "can't be read"},
      {"..", "can't be read"},
      {"a.b.c", "can't be read"},
      {std::string(64 * 1024, 'a'), "more than 4096 bytes"},
      {std::string("a\0b", 3), "can't be read"},
      {"\xff.\xff.\xff", "can't be read"},
      {token.substr(0, token.rfind('.')), "can't be read"},
      {token.substr(0, token.rfind('.') + 1), "signature"},
      {token.substr(0, token.size() - 8), "signature"},
      {flipped, ""},
      {token + "!", "can't be read"},
      {token + " ", "can't be read"},
      {token + "=", "can't be read"},
      {"." + token, "can't be read"},
      {rsa_.Sign(R"({"alg": "RS256"})", Claims("ann")), "names no key"},
      {rsa_.Sign(Header("RS256", "other"), Claims("ann")), "not known"},
      {rsa_.Sign(Header("RS256", "../rsa"), Claims("ann")), "not known"},
      {rsa_.Sign(Header("none", "rsa"), Claims("ann")), "algorithm"},
      {Base64Url(Header("none", "rsa")) + "." + Base64Url(Claims("ann")) + ".", "algorithm"},
      {rsa_.SignWithPublicKey(Header("HS256", "rsa"), Claims("ann")), "algorithm"},
      {rsa_.SignWithPublicKey(Header("RS256", "rsa"), Claims("ann")), "signature"},
      {rsa_.Sign(Header("ES256", "rsa"), Claims("ann")), "algorithm"},
      {rsa_.Sign(Header("RS512", "rsa"), Claims("ann")), "algorithm"},
      {rsa_.Sign(Header("rs256", "rsa"), Claims("ann")), "algorithm"},
      {ec_.Sign(Header("ES256", "rsa"), Claims("ann")), "algorithm"},
      {stranger.Sign(good, Claims("ann")), "signature"},
      {but("https://login", "https://other"), "another issuer"},
      {but("\"iss\"", "\"isx\""), "another issuer"},
      {but("\"klatch\"", "\"other\""), "another audience"},
      {but("\"klatch\"", "[\"other\", 3]"), "another audience"},
      {but("\"klatch\"", "{\"klatch\": \"klatch\"}"), "another audience"},
      {but("\"ann\"", "\"\""), "no subject"},
      {but("\"ann\"", "3"), "no subject"},
      {but("\"ann\"", "\"" + std::string(300, 'x') + "\""), "no subject"},
      {but(exp, fmt::format("\"exp\": {}", now() - 31)), "expired"},
      {but(exp, "\"exp\": -1"), "no time \"exp\""},
      {but(exp, "\"exp\": \"2040\""), "no time \"exp\""},
      {but(exp, "\"exp\": 9223372036854775807"), "no time \"exp\""},
      {but(exp, "\"x\": 1"), "no time \"exp\""},
      {but(exp, fmt::format("{}, \"nbf\": {}", exp, now() + 40)), "not valid yet"},
      {but(exp, exp + ", \"nbf\": \"x\""), "not valid yet"},
      {but(exp, "\"exp\": 1e300"), "no time \"exp\""},
      {but(exp, "\"exp\": true"), "no time \"exp\""},
  };
  for (const auto& [bad, message] : rows) {
    const absl::Status refused = Try(**door, bad);
    EXPECT_TRUE(absl::IsUnauthenticated(refused)) << bad << " " << refused;
    EXPECT_THAT(base::MessageOf(refused), HasSubstr(message)) << bad;
    // Nothing of it is said again.
    if (bad.size() > 20) {
      EXPECT_THAT(base::MessageOf(refused), ::testing::Not(HasSubstr(bad.substr(0, 20))));
    }
  }
  const absl::Status nothing = Try(**door, "");
  EXPECT_TRUE(absl::IsUnauthenticated(nothing));
  EXPECT_THAT(base::MessageOf(nothing), HasSubstr("authorization"));
  // The rate is everybody's who has the subject.
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_TRUE(Try(**door, token).ok());
  EXPECT_TRUE(Try(**door, but("\"klatch\"", "[\"x\", \"klatch\"]")).ok());
  EXPECT_TRUE(Try(**door, but("\"exp\"", fmt::format("\"nbf\": {}, \"exp\"", now() + 20))).ok());
}

TEST_F(DoorTest, RemembersATokenOnlyAsLongAsItHolds) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const std::string token = TokenOf("ann");
  EXPECT_TRUE(Try(**door, token).ok());
  clock_.Advance(std::chrono::seconds(629));
  EXPECT_TRUE(Try(**door, token).ok());
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_TRUE(absl::IsUnauthenticated(Try(**door, token)));
  EXPECT_TRUE(absl::IsUnauthenticated((*door)->StillIn({.token = token}, ListHome()).status()));
}

TEST_F(DoorTest, SaysForHowLongACallerHolds) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const std::string token = TokenOf("ann");
  const auto caller = (*door)->Enter({.token = token}, ListHome());
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_TRUE((*door)->Holds(*caller));
  (*door)->Reload();
  EXPECT_TRUE((*door)->Holds(*caller)) << "nothing has changed";
  Write("policy.toml", std::string(kPolicy) + "\n");
  (*door)->Reload();
  EXPECT_FALSE((*door)->Holds(*caller));
  const auto again = (*door)->StillIn({.token = token}, ListHome());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE((*door)->Holds(*again));
  clock_.Advance(std::chrono::seconds(629));
  EXPECT_TRUE((*door)->Holds(*again));
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_FALSE((*door)->Holds(*again));
}

TEST_F(DoorTest, LookingTakesNothingOfTheRate) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const Credentials ann{.token = TokenOf("ann")};
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE((*door)->Look(ann, ListHome()).ok()) << i;
  }
  EXPECT_TRUE(absl::IsPermissionDenied((*door)->Look(ann, Publish())));
  EXPECT_TRUE(absl::IsUnauthenticated((*door)->Look({}, ListHome())));
  EXPECT_TRUE(Try(**door, ann.token).ok());
}

TEST_F(DoorTest, KnowsCertificates) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const auto of = [](std::vector<std::string> names) {
    return Credentials{.token = {}, .has_certificate = true, .certificate = std::move(names)};
  };
  const auto caller = (*door)->Enter(of({"other", "backend.example.org"}), Publish());
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->identity(), "backend");
  EXPECT_EQ(caller->subject(), "");
  for (const auto& names : {std::vector<std::string>{"other"}, std::vector<std::string>()}) {
    const auto other = (*door)->Enter(of(names), Publish());
    EXPECT_TRUE(absl::IsPermissionDenied(other.status()));
    EXPECT_EQ(base::ReasonOf(other.status()), "UNKNOWN_IDENTITY");
  }
  // A bad token is no less bad with a good certificate.
  Credentials with_token = of({"backend.example.org"});
  with_token.token = "x";
  const auto both = (*door)->Enter(with_token, Publish());
  EXPECT_TRUE(absl::IsUnauthenticated(both.status()));
}

TEST_F(DoorTest, DeniesWhatNoIdentityAllows) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const auto call = (*door)->Enter({.token = TokenOf("ann")}, Publish());
  EXPECT_TRUE(absl::IsPermissionDenied(call.status()));
  EXPECT_EQ(base::ReasonOf(call.status()), "CALL_NOT_ALLOWED");
  EXPECT_THAT(base::MessageOf(call.status()), HasSubstr("FeedService/PublishUpdate"));
  const auto space = (*door)->Enter({.token = TokenOf("elsewhere")}, Publish());
  EXPECT_TRUE(absl::IsPermissionDenied(space.status()));
  EXPECT_EQ(base::ReasonOf(space.status()), "NAMESPACE_NOT_ALLOWED");
}

TEST_F(DoorTest, BoundsTheRateOfEachSubject) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const std::string ann = TokenOf("ann");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Try(**door, ann).ok()) << i;
  }
  const absl::Status refused = Try(**door, ann);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_EQ(base::ReasonOf(refused), "RATE_LIMITED");
  EXPECT_TRUE(base::RetryAfterOf(refused).has_value());
  EXPECT_TRUE((*door)->StillIn({.token = ann}, ListHome()).ok());
  EXPECT_TRUE(Try(**door, TokenOf("bob")).ok());
  clock_.Advance(std::chrono::milliseconds(100));
  EXPECT_TRUE(Try(**door, ann).ok());
}

TEST_F(DoorTest, ReadsFilesAgain) {
  const auto door = Open();
  ASSERT_TRUE(door.ok()) << door.status();
  const std::string token = TokenOf("ann");
  const std::string by_other = ec_.Sign(Header("ES256", "ec"), Claims("bob"));
  EXPECT_TRUE(Try(**door, token).ok());
  EXPECT_TRUE(Try(**door, by_other).ok());
  {
    // What is wrong changes nothing, and is said once.
    obs::CapturingSink sink;
    obs::ScopedLogSink scoped(sink);
    Write("policy.toml", "broken");
    (*door)->Reload();
    (*door)->Reload();
    EXPECT_TRUE(Try(**door, token).ok());
    ASSERT_THAT(sink.lines(), SizeIs(1));
    EXPECT_THAT(sink.lines().front(), HasSubstr("policy.toml:1"));
  }
  // A key that is gone takes with it who was let in by it.
  Write("policy.toml", kPolicy);
  std::filesystem::remove(keys() + "/rsa.pem");
  (*door)->Reload();
  EXPECT_TRUE(absl::IsUnauthenticated(Try(**door, token)));
  EXPECT_TRUE(absl::IsUnauthenticated((*door)->StillIn({.token = token}, ListHome()).status()));
  EXPECT_TRUE(Try(**door, by_other).ok());
  // So does the last, and one that is broken stands for nothing.
  Write("keys/ec.pem", "broken");
  (*door)->Reload();
  EXPECT_TRUE(absl::IsUnauthenticated(Try(**door, by_other)));
  std::filesystem::remove(keys() + "/ec.pem");
  (*door)->Reload();
  EXPECT_TRUE(absl::IsUnauthenticated(Try(**door, by_other)));
  // A key that comes counts, though the policy is broken.
  Write("policy.toml", "broken");
  Write("keys/ec.pem", ec_.PublicPem());
  (*door)->Reload();
  EXPECT_TRUE(Try(**door, by_other).ok());
  // So does an identity that goes.
  std::string policy = kPolicy;
  policy.resize(policy.find("[[identity]]\nname = \"people\""));
  Write("policy.toml", policy);
  (*door)->Reload();
  EXPECT_TRUE(absl::IsPermissionDenied(Try(**door, by_other)));
}

TEST_F(DoorTest, RefusesFilesThatCannotHold) {
  const auto message = [&] { return base::MessageOf(Open().status()); };
  EXPECT_EQ(message(), "");
  Write("keys/bad.pem", "no key");
  EXPECT_THAT(message(), HasSubstr("bad.pem: holds no public key"));
  Write("keys/bad.pem", rsa_.PrivatePem());
  EXPECT_THAT(message(), HasSubstr("bad.pem: has a private key"));
  Write("keys/bad.pem", TokenMaker(TokenMaker::Kind::kShortRsa).PublicPem());
  EXPECT_THAT(message(), HasSubstr("bad.pem: has an RSA key of 1024 bits; 2048 is the least"));
  Write("keys/bad.pem", TokenMaker(TokenMaker::Kind::kP384).PublicPem());
  EXPECT_THAT(message(), HasSubstr("bad.pem: has a key that is neither RSA nor P-256"));
  Write("keys/bad.pem", std::string(TokenKeys::kKeyBytesMax + 1, 'x'));
  EXPECT_THAT(message(), HasSubstr("bad.pem: has more than"));
  std::filesystem::remove_all(keys());
  EXPECT_THAT(message(), HasSubstr("keys: cannot be read: No such file"));
  std::filesystem::create_directories(keys());
  EXPECT_THAT(message(), HasSubstr("keys: has no key"));
  const auto keyless = Door::Open({folder_ + "/policy.toml", "", true, "default"}, clock_);
  EXPECT_THAT(base::MessageOf(keyless.status()), HasSubstr("no keys to check tokens"));
  Write("keys/rsa.pem", rsa_.PublicPem());
  const auto unchecked = Door::Open({folder_ + "/policy.toml", keys(), false, "default"}, clock_);
  EXPECT_THAT(base::MessageOf(unchecked.status()), HasSubstr("no authority to check them"));
  const auto none = Door::Open({folder_ + "/none.toml", "", true, "default"}, clock_);
  EXPECT_TRUE(absl::IsInvalidArgument(none.status()));
  EXPECT_THAT(base::MessageOf(none.status()), HasSubstr("none.toml: can't be read"));
}

}  // namespace
}  // namespace klatch
