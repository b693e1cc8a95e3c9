// Bad page sizes and tokens, and a transport that is abused (QUALITY: Bad inputs), over gRPC.

#include <future>
#include <limits>
#include <tuple>
#include <utility>

#include "common/base/bytes.h"
#include "services/model/page_tokens.h"
#include "tests/integration/any_call.h"
#include "tests/integration/klatchd_bad_input.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;

using FeedStub = v1::FeedService::Stub;
using GroupStub = v1::GroupService::Stub;

// A page method with a size and a token set by the test.
struct PageMethod {
  std::string name;
  std::function<grpc::Status(const std::string& actor, int size, const std::string& token)> call;
  // Its own second page.
  std::string token;
};

template <typename Call>
PageMethod MakePageMethod(std::string name, Call call) {
  const auto first = call("ann", 1, "");
  EXPECT_THAT(first, Succeeds()) << name;
  EXPECT_FALSE(first->next_page_token().empty()) << name;
  return {std::move(name),
          [call](const std::string& actor, int size, const std::string& token) {
            return call(actor, size, token).status;
          },
          first->next_page_token()};
}

TEST_F(KlatchdBadInputTest, PageSizesAndTokensAreChecked) {
  // Several pages of members and of groups.
  std::vector<std::string> crowd;
  for (int i = 0; i < 600; ++i) {
    crowd.push_back("crowd-" + std::to_string(i));
  }
  ASSERT_THAT(client_.Add("owner", "g", crowd), Succeeds());
  ASSERT_THAT(client_.CreateGroup("ann", "second"), Succeeds());
  ASSERT_THAT(client_.Publish("ann", "g", "one more"), Succeeds());

  const auto sized = [](auto request, const std::string& actor, int size,
                        const std::string& token) {
    request.set_actor(actor);
    request.set_page_size(size);
    request.set_page_token(token);
    return request;
  };
  std::vector<PageMethod> methods;
  methods.push_back(MakePageMethod("home", [&](const auto& actor, int size, const auto& token) {
    return client_.Home(actor, {}, size, token);
  }));
  methods.push_back(MakePageMethod("group", [&](const auto& actor, int size, const auto& token) {
    return client_.GroupPage(actor, "g", {}, size, token);
  }));
  methods.push_back(MakePageMethod("profile", [&](const auto& actor, int size, const auto& token) {
    return client_.Profile(actor, "ann", {}, size, token);
  }));
  methods.push_back(MakePageMethod("members", [&](const auto& actor, int size, const auto& token) {
    return client_.Groups(&GroupStub::ListMembers,
                          sized(ByAnnOfG<v1::ListMembersRequest>(), actor, size, token));
  }));
  methods.push_back(MakePageMethod("groups", [&](const auto& actor, int size, const auto& token) {
    return client_.Groups(&GroupStub::ListPersonGroups,
                          sized(v1::ListPersonGroupsRequest(), actor, size, token));
  }));

  std::vector<Row> rows;
  const auto bad = StatusCode::INVALID_ARGUMENT;
  for (const PageMethod& method : methods) {
    EXPECT_TRUE(method.call("ann", 0, "").ok()) << method.name;
    EXPECT_TRUE(method.call("ann", std::numeric_limits<int32_t>::max(), "").ok()) << method.name;
    EXPECT_TRUE(method.call("ann", 1, method.token).ok()) << method.name;
    for (int size : {-1, std::numeric_limits<int32_t>::min()}) {
      rows.push_back({method.name + ": size " + std::to_string(size), bad, "page_size",
                      [=] { return method.call("ann", size, ""); }});
    }
    std::vector<std::pair<std::string, std::string>> tokens = {
        {"random", "c29tZSByYW5kb20gYnl0ZXMgdGhhdCBhcmUgbm8gY3Vyc29y"},
        {"no base64", "***"},
        {"truncated", method.token.substr(0, method.token.size() - 1)},
        {"longer", method.token + "A"},
        {"1 MB", std::string(1'000'000, 'A')},
        {"no UTF-8", "\xff\xff"}};
    for (size_t i = 0; i < method.token.size(); i += 5) {
      std::string flipped = method.token;
      flipped[i] = flipped[i] == 'A' ? 'B' : 'A';
      tokens.emplace_back("flipped at " + std::to_string(i), flipped);
    }
    for (const PageMethod& other : methods) {
      if (other.name != method.name) {
        tokens.emplace_back("of " + other.name, other.token);
      }
    }
    for (const auto& [what, token] : tokens) {
      rows.push_back({method.name + ": token " + what, bad, "page_token",
                      [=, token = token] { return method.call("ann", 1, token); }});
    }
    rows.push_back({method.name + ": another person's token", bad, "page_token",
                    [=] { return method.call("bob", 1, method.token); }});
  }
  rows.push_back({"group: another group's token", bad, "page_token", [&] {
                    return client_.GroupPage("ann", "second", {}, 1, methods[1].token).status;
                  }});
  Check(rows);
}

// Signed as the service signs them, since nobody gives out such a token while clocks are right.
TEST_F(KlatchdBadInputTest, PageTokenFromTheFutureGoesOnWithTheNewest) {
  auto redis = klatchd_->ConnectRedis();
  const auto stored = redis->Call({"HGET", "{default}:namespace", "cursor_key"});
  ASSERT_TRUE(stored.ok());
  std::string key;
  for (size_t i = 0; i + 1 < stored->text().size(); i += 2) {
    key.push_back(
        static_cast<char>(std::stoi(std::string(stored->text().substr(i, 2)), nullptr, 16)));
  }
  const PageTokens tokens("default", key);
  const uint64_t in_an_hour = update_ + (uint64_t{3'600'000} << 22);
  for (const uint64_t below : {in_an_hour, ~uint64_t{0}}) {
    std::string payload;
    base::AppendLittleEndian<uint64_t>(payload, below);
    const auto home = client_.Home("ann", {}, 2, tokens.Make({"home", "ann", ""}, payload));
    ASSERT_THAT(home, Succeeds());
    EXPECT_EQ(home->updates(0).id(), client_.Home("ann")->updates(0).id());
    const auto group =
        client_.GroupPage("ann", "g", {}, 2, tokens.Make({"group", "ann", "g"}, payload));
    ASSERT_THAT(group, Succeeds());
    EXPECT_EQ(group->updates(0).id(), client_.GroupPage("ann", "g")->updates(0).id());
    const auto profile =
        client_.Profile("bob", "ann", {}, 2, tokens.Make({"profile", "bob", "ann"}, payload));
    ASSERT_THAT(profile, Succeeds());
    EXPECT_EQ(profile->updates(0).id(), client_.Profile("bob", "ann")->updates(0).id());
  }
}

TEST_F(KlatchdBadInputTest, TokensOfReadsAreChecked) {
  const auto tokens = [](std::vector<std::pair<uint32_t, uint64_t>> list) {
    Tokens result;
    for (const auto& [shard, position] : list) {
      v1::Token* token = result.Add();
      token->set_shard(shard);
      token->set_position(position);
    }
    return result;
  };
  const uint32_t shard = static_cast<uint32_t>(update_ >> 12) & 1023;
  const auto bad = StatusCode::INVALID_ARGUMENT;
  const std::vector<std::tuple<std::string, std::string, Tokens>> lists = {
      {"shard that is none", "tokens[0].shard", tokens({{4, 0}})},
      {"largest shard", "tokens[0].shard", tokens({{~0u, update_}})},
      {"position of another shard", "tokens[1].position",
       tokens({{shard, update_}, {(shard + 1) % 4, update_}})},
      {"too many", "tokens",
       tokens(std::vector<std::pair<uint32_t, uint64_t>>(129, {shard, update_}))},
  };
  std::vector<Row> rows;
  for (const auto& [name, field, list] : lists) {
    const Tokens& given = list;
    rows.push_back(
        {name + ", home", bad, field, [=, this] { return client_.Home("ann", given).status; }});
    rows.push_back({name + ", group", bad, field,
                    [=, this] { return client_.GroupPage("ann", "g", given).status; }});
    rows.push_back({name + ", profile", bad, field,
                    [=, this] { return client_.Profile("ann", "bob", given).status; }});
    rows.push_back({name + ", get", bad, field,
                    [=, this] { return client_.Get("ann", update_, given).status; }});
    auto get_group = ByAnnOfG<v1::GetGroupRequest>();
    *get_group.mutable_tokens() = given;
    rows.push_back({name + ", get group", bad, field, Groups(&GroupStub::GetGroup, get_group)});
    auto groups = ByAnn<v1::ListPersonGroupsRequest>();
    *groups.mutable_tokens() = given;
    rows.push_back({name + ", groups", bad, field, Groups(&GroupStub::ListPersonGroups, groups)});
  }
  Check(rows);

  // From the future: waited for, but not past the caller's deadline.
  v1::ListHomeTimelineRequest request;
  request.set_actor("ann");
  *request.mutable_tokens() = tokens({{shard, update_ + (uint64_t{3'600'000} << 22)}});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  v1::ListHomeTimelineResponse response;
  EXPECT_EQ(client_.feed().ListHomeTimeline(&context, request, &response).error_code(),
            StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(KlatchdBadInputTest, TransportThatIsAbusedGetsAStatus) {
  const auto raw = [&](const std::string& method, const std::string& bytes) {
    return [=] { return CallAny(klatchd_->Channel(), method, bytes, kCallDeadline).status; };
  };
  const std::string publish = "/klatch.v1.FeedService/PublishUpdate";
  const auto metadata = [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
    context.AddMetadata("x-large", std::string(32 << 10, 'm'));
    return CallAny(klatchd_->Channel(), publish, "", context).status;
  };
  auto large = Client::Post("ann", "g", "x");
  large.mutable_update()->set_text(std::string((4 << 20) + 1, 'x'));
  auto crowd = Adding("first");
  for (int i = 0; i < 1'000'000; ++i) {
    crowd.add_members()->set_person(std::to_string(i));
  }
  Check({
      {"4 MiB + 1", StatusCode::RESOURCE_EXHAUSTED, "", Feed(&FeedStub::PublishUpdate, large)},
      {"1,000,000 members", StatusCode::RESOURCE_EXHAUSTED, "",
       Groups(&GroupStub::AddMembers, crowd)},
      {"unknown method", StatusCode::UNIMPLEMENTED, "", raw("/klatch.v1.FeedService/Nothing", "")},
      {"unknown service", StatusCode::UNIMPLEMENTED, "", raw("/nobody.Service/Call", "")},
      {"no bytes", StatusCode::INVALID_ARGUMENT, "actor", raw(publish, "")},
      {"no protocol buffer", StatusCode::INVALID_ARGUMENT, "",
       raw(publish, std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11))},
      {"cut in the middle", StatusCode::INVALID_ARGUMENT, "",
       raw(publish, Client::Post("ann", "g", "x").SerializeAsString().substr(0, 9))},
      {"32 KiB of metadata", StatusCode::RESOURCE_EXHAUSTED, "", metadata},
  });
}

TEST_F(KlatchdBadInputTest, CallWithoutDeadlineIsAnswered) {
  grpc::ClientContext context;
  v1::PublishUpdateResponse response;
  const auto request = Client::Post("ann", "g", "no hurry");
  EXPECT_TRUE(client_.feed().PublishUpdate(&context, request, &response).ok());
}

// On the wire a deadline is a time that is left, at least a nanosecond, which the server's gRPC
// rounds up to its clock's grain: a call without any time may still be carried out, even answered.
// As after every DEADLINE_EXCEEDED of a write, a retry with the same key tells.
TEST_F(KlatchdBadInputTest, PublishWhoseDeadlineIsOverIsThereOnceAfterItsRetry) {
  ASSERT_THAT(client_.CreateGroup("owner", "late"), Succeeds());
  std::vector<std::string> texts;
  Tokens tokens;
  for (int i = 0; i < 50; ++i) {
    const auto request = Client::Post("owner", "late", std::to_string(i));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(i % 2));
    v1::PublishUpdateResponse response;
    const StatusCode code = client_.feed().PublishUpdate(&context, request, &response).error_code();
    EXPECT_TRUE(code == StatusCode::DEADLINE_EXCEEDED || (code == StatusCode::OK && i % 2 == 0))
        << code;
    const auto retried = client_.Publish(request);
    ASSERT_THAT(retried, Succeeds());
    tokens = retried->tokens();
    texts.insert(texts.begin(), std::to_string(i));
  }
  EXPECT_EQ(TextsOf(*client_.GroupPage("owner", "late", tokens)), texts);
}

TEST_F(KlatchdBadInputTest, CancelledPublishIsThereOnceAfterItsRetry) {
  const auto channel = klatchd_->Channel();
  ASSERT_THAT(client_.CreateGroup("owner", "cancelled"), Succeeds());
  std::vector<std::string> texts;
  Tokens tokens;
  for (int i = 0; i < 50; ++i) {
    const auto request = Client::Post("owner", "cancelled", std::to_string(i));
    grpc::ClientContext context;
    auto cancelled = std::async(std::launch::async, [&] {
      v1::PublishUpdateResponse response;
      return client_.feed().PublishUpdate(&context, request, &response);
    });
    // Somewhere between before it is sent and after its answer.
    for (int spin = 0; spin < i * 2'000; ++spin) {
      asm volatile("");
    }
    context.TryCancel();
    const StatusCode code = cancelled.get().error_code();
    EXPECT_TRUE(code == StatusCode::OK || code == StatusCode::CANCELLED) << code;
    const auto retried = client_.Publish(request);
    ASSERT_THAT(retried, Succeeds());
    tokens = retried->tokens();
    texts.insert(texts.begin(), std::to_string(i));
  }
  EXPECT_EQ(TextsOf(*client_.GroupPage("owner", "cancelled", tokens)), texts);
}

}  // namespace
}  // namespace klatch::testing
