// Bad ids, bodies, keys and meanings (QUALITY: Bad inputs) over gRPC: the exact code, the field at
// fault, nothing changed in Redis, the server as it was.

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "services/model/position.h"
#include "tests/integration/klatchd_bad_input.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using FeedStub = v1::FeedService::Stub;
using GroupStub = v1::GroupService::Stub;

TEST_F(KlatchdBadInputTest, EveryIdOfEveryMethodIsChecked) {
  const std::vector<std::pair<std::string, std::string>> bad_ids = {
      {"empty", ""},
      {"129 bytes", std::string(129, 'x')},
      {"64 KiB", std::string(64 << 10, 'x')},
      {"NUL", std::string("a\0b", 3)},
      {"CR LF", "a\r\nb"},
      {"DEL", "a\x7f"},
      {"no UTF-8", "a\xff\xfe"},
      {"half a character", "a\xe2\x82"},
  };
  std::vector<Row> rows;
  // klatchd_bad_scope_redis_test and klatchd_bad_watch_redis_test have rows for these.
  std::set<std::string> methods = {"BatchPublishUpdates", "WatchHomeTimeline",
                                   "WatchHomeTimelines"};
  for (const auto& [what, id] : bad_ids) {
    const auto add = [&rows, &what = what](const std::string& method, const std::string& field,
                                           std::function<grpc::Status()> call) {
      rows.push_back({method + " with " + what + " as " + field, StatusCode::INVALID_ARGUMENT,
                      field, std::move(call)});
    };
    // The actor of each method.
    const auto actor = [&, &id = id](auto stub_method, auto request) {
      const std::string name = MethodOf(request);
      methods.insert(name);
      request.set_actor(id);
      if constexpr (std::is_member_function_pointer_v<decltype(stub_method)> &&
                    requires { Feed(stub_method, request); }) {
        add(name, "actor", Feed(stub_method, request));
      } else {
        add(name, "actor", Groups(stub_method, request));
      }
    };
    auto get = ByAnn<v1::GetUpdateRequest>();
    get.set_update_id(update_);
    auto edit = ByAnn<v1::EditUpdateRequest>();
    edit.set_update_id(update_);
    edit.mutable_update()->set_text("x");
    auto remove = ByAnn<v1::DeleteUpdateRequest>();
    remove.set_update_id(update_);
    auto profile = ByAnn<v1::ListProfileTimelineRequest>();
    profile.set_person("ann");
    actor(&FeedStub::PublishUpdate, Client::Post("ann", "g", "x"));
    actor(&FeedStub::GetUpdate, get);
    actor(&FeedStub::EditUpdate, edit);
    actor(&FeedStub::DeleteUpdate, remove);
    actor(&FeedStub::ListHomeTimeline, v1::ListHomeTimelineRequest());
    actor(&FeedStub::ListGroupTimeline, ByAnnOfG<v1::ListGroupTimelineRequest>());
    actor(&FeedStub::ListProfileTimeline, profile);
    actor(&GroupStub::CreateGroup, Creating("new"));
    actor(&GroupStub::GetGroup, ByAnnOfG<v1::GetGroupRequest>());
    actor(&GroupStub::UpdateGroup, Renaming("g"));
    actor(&GroupStub::DeleteGroup, ByAnnOfG<v1::DeleteGroupRequest>());
    actor(&GroupStub::AddMembers, Adding("new"));
    actor(&GroupStub::RemoveMembers, Removing("bob"));
    actor(&GroupStub::UpdateMember, Promoting("bob", v1::ROLE_READER));
    actor(&GroupStub::ListMembers, ByAnnOfG<v1::ListMembersRequest>());
    actor(&GroupStub::ListPersonGroups, v1::ListPersonGroupsRequest());

    // The group of each.
    const auto group = [&id = id](auto request) {
      request.set_group(id);
      return request;
    };
    add("PublishUpdate", "update.groups[0]",
        Feed(&FeedStub::PublishUpdate, Client::Post("ann", id, "x")));
    add("ListGroup", "group",
        Feed(&FeedStub::ListGroupTimeline, group(ByAnn<v1::ListGroupTimelineRequest>())));
    add("CreateGroup", "group.id", Groups(&GroupStub::CreateGroup, Creating(id)));
    add("GetGroup", "group", Groups(&GroupStub::GetGroup, group(ByAnn<v1::GetGroupRequest>())));
    add("UpdateGroup", "group.id", Groups(&GroupStub::UpdateGroup, Renaming(id)));
    add("DeleteGroup", "group",
        Groups(&GroupStub::DeleteGroup, group(ByAnn<v1::DeleteGroupRequest>())));
    add("AddMembers", "group", Groups(&GroupStub::AddMembers, group(Adding("new"))));
    add("RemoveMembers", "group", Groups(&GroupStub::RemoveMembers, group(Removing("bob"))));
    add("UpdateMember", "group",
        Groups(&GroupStub::UpdateMember, group(Promoting("bob", v1::ROLE_READER))));
    add("ListMembers", "group",
        Groups(&GroupStub::ListMembers, group(ByAnn<v1::ListMembersRequest>())));

    // Persons beside the actor.
    auto of = ByAnn<v1::ListProfileTimelineRequest>();
    of.set_person(id);
    add("ListProfile", "person", Feed(&FeedStub::ListProfileTimeline, of));
    add("AddMembers", "members[0].person", Groups(&GroupStub::AddMembers, Adding(id)));
    add("RemoveMembers", "persons[0]", Groups(&GroupStub::RemoveMembers, Removing(id)));
    add("UpdateMember", "member.person",
        Groups(&GroupStub::UpdateMember, Promoting(id, v1::ROLE_READER)));
  }
  std::set<std::string> all = MethodsBeside<v1::PublishUpdateRequest>();
  all.merge(MethodsBeside<v1::CreateGroupRequest>());
  EXPECT_EQ(methods, all);
  Check(rows);
}

TEST_F(KlatchdBadInputTest, ContentOfAnUpdateIsCheckedWhenPublishedAndWhenEdited) {
  const auto bad = StatusCode::INVALID_ARGUMENT;
  struct Content {
    std::string name;
    std::string field;
    std::function<void(v1::Update&)> change;
  };
  const auto attach = [](v1::Update& update) {
    update.add_attachments()->set_uri("https://example.org");
    return update.mutable_attachments(0);
  };
  const std::vector<Content> contents = {
      {"long text", "update.text", [](auto& u) { u.set_text(std::string(10'001, 'x')); }},
      {"text of 64 KiB", "update.text", [](auto& u) { u.set_text(std::string(64 << 10, 'x')); }},
      {"text that is no UTF-8", "update.text", [](auto& u) { u.set_text("a\xff"); }},
      {"17 attachments", "update.attachments",
       [&](auto& u) {
         for (int i = 0; i < 17; ++i) {
           attach(u);
         }
       }},
      {"attachment without uri", "update.attachments[0].uri", [](auto& u) { u.add_attachments(); }},
      {"long uri", "update.attachments[0].uri",
       [&](auto& u) { attach(u)->set_uri(std::string(2'049, 'x')); }},
      {"long media type", "update.attachments[0].media_type",
       [&](auto& u) { attach(u)->set_media_type(std::string(128, 'x')); }},
      {"long alt text", "update.attachments[0].alt_text",
       [&](auto& u) { attach(u)->set_alt_text(std::string(1'001, 'x')); }},
      {"alt text that is no UTF-8", "update.attachments[0].alt_text",
       [&](auto& u) { attach(u)->set_alt_text("\xc3"); }},
      {"long place", "update.place.label",
       [](auto& u) { u.mutable_place()->set_label(std::string(201, 'x')); }},
      {"far north", "update.place.latitude",
       [](auto& u) { u.mutable_place()->set_latitude(90.0001); }},
      {"no number", "update.place.latitude",
       [](auto& u) { u.mutable_place()->set_latitude(std::numeric_limits<double>::quiet_NaN()); }},
      {"far west", "update.place.longitude",
       [](auto& u) { u.mutable_place()->set_longitude(-std::numeric_limits<double>::infinity()); }},
      {"unknown audience", "update.audience",
       [](auto& u) { u.set_audience(static_cast<v1::Audience>(99)); }},
  };
  std::vector<Row> rows;
  for (const Content& content : contents) {
    rows.push_back({"publish: " + content.name, bad, content.field, PostUpdate(content.change)});
    rows.push_back({"edit: " + content.name, bad, content.field, EditUpdate(content.change)});
  }
  rows.push_back(
      {"no text, no attachment", bad, "update.text", PostUpdate([](auto& u) { u.clear_text(); })});
  const auto expiring = [&](const std::string& name, int64_t seconds, int32_t nanos = 0) {
    for (const bool is_to_several : {false, true}) {
      rows.push_back({(is_to_several ? "to several, expires " : "expires ") + name, bad,
                      "update.expire_time", PostUpdate([=](auto& u) {
                        u.mutable_expire_time()->set_seconds(seconds);
                        u.mutable_expire_time()->set_nanos(nanos);
                        if (is_to_several) {
                          u.add_groups("hidden");
                        }
                      })});
    }
  };
  const int64_t now = time(nullptr);
  constexpr int64_t kDay = 24 * 3'600;
  expiring("in 1970", 0);
  expiring("a day ago", now - kDay);
  expiring("in half a minute", now + 30);
  expiring("later than it is kept", now + 91 * kDay);
  expiring("in two years", now + 730 * kDay);
  expiring("before the year 1", -62'135'596'801);
  expiring("after the year 9999", 253'402'300'800);
  expiring("at the end of all numbers", std::numeric_limits<int64_t>::max());
  expiring("at their beginning", std::numeric_limits<int64_t>::min());
  expiring("at nanosecond -1", now + kDay, -1);
  expiring("at nanosecond 1,000,000,000", now + kDay, 1'000'000'000);
  const auto keeping = [&](const std::string& name, const std::string& part,
                           const std::function<void(v1::Retention&)>& change) {
    auto create = Creating("new");
    change(*create.mutable_group()->mutable_retention());
    v1::UpdateGroupRequest update;
    update.set_actor("owner");
    update.mutable_group()->set_id("g");
    *update.mutable_group()->mutable_retention() = create.group().retention();
    const std::string field = "group.retention." + part;
    rows.push_back({"create keeping " + name, bad, field, Groups(&GroupStub::CreateGroup, create)});
    rows.push_back({"update keeping " + name, bad, field, Groups(&GroupStub::UpdateGroup, update)});
    update.mutable_update_mask()->add_paths("retention." + part);
    rows.push_back({"masked keeping " + name, bad, field, Groups(&GroupStub::UpdateGroup, update)});
  };
  keeping("801 updates", "count", [](auto& r) { r.set_count(801); });
  keeping("all updates that there are numbers for", "count", [](auto& r) { r.set_count(~0u); });
  keeping("1 byte", "bytes", [](auto& r) { r.set_bytes(1); });
  keeping("1,023 bytes", "bytes", [](auto& r) { r.set_bytes(1'023); });
  keeping("a second", "age", [](auto& r) { r.mutable_age()->set_seconds(1); });
  keeping("a nanosecond", "age", [](auto& r) { r.mutable_age()->set_nanos(1); });
  keeping("less than nothing", "age", [](auto& r) { r.mutable_age()->set_seconds(-3'600); });
  keeping("3,651 days", "age", [](auto& r) { r.mutable_age()->set_seconds(3'651 * kDay); });
  keeping("for ever", "age",
          [](auto& r) { r.mutable_age()->set_seconds(std::numeric_limits<int64_t>::max()); });
  keeping("an hour less a nanosecond", "age", [](auto& r) {
    r.mutable_age()->set_seconds(3'600);
    r.mutable_age()->set_nanos(-1);
  });
  for (const char* path : {"retention.", "retention.nonsense", "retention.age.seconds"}) {
    auto request = Renaming("g");
    request.mutable_update_mask()->add_paths(path);
    rows.push_back({std::string("change of ") + path, bad, "update_mask",
                    Groups(&GroupStub::UpdateGroup, request)});
  }
  rows.push_back({"no update at all", bad, "update.groups",
                  Post([](auto& request) { request.clear_update(); })});
  rows.push_back({"no group", bad, "update.groups", PostUpdate([](auto& u) { u.clear_groups(); })});
  const auto with_groups = [](int count) {
    return [count](v1::Update& update) {
      while (update.groups_size() < count) {
        update.add_groups("group-" + std::to_string(update.groups_size()));
      }
    };
  };
  rows.push_back({"101 groups", bad, "update.groups", PostUpdate(with_groups(101))});
  rows.push_back({"1,000 groups", bad, "update.groups", PostUpdate(with_groups(1'000))});
  rows.push_back(
      {"a group twice", bad, "update.groups[1]", PostUpdate([](auto& u) { u.add_groups("g"); })});
  rows.push_back({"an empty group among several", bad, "update.groups[1]",
                  PostUpdate([](auto& u) { u.add_groups(""); })});
  rows.push_back({"groups and all_my_groups", bad, "update.groups",
                  Post([](auto& request) { request.set_all_my_groups(true); })});
  rows.push_back({"edit of nothing", bad, "update_mask", EditUpdate([](auto&) {})});
  const auto masked = [&](const char* path) {
    auto request = ByAnn<v1::EditUpdateRequest>();
    request.set_update_id(update_);
    request.mutable_update_mask()->add_paths(path);
    return Feed(&FeedStub::EditUpdate, request);
  };
  rows.push_back({"mask of an output field", bad, "update_mask", masked("author")});
  rows.push_back({"mask that empties the text", bad, "update.text", masked("text")});
  rows.push_back({"mask of an unspecified audience", bad, "update.audience", masked("audience")});
  Check(rows);
}

TEST_F(KlatchdBadInputTest, RequestIdIsNeededAndStandsForOnePayload) {
  const auto bad = StatusCode::INVALID_ARGUMENT;
  const auto used = StatusCode::ALREADY_EXISTS;
  // Keys of calls that worked, made before the contents are noted.
  auto post = Client::Post("ann", "g", "keyed");
  ASSERT_THAT(client_.Publish(post), Succeeds());
  auto create = Creating("keyed");
  ASSERT_THAT(client_.Groups(&GroupStub::CreateGroup, create), Succeeds());
  auto add = Adding("keyed");
  ASSERT_THAT(client_.Groups(&GroupStub::AddMembers, add), Succeeds());
  auto remove = Removing("keyed");
  ASSERT_THAT(client_.Groups(&GroupStub::RemoveMembers, remove), Succeeds());

  const std::string text = post.update().text();
  post.mutable_update()->set_text("other");
  create.mutable_group()->set_display_name("other");
  add.mutable_members(0)->set_person("other");
  remove.set_persons(0, "other");
  std::vector<Row> rows = {
      {"publish: other payload", used, "request_id", Feed(&FeedStub::PublishUpdate, post)},
      {"create: other payload", used, "request_id", Groups(&GroupStub::CreateGroup, create)},
      {"add: other payload", used, "request_id", Groups(&GroupStub::AddMembers, add)},
      {"remove: other payload", used, "request_id", Groups(&GroupStub::RemoveMembers, remove)},
  };
  const std::vector<std::pair<std::string, std::string>> bad_ids = {
      {"absent", ""}, {"257 bytes", std::string(257, 'k')}, {"no UTF-8", "\xff"}};
  for (const auto& [what, id] : bad_ids) {
    post.set_request_id(id);
    create.set_request_id(id);
    add.set_request_id(id);
    remove.set_request_id(id);
    rows.push_back({"publish: " + what, bad, "request_id", Feed(&FeedStub::PublishUpdate, post)});
    rows.push_back({"create: " + what, bad, "request_id", Groups(&GroupStub::CreateGroup, create)});
    rows.push_back({"add: " + what, bad, "request_id", Groups(&GroupStub::AddMembers, add)});
    rows.push_back(
        {"remove: " + what, bad, "request_id", Groups(&GroupStub::RemoveMembers, remove)});
  }
  Check(rows);
}

TEST_F(KlatchdBadInputTest, SameRequestIdOfAnotherCallerOrGroupIsAnother) {
  const std::string key(256, 'k');
  auto by_ann = Client::Post("ann", "g", "by ann");
  auto by_bob = Client::Post("bob", "g", "by bob");
  auto in_hidden = Client::Post("owner", "hidden", "by owner");
  auto in_g = Client::Post("owner", "g", "by owner");
  std::vector<uint64_t> ids;
  for (auto* request : {&by_ann, &by_bob, &in_hidden, &in_g}) {
    request->set_request_id(key);
    const auto posted = client_.Publish(*request);
    ASSERT_THAT(posted, Succeeds());
    EXPECT_EQ(std::count(ids.begin(), ids.end(), posted->update_id()), 0);
    ids.push_back(posted->update_id());
  }
}

TEST_F(KlatchdBadInputTest, CallsThatMeanNothingAreRefusedByTheirField) {
  const auto invalid = StatusCode::INVALID_ARGUMENT;
  const auto denied = StatusCode::PERMISSION_DENIED;
  const auto missing = StatusCode::NOT_FOUND;
  const auto unmet = StatusCode::FAILED_PRECONDITION;
  const auto publish = [&](const std::string& actor, const std::string& group) {
    return Feed(&FeedStub::PublishUpdate, Client::Post(actor, group, "x"));
  };
  const auto add = [&](const std::function<void(v1::AddMembersRequest&)>& change) {
    auto request = Adding("new");
    change(request);
    return Groups(&GroupStub::AddMembers, request);
  };
  const auto remove = [&](const std::function<void(v1::RemoveMembersRequest&)>& change) {
    auto request = Removing("bob");
    change(request);
    return Groups(&GroupStub::RemoveMembers, request);
  };
  const auto create = [&](const std::function<void(v1::Group&)>& change) {
    auto request = Creating("new");
    change(*request.mutable_group());
    return Groups(&GroupStub::CreateGroup, request);
  };
  const auto rename = [&](const std::function<void(v1::UpdateGroupRequest&)>& change) {
    auto request = Renaming("g");
    change(request);
    return Groups(&GroupStub::UpdateGroup, request);
  };
  const auto get_group = [&](const std::string& actor, const std::string& group) {
    v1::GetGroupRequest request;
    request.set_actor(actor);
    request.set_group(group);
    return Groups(&GroupStub::GetGroup, request);
  };
  const auto members = [&](const std::string& actor, const std::string& group) {
    v1::ListMembersRequest request;
    request.set_actor(actor);
    request.set_group(group);
    return Groups(&GroupStub::ListMembers, request);
  };
  const auto promote_in = [&](const std::string& group) {
    auto request = Promoting("bob", v1::ROLE_READER);
    request.set_group(group);
    return Groups(&GroupStub::UpdateMember, request);
  };
  const auto delete_group = [&](const std::string& actor, const std::string& group) {
    return [=, this] { return client_.DeleteGroup(actor, group).status; };
  };
  const auto promote = [&](const std::string& person, int role) {
    return Groups(&GroupStub::UpdateMember, Promoting(person, static_cast<v1::Role>(role)));
  };
  const auto batch = [&](int count) {
    v1::BatchPublishUpdatesRequest request;
    for (int i = 0; i < count; ++i) {
      *request.add_requests() = Client::Post("ann", "g", "x");
    }
    return Feed(&FeedStub::BatchPublishUpdates, request);
  };
  const auto batch_to_all = [&](int count) {
    v1::BatchPublishUpdatesRequest request;
    for (int i = 0; i < count; ++i) {
      *request.add_requests() = Client::Post("ann", "g", "x");
      request.mutable_requests(i)->mutable_update()->clear_groups();
      request.mutable_requests(i)->set_all_my_groups(true);
    }
    return Feed(&FeedStub::BatchPublishUpdates, request);
  };
  const auto page = [&](const std::string& actor, const std::string& group) {
    return [=, this] { return client_.GroupPage(actor, group).status; };
  };
  const auto get = [&](const std::string& actor, uint64_t id) {
    return [=, this] { return client_.Get(actor, id).status; };
  };
  const auto erase = [&](const std::string& actor, uint64_t id) {
    return [=, this] { return client_.Delete(actor, id).status; };
  };
  const auto edit = [&](const std::string& actor, uint64_t id) {
    return [=, this] { return client_.Edit(actor, id, "x").status; };
  };
  const uint64_t no_shard = update_ | (uint64_t{1023} << 12);
  Check({
      {"publish by a non-member", denied, "actor", publish("stranger", "g")},
      {"publish to no group", missing, "update.groups", publish("ann", "nowhere")},
      {"publish to a deleted group", missing, "update.groups", publish("owner", "gone")},
      {"other namespace", missing, "namespace", Post([](auto& r) { r.set_namespace_("other"); })},
      {"reply to what one can't see", missing, "update.reply_to",
       PostUpdate([&](auto& u) { u.set_reply_to(hidden_); })},
      {"reshare of what one can't see", missing, "update.reshare_of",
       PostUpdate([&](auto& u) { u.set_reshare_of(hidden_); })},
      {"reply to nothing", missing, "update.reply_to",
       PostUpdate([&](auto& u) { u.set_reply_to(update_ + 1); })},
      {"reply to no shard", missing, "update.reply_to",
       PostUpdate([&](auto& u) { u.set_reply_to(no_shard); })},
      {"empty batch", invalid, "requests", batch(0)},
      {"batch of 101", invalid, "requests", batch(101)},
      {"batch to 1,100 groups", invalid, "requests", batch_to_all(11)},
      {"all_my_groups of who is in none", StatusCode::FAILED_PRECONDITION, "all_my_groups",
       Post([](auto& r) {
         r.set_actor("stranger");
         r.mutable_update()->clear_groups();
         r.set_all_my_groups(true);
       })},

      {"get of 0", invalid, "update_id", get("ann", 0)},
      {"get of nothing", missing, "update_id", get("ann", update_ + 1)},
      {"get of no shard", missing, "update_id", get("ann", no_shard)},
      {"get of the largest id", missing, "update_id", get("ann", ~uint64_t{0})},
      {"get of what one can't see", missing, "update_id", get("ann", hidden_)},
      {"delete of 0", invalid, "update_id", erase("ann", 0)},
      {"delete of nothing", missing, "update_id", erase("ann", update_ + 1)},
      {"delete of no shard", missing, "update_id", erase("ann", no_shard)},
      {"delete of another's", denied, "actor", erase("bob", update_)},
      {"delete of what one can't see", missing, "update_id", erase("ann", hidden_)},
      {"edit of 0", invalid, "update_id", edit("ann", 0)},
      {"edit of nothing", missing, "update_id", edit("ann", update_ + 1)},
      {"edit of another's", denied, "actor", edit("mod", update_)},
      {"edit of what one can't see", missing, "update_id", edit("ann", hidden_)},

      {"page of no group", missing, "group", page("ann", "nowhere")},
      {"page of a deleted group", missing, "group", page("owner", "gone")},
      {"page of another's group", denied, "actor", page("ann", "hidden")},

      {"group that exists", StatusCode::ALREADY_EXISTS, "group.id",
       create([](auto& g) { g.set_id("g"); })},
      {"group that existed", StatusCode::ALREADY_EXISTS, "group.id",
       create([](auto& g) { g.set_id("gone"); })},
      {"long name", invalid, "group.display_name",
       create([](auto& g) { g.set_display_name(std::string(201, 'x')); })},
      {"long description", invalid, "group.description",
       create([](auto& g) { g.set_description(std::string(2'001, 'x')); })},
      {"unknown history", invalid, "group.history",
       create([](auto& g) { g.set_history(static_cast<v1::History>(99)); })},
      {"unknown audience", invalid, "group.default_audience",
       create([](auto& g) { g.set_default_audience(static_cast<v1::Audience>(-1)); })},
      {"get of no group", missing, "group", get_group("ann", "nowhere")},
      {"get of a deleted group", missing, "group", get_group("owner", "gone")},
      {"get of another's group", denied, "actor", get_group("ann", "hidden")},
      {"delete of no group", missing, "group", delete_group("ann", "nowhere")},
      {"delete by a member", denied, "actor", delete_group("ann", "g")},
      {"delete by a stranger", denied, "actor", delete_group("stranger", "g")},
      {"rename by a member", denied, "actor", rename([](auto& r) { r.set_actor("ann"); })},
      {"rename of no group", missing, "group.id",
       rename([](auto& r) { r.mutable_group()->set_id("nowhere"); })},
      {"rename of a deleted group", missing, "group.id",
       rename([](auto& r) { r.mutable_group()->set_id("gone"); })},
      {"change to a long name", invalid, "group.display_name",
       rename([](auto& r) { r.mutable_group()->set_display_name(std::string(201, 'x')); })},
      {"change to a name that is no UTF-8", invalid, "group.display_name",
       rename([](auto& r) { r.mutable_group()->set_display_name("a\xff"); })},
      {"change to a long description", invalid, "group.description",
       rename([](auto& r) { r.mutable_group()->set_description(std::string(2'001, 'x')); })},
      {"change to an unknown history", invalid, "group.history",
       rename([](auto& r) { r.mutable_group()->set_history(static_cast<v1::History>(99)); })},
      {"change to an unknown audience", invalid, "group.default_audience", rename([](auto& r) {
         r.mutable_group()->set_default_audience(static_cast<v1::Audience>(99));
       })},
      {"change of nothing", invalid, "update_mask",
       rename([](auto& r) { r.mutable_group()->clear_display_name(); })},
      {"change of an unknown field", invalid, "update_mask",
       rename([](auto& r) { r.mutable_update_mask()->add_paths("member_count"); })},

      {"nobody to add", invalid, "members", add([](auto& r) { r.clear_members(); })},
      {"10,001 to add", invalid, "members", add([](auto& r) {
         for (int i = 0; i < 10'000; ++i) {
           r.add_members()->set_person(std::to_string(i));
         }
       })},
      {"added twice", invalid, "members[2].person", add([](auto& r) {
         r.add_members()->set_person("other");
         r.add_members()->set_person("new");
       })},
      {"unknown role", invalid, "members[0].role",
       add([](auto& r) { r.mutable_members(0)->set_role(static_cast<v1::Role>(5)); })},
      {"role above one's own", denied, "members", add([](auto& r) {
         r.set_actor("mod");
         r.mutable_members(0)->set_role(v1::ROLE_OWNER);
       })},
      {"added by a member", denied, "actor", add([](auto& r) { r.set_actor("ann"); })},
      {"added to no group", missing, "group", add([](auto& r) { r.set_group("nowhere"); })},
      {"added to a deleted group", missing, "group", add([](auto& r) { r.set_group("gone"); })},
      {"nobody to remove", invalid, "persons", remove([](auto& r) { r.clear_persons(); })},
      {"10,001 to remove", invalid, "persons", remove([](auto& r) {
         for (int i = 0; i < 10'000; ++i) {
           r.add_persons(std::to_string(i));
         }
       })},
      {"removed twice", invalid, "persons[1]", remove([](auto& r) { r.add_persons("bob"); })},
      {"removed by a member", denied, "actor", remove([](auto& r) { r.set_actor("ann"); })},
      {"removed from no group", missing, "group", remove([](auto& r) { r.set_group("nowhere"); })},
      {"removed from a deleted group", missing, "group",
       remove([](auto& r) { r.set_group("gone"); })},
      {"last owner", unmet, "persons", remove([](auto& r) { r.set_persons(0, "owner"); })},
      {"members of no group", missing, "group", members("ann", "nowhere")},
      {"members of a deleted group", missing, "group", members("owner", "gone")},
      {"members of another's group", denied, "actor", members("ann", "hidden")},
      {"role in no group", missing, "group", promote_in("nowhere")},
      {"role in a deleted group", missing, "group", promote_in("gone")},
      {"role of a stranger", missing, "member.person", promote("stranger", v1::ROLE_READER)},
      {"no role", invalid, "member.role", promote("bob", 0)},
      {"role that is none", invalid, "member.role", promote("bob", 99)},
      {"last owner's role", unmet, "member.role", promote("owner", v1::ROLE_MEMBER)},
  });
}

TEST_F(KlatchdBadInputTest, JoiningTwiceAndLeavingUnjoinedChangeNobody) {
  ASSERT_NO_FATAL_FAILURE(Settle());
  auto redis = klatchd_->ConnectRedis();
  const auto membership = [&] {
    Contents all = ContentsOf(*redis);
    // The request ids of these calls are kept, as they should be.
    std::erase_if(all,
                  [](const auto& item) { return item.first.find(":once:") != std::string::npos; });
    return all;
  };
  const Contents before = membership();
  const auto joined = client_.Add("owner", "g", {"ann"}, v1::ROLE_OWNER);
  ASSERT_THAT(joined, Succeeds());
  EXPECT_EQ(joined->added_count(), 0u);
  EXPECT_EQ(joined->unchanged_count(), 1u);
  const auto left = client_.Remove("stranger", "g", {"stranger"});
  ASSERT_THAT(left, Succeeds());
  EXPECT_EQ(left->removed_count(), 0u);
  EXPECT_THAT(client_.Home("ann", joined->tokens()), Succeeds());
  EXPECT_THAT(Differences(before, membership()), IsEmpty());
}

TEST_F(KlatchdBadInputTest, WhatStandsInThePlaceOfABodyIsNamed) {
  auto redis = klatchd_->ConnectRedis();
  const auto plant = [&](uint32_t sequence, redis::Command command) {
    const UpdateId id(1, ShardIndex(2), sequence);
    command.args[1] = fmt::format("{{default:g2}}:update:{:016x}", id.value());
    EXPECT_TRUE(redis->Call(command).ok());
    return id.value();
  };
  const uint64_t list = plant(1, {"RPUSH", "", "planted"});
  const uint64_t garbage = plant(2, {"SET", "", "planted"});
  for (const auto& [id, code] : {std::pair(list, StatusCode::FAILED_PRECONDITION),
                                 std::pair(garbage, StatusCode::DATA_LOSS)}) {
    for (const grpc::Status& status :
         {client_.Get("ann", id).status, client_.Edit("ann", id, "x").status,
          client_.Delete("ann", id).status,
          PostUpdate([&id = id](auto& u) { u.set_reply_to(id); })()}) {
      EXPECT_EQ(status.error_code(), code) << status.error_message();
      EXPECT_NE(status.error_message().find(fmt::format("{:016x}", id)), std::string::npos)
          << status.error_message();
    }
  }
  EXPECT_TRUE(redis
                  ->Call({"DEL", fmt::format("{{default:g2}}:update:{:016x}", list),
                          fmt::format("{{default:g2}}:update:{:016x}", garbage)})
                  .ok());
}

TEST_F(KlatchdBadInputTest, OddIdsAreIdsLikeAllOthers) {
  const std::vector<std::string> ids = {"{}",        "}{",    "{default:g0}:log",
                                        ":",         "*",     " ",
                                        "%",         "%3A",   "a:b",
                                        "\"",        "\\",    "grün",
                                        "🥾 hike", "../..", "'; --",
                                        "-1",        "0",     std::string(128, 'x')};
  Tokens tokens;
  std::map<std::string, uint64_t> posts;
  for (const std::string& id : ids) {
    ASSERT_THAT(client_.CreateGroup("o" + id.substr(0, 100), id), Succeeds()) << id;
    ASSERT_THAT(client_.Add("o" + id.substr(0, 100), id, {id}), Succeeds()) << id;
    const auto posted = client_.Publish(id, id, "to " + id);
    ASSERT_THAT(posted, Succeeds()) << id;
    posts[id] = posted->update_id();
    tokens.MergeFrom(posted->tokens());
  }
  for (const std::string& id : ids) {
    EXPECT_THAT(TextsOf(*client_.Home(id, tokens)), ElementsAre("to " + id));
    EXPECT_THAT(TextsOf(*client_.GroupPage(id, id, tokens)), ElementsAre("to " + id));
    EXPECT_THAT(TextsOf(*client_.Profile(id, id, tokens)), ElementsAre("to " + id));
    for (const std::string& other : ids) {
      EXPECT_EQ(client_.Get(id, posts[other]).ok(), id == other) << id << " and " << other;
    }
  }
}

TEST_F(KlatchdBadInputTest, TextAtTheLimitIsTaken) {
  const auto posted = client_.Publish("ann", "g", std::string(10'000, 'x'));
  ASSERT_THAT(posted, Succeeds());
  EXPECT_EQ(client_.Get("bob", posted->update_id())->update().text().size(), 10'000u);
}

}  // namespace
}  // namespace klatch::testing
