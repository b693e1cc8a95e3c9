// Bad input to PersonService over gRPC: the exact code, the field at fault, nothing changed in
// Redis, the server as it was.

#include <limits>
#include <set>
#include <utility>

#include "services/model/limits.h"
#include "services/model/position.h"
#include "tests/integration/klatchd_bad_input.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using Stub = v1::PersonService::Stub;

class KlatchdBadPersonTest : public KlatchdBadInputTest {
 protected:
  // Calls add(method, request) for a good request of "ann" to each method.
  template <typename Add>
  static void EachMethod(Add add) {
    const auto person = [&add](auto method, auto request) {
      request.set_actor("ann");
      request.set_person("bob");
      add(method, request);
    };
    const auto group = [&add](auto method, auto request) {
      request.set_actor("ann");
      request.set_group("g");
      add(method, request);
    };
    const auto update = [&add](auto method, auto request) {
      request.set_actor("ann");
      request.set_update_id(update_);
      add(method, request);
    };
    person(&Stub::BlockPerson, v1::BlockPersonRequest());
    person(&Stub::UnblockPerson, v1::UnblockPersonRequest());
    person(&Stub::MutePerson, v1::MutePersonRequest());
    person(&Stub::UnmutePerson, v1::UnmutePersonRequest());
    person(&Stub::GetProfile, v1::GetProfileRequest());
    group(&Stub::MuteGroup, v1::MuteGroupRequest());
    group(&Stub::UnmuteGroup, v1::UnmuteGroupRequest());
    update(&Stub::HideUpdate, v1::HideUpdateRequest());
    update(&Stub::UnhideUpdate, v1::UnhideUpdateRequest());
    add(&Stub::ListBlocks, ByAnn<v1::ListBlocksRequest>());
    add(&Stub::ListMutes, ByAnn<v1::ListMutesRequest>());
    add(&Stub::ListHidden, ByAnn<v1::ListHiddenRequest>());
    add(&Stub::SetReadMarker, Marker());
    auto markers = ByAnn<v1::GetReadMarkersRequest>();
    markers.set_home(true);
    add(&Stub::GetReadMarkers, markers);
    auto unread = ByAnn<v1::GetUnreadCountsRequest>();
    unread.set_home(true);
    add(&Stub::GetUnreadCounts, unread);
    auto profile = ByAnn<v1::UpdateProfileRequest>();
    profile.mutable_profile()->set_bio("x");
    add(&Stub::UpdateProfile, profile);
  }
  static v1::SetReadMarkerRequest Marker() {
    auto request = ByAnn<v1::SetReadMarkerRequest>();
    request.set_group("g");
    request.set_update_id(update_);
    return request;
  }
  template <typename Change>
  std::function<grpc::Status()> MarkerWith(Change change) {
    v1::SetReadMarkerRequest request = Marker();
    change(request);
    return Persons(&Stub::SetReadMarker, request);
  }
  template <typename Change>
  std::function<grpc::Status()> ProfileWith(Change change) {
    auto request = ByAnn<v1::UpdateProfileRequest>();
    change(request);
    return Persons(&Stub::UpdateProfile, request);
  }
};

const std::vector<std::pair<std::string, std::string>>& BadIds() {
  static const std::vector<std::pair<std::string, std::string>> ids = {
      {"empty", ""},
      {"129 bytes", std::string(129, 'x')},
      {"64 KiB", std::string(64 << 10, 'x')},
      {"NUL", std::string("a\0b", 3)},
      {"CR LF", "a\r\nb"},
      {"DEL", "a\x7f"},
      {"no UTF-8", "a\xff\xfe"},
      {"half a character", "a\xe2\x82"},
  };
  return ids;
}

TEST_F(KlatchdBadPersonTest, EveryIdOfEveryMethodIsChecked) {
  std::vector<Row> rows;
  std::set<std::string> methods;
  for (const auto& [what, id] : BadIds()) {
    EachMethod([&, &what = what, &id = id](auto method, auto request) {
      methods.insert(MethodOf(request));
      const auto add = [&](const std::string& field, const auto& bad) {
        rows.push_back({bad.GetTypeName() + " with " + what + " as " + field,
                        StatusCode::INVALID_ARGUMENT, field, Persons(method, bad)});
      };
      auto actor = request;
      actor.set_actor(id);
      add("actor", actor);
      if constexpr (requires { request.set_person(id); }) {
        auto person = request;
        person.set_person(id);
        add("person", person);
      }
      if constexpr (requires { request.set_group(id); }) {
        auto group = request;
        group.set_group(id);
        add("group", group);
      }
      if constexpr (requires { request.add_groups(id); }) {
        auto groups = request;
        groups.add_groups("g");
        groups.add_groups(id);
        add("groups[1]", groups);
      }
    });
  }
  EXPECT_EQ(methods, MethodsBeside<v1::BlockPersonRequest>());
  Check(rows);
}

TEST_F(KlatchdBadPersonTest, EveryMethodRefusesANamespaceThatIsNotServed) {
  std::vector<Row> rows;
  for (const char* name : {"other", "defaul", "Default", "{default}", " ", "default:t0"}) {
    EachMethod([&](auto method, auto request) {
      request.set_namespace_(name);
      rows.push_back({request.GetTypeName() + " of " + name, StatusCode::NOT_FOUND, "namespace",
                      Persons(method, request)});
    });
  }
  Check(rows);
}

TEST_F(KlatchdBadPersonTest, WhatMakesNoSenseIsRefused) {
  const auto bad = StatusCode::INVALID_ARGUMENT;
  std::vector<Row> rows;
  EachMethod([&](auto method, auto request) {
    if constexpr (requires { request.set_person(""); }) {
      if (request.GetTypeName() != "klatch.v1.GetProfileRequest") {
        request.set_person("ann");
        rows.push_back(
            {request.GetTypeName() + " of oneself", bad, "person", Persons(method, request)});
      }
    }
    if constexpr (requires { request.set_page_size(1); }) {
      request.set_page_size(-1);
      rows.push_back(
          {request.GetTypeName() + " of -1", bad, "page_size", Persons(method, request)});
      request.set_page_size(1);
      request.set_page_token("not ours");
      rows.push_back({request.GetTypeName() + " from a token of its own making", bad, "page_token",
                      Persons(method, request)});
    }
    if constexpr (requires { request.add_tokens(); }) {
      request.add_tokens()->set_shard(4);
      rows.push_back({request.GetTypeName() + " with a token of no shard", bad, "tokens[0].shard",
                      Persons(method, request)});
      while (request.tokens_size() <= static_cast<int>(limits::kTokensMax)) {
        *request.add_tokens() = request.tokens(0);
      }
      rows.push_back(
          {request.GetTypeName() + " with " + std::to_string(request.tokens_size()) + " tokens",
           bad, "tokens", Persons(method, request)});
    }
    if constexpr (requires { request.add_groups(""); }) {
      request.clear_home();
      rows.push_back(
          {request.GetTypeName() + " of nothing", bad, "groups", Persons(method, request)});
      for (size_t i = 0; i <= limits::kUnreadGroupsMax; ++i) {
        request.add_groups("g" + std::to_string(i));
      }
      rows.push_back(
          {request.GetTypeName() + " of 101 groups", bad, "groups", Persons(method, request)});
      request.mutable_groups()->RemoveLast();
      request.set_groups(9, "g8");
      rows.push_back({request.GetTypeName() + " of a group twice", bad, "groups[9]",
                      Persons(method, request)});
    }
  });
  for (const auto& [what, id] : {std::pair<std::string, uint64_t>{"nobody can see", hidden_},
                                 {"never was", UpdateId(1'000, ShardIndex(1), 0).value()},
                                 {"is of no shard", std::numeric_limits<uint64_t>::max()}}) {
    auto hide = ByAnn<v1::HideUpdateRequest>();
    hide.set_update_id(id);
    rows.push_back({"hiding what " + what, StatusCode::NOT_FOUND, "update_id",
                    Persons(&Stub::HideUpdate, hide)});
  }
  auto none = ByAnn<v1::HideUpdateRequest>();
  rows.push_back({"hiding no update", bad, "update_id", Persons(&Stub::HideUpdate, none)});
  auto own = ByAnn<v1::HideUpdateRequest>();
  own.set_update_id(update_);
  rows.push_back({"hiding one's own", StatusCode::FAILED_PRECONDITION, "update_id",
                  Persons(&Stub::HideUpdate, own)});
  rows.push_back({"unhiding no update", bad, "update_id",
                  Persons(&Stub::UnhideUpdate, ByAnn<v1::UnhideUpdateRequest>())});
  auto nobody = ByAnn<v1::GetProfileRequest>();
  nobody.set_person("nobody");
  rows.push_back(
      {"profile of nobody", StatusCode::NOT_FOUND, "person", Persons(&Stub::GetProfile, nobody)});
  Check(rows);
}

TEST_F(KlatchdBadPersonTest, AMarkerIsOfOneTimelineAndNotFromTheFuture) {
  const auto bad = StatusCode::INVALID_ARGUMENT;
  Check({
      {"no timeline", bad, "home", MarkerWith([](auto& r) { r.clear_timeline(); })},
      {"home false", bad, "home", MarkerWith([](auto& r) { r.set_home(false); })},
      {"nowhere", bad, "update_id", MarkerWith([](auto& r) { r.clear_up_to(); })},
      {"update 0", bad, "update_id", MarkerWith([](auto& r) { r.set_update_id(0); })},
      {"not now", bad, "now", MarkerWith([](auto& r) { r.set_now(false); })},
      {"the future", bad, "update_id",
       MarkerWith([](auto& r) { r.set_update_id(update_ + (1ULL << 40)); })},
      {"the end of time", bad, "update_id",
       MarkerWith([](auto& r) { r.set_update_id(std::numeric_limits<uint64_t>::max()); })},
      {"no shard", bad, "update_id",
       MarkerWith([](auto& r) { r.set_update_id(UpdateId(5, ShardIndex(4), 0).value()); })},
      {"no member", StatusCode::PERMISSION_DENIED, "actor",
       MarkerWith([](auto& r) { r.set_group("hidden"); })},
      {"a group that never was", StatusCode::NOT_FOUND, "group",
       MarkerWith([](auto& r) { r.set_group("never"); })},
  });
}

TEST_F(KlatchdBadPersonTest, AProfileIsChecked) {
  const auto bad = StatusCode::INVALID_ARGUMENT;
  const auto fields = [this](int count, const std::string& name, const std::string& value) {
    return ProfileWith([&](auto& r) {
      for (int i = 0; i < count; ++i) {
        (*r.mutable_profile()->mutable_fields())[i == 0 ? name : name + std::to_string(i)] = value;
      }
    });
  };
  Check({
      {"nothing", bad, "update_mask", ProfileWith([](auto&) {})},
      {"a mask of an output field", bad, "update_mask", ProfileWith([](auto& r) {
         r.mutable_profile()->set_bio("x");
         r.mutable_update_mask()->add_paths("person");
       })},
      {"the name of a field that is no UTF-8", bad, "profile.fields", fields(1, "n\xff", "x")},
      {"a field that is no UTF-8", bad, "profile.fields", fields(1, "n", "x\xff")},
      {"long name", bad, "profile.display_name",
       ProfileWith([](auto& r) { r.mutable_profile()->set_display_name(std::string(201, 'x')); })},
      {"no UTF-8", bad, "profile.bio",
       ProfileWith([](auto& r) { r.mutable_profile()->set_bio("a\xff"); })},
      {"long avatar", bad, "profile.avatar_uri",
       ProfileWith([](auto& r) { r.mutable_profile()->set_avatar_uri(std::string(2'049, 'x')); })},
      {"long bio", bad, "profile.bio",
       ProfileWith([](auto& r) { r.mutable_profile()->set_bio(std::string(2'001, 'x')); })},
      {"17 fields", bad, "profile.fields", fields(17, "n", "x")},
      {"a field without a name", bad, "profile.fields", fields(1, "", "x")},
      {"a long name of a field", bad, "profile.fields", fields(1, std::string(65, 'n'), "x")},
      {"a long field", bad, "profile.fields[n]", fields(1, "n", std::string(1'001, 'x'))},
  });
}

TEST_F(KlatchdBadPersonTest, PageTokensAreOfOnePersonAndOneListAndAsTheyWereGivenOut) {
  for (const char* person : {"x", "y"}) {
    auto request = ByAnn<v1::BlockPersonRequest>();
    request.set_person(person);
    ASSERT_THAT(client_.Persons(&Stub::BlockPerson, request), Succeeds());
    const auto posted = client_.Publish("bob", "g", person);
    ASSERT_THAT(posted, Succeeds());
    ASSERT_THAT(client_.Get("ann", posted->update_id(), posted->tokens()), Succeeds());
    auto hide = ByAnn<v1::HideUpdateRequest>();
    hide.set_update_id(posted->update_id());
    ASSERT_THAT(client_.Persons(&Stub::HideUpdate, hide), Succeeds());
  }
  auto blocks = ByAnn<v1::ListBlocksRequest>();
  auto hidden = ByAnn<v1::ListHiddenRequest>();
  blocks.set_page_size(1);
  hidden.set_page_size(1);
  const std::string of_blocks = client_.Persons(&Stub::ListBlocks, blocks)->next_page_token();
  const std::string of_hidden = client_.Persons(&Stub::ListHidden, hidden)->next_page_token();
  ASSERT_NE(of_blocks, "");
  ASSERT_NE(of_hidden, "");
  blocks.set_page_token(of_blocks);
  EXPECT_EQ(client_.Persons(&Stub::ListBlocks, blocks)->persons(0), "y");
  hidden.set_page_token(of_hidden);
  EXPECT_EQ(client_.Persons(&Stub::ListHidden, hidden)->update_ids_size(), 1);

  std::vector<Row> rows;
  const auto add = [&](auto method, auto request, const std::string& others) {
    const auto with = [&](const std::string& what, const std::string& token) {
      auto bad = request;
      bad.set_page_token(token);
      rows.push_back({MethodOf(request) + " from " + what, StatusCode::INVALID_ARGUMENT,
                      "page_token", Persons(method, bad)});
    };
    const std::string own = request.page_token();
    with("another list's", others);
    with("one that is cut", own.substr(0, own.size() - 1));
    with("one that is longer", own + "A");
    with("one of a MB", std::string(1'000'000, 'A'));
    with("one that is no UTF-8", "\xff\xff");
    for (size_t i = 0; i < own.size(); ++i) {
      std::string flipped = own;
      flipped[i] = flipped[i] == 'A' ? 'B' : 'A';
      with("one that is flipped at " + std::to_string(i), flipped);
    }
    request.set_actor("bob");
    with("another's", own);
  };
  add(&Stub::ListBlocks, blocks, of_hidden);
  add(&Stub::ListHidden, hidden, of_blocks);
  Check(rows);
}

}  // namespace
}  // namespace klatch::testing
