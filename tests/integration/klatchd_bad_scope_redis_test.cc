// Bad input that is about whose call it is: items of a batch, namespaces, request ids that another
// caller or method has used. The exact code, the field at fault, nothing changed in Redis.

#include <set>
#include <utility>

#include "tests/integration/klatchd_bad_input.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;

using FeedStub = v1::FeedService::Stub;
using GroupStub = v1::GroupService::Stub;

class KlatchdBadScopeTest : public KlatchdBadInputTest {
 protected:
  // The answer of one item among others that are bad too, as a call's.
  std::function<grpc::Status()> Item(const std::function<void(v1::PublishUpdateRequest&)>& change) {
    v1::BatchPublishUpdatesRequest batch;
    for (int i = 0; i < 3; ++i) {
      *batch.add_requests() = Client::Post("ann", "g", "");
    }
    *batch.mutable_requests(1) = Client::Post("ann", "g", "x");
    change(*batch.mutable_requests(1));
    return [=, this] {
      const auto answer = client_.Feed(&FeedStub::BatchPublishUpdates, batch);
      if (!answer.ok() || answer->results_size() != 3) {
        return answer.status;
      }
      for (int other : {0, 2}) {
        EXPECT_EQ(BadField(answer->results(other).error()), "update.text");
      }
      const google::rpc::Status& error = answer->results(1).error();
      return grpc::Status(static_cast<StatusCode>(error.code()), error.message(),
                          error.SerializeAsString());
    };
  }
};

TEST_F(KlatchdBadScopeTest, EveryIdOfEveryItemOfABatchIsChecked) {
  const std::vector<std::pair<std::string, std::string>> bad_ids = {
      {"empty", ""},
      {"129 bytes", std::string(129, 'x')},
      {"NUL", std::string("a\0b", 3)},
      {"CR LF", "a\r\nb"},
  };
  const auto bad = StatusCode::INVALID_ARGUMENT;
  std::vector<Row> rows;
  for (const auto& [what, id] : bad_ids) {
    rows.push_back(
        {"actor " + what, bad, "actor", Item([&id = id](auto& item) { item.set_actor(id); })});
    rows.push_back({"group " + what, bad, "update.groups[0]",
                    Item([&id = id](auto& item) { item.mutable_update()->set_groups(0, id); })});
  }
  rows.push_back({"other namespace", bad, "namespace",
                  Item([](auto& item) { item.set_namespace_("other"); })});
  rows.push_back(
      {"no request id", bad, "request_id", Item([](auto& item) { item.clear_request_id(); })});
  rows.push_back({"long request id", bad, "request_id",
                  Item([](auto& item) { item.set_request_id(std::string(257, 'k')); })});
  rows.push_back({"no group", bad, "update.groups",
                  Item([](auto& item) { item.mutable_update()->clear_groups(); })});
  rows.push_back({"unknown group", StatusCode::NOT_FOUND, "update.groups",
                  Item([](auto& item) { item.mutable_update()->set_groups(0, "nowhere"); })});
  rows.push_back({"stranger", StatusCode::PERMISSION_DENIED, "actor",
                  Item([](auto& item) { item.set_actor("stranger"); })});
  rows.push_back({"reply to what one can't see", StatusCode::NOT_FOUND, "update.reply_to",
                  Item([](auto& item) { item.mutable_update()->set_reply_to(hidden_); })});
  Check(rows);
  // What is no UTF-8 makes the whole message unreadable, so it is refused as a whole.
  for (const char* id : {"a\xff\xfe", "a\xe2\x82"}) {
    const grpc::Status status = Item([id](auto& item) { item.set_actor(id); })();
    EXPECT_EQ(status.error_code(), bad);
    EXPECT_EQ(BadField(status), "requests[1].actor");
  }
}

TEST_F(KlatchdBadScopeTest, EveryMethodRefusesANamespaceThatIsNotServed) {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"other", "other"},     {"64 KiB", std::string(64 << 10, 'x')},
      {"a prefix", "defaul"}, {"upper case", "Default"},
      {"a tag", "{default}"}, {"NUL", std::string("default\0", 8)},
      {"a space", " "},       {"another's slot", "default:g0"},
  };
  std::vector<Row> rows;
  // klatchd_bad_watch_redis_test has rows for these.
  std::set<std::string> methods = {"WatchHomeTimeline", "WatchHomeTimelines"};
  for (const auto& [what, name] : names) {
    const auto feed = [&, &what = what, &name = name](auto method, auto request) {
      methods.insert(MethodOf(request));
      request.set_namespace_(name);
      rows.push_back({request.GetTypeName() + " of " + what, StatusCode::NOT_FOUND, "namespace",
                      Feed(method, request)});
    };
    const auto groups = [&, &what = what, &name = name](auto method, auto request) {
      methods.insert(MethodOf(request));
      request.set_namespace_(name);
      rows.push_back({request.GetTypeName() + " of " + what, StatusCode::NOT_FOUND, "namespace",
                      Groups(method, request)});
    };
    v1::BatchPublishUpdatesRequest batch;
    *batch.add_requests() = Client::Post("ann", "g", "x");
    auto get = ByAnn<v1::GetUpdateRequest>();
    get.set_update_id(update_);
    auto edit = ByAnn<v1::EditUpdateRequest>();
    edit.set_update_id(update_);
    edit.mutable_update()->set_text("x");
    auto erase = ByAnn<v1::DeleteUpdateRequest>();
    erase.set_update_id(update_);
    auto profile = ByAnn<v1::ListProfileTimelineRequest>();
    profile.set_person("ann");
    v1::DeleteGroupRequest delete_group;
    delete_group.set_actor("owner");
    delete_group.set_group("g");
    feed(&FeedStub::PublishUpdate, Client::Post("ann", "g", "x"));
    feed(&FeedStub::BatchPublishUpdates, batch);
    feed(&FeedStub::GetUpdate, get);
    feed(&FeedStub::EditUpdate, edit);
    feed(&FeedStub::DeleteUpdate, erase);
    feed(&FeedStub::ListHomeTimeline, ByAnn<v1::ListHomeTimelineRequest>());
    feed(&FeedStub::ListGroupTimeline, ByAnnOfG<v1::ListGroupTimelineRequest>());
    feed(&FeedStub::ListProfileTimeline, profile);
    groups(&GroupStub::CreateGroup, Creating("new"));
    groups(&GroupStub::GetGroup, ByAnnOfG<v1::GetGroupRequest>());
    groups(&GroupStub::UpdateGroup, Renaming("g"));
    groups(&GroupStub::DeleteGroup, delete_group);
    groups(&GroupStub::AddMembers, Adding("new"));
    groups(&GroupStub::RemoveMembers, Removing("bob"));
    groups(&GroupStub::UpdateMember, Promoting("bob", v1::ROLE_READER));
    groups(&GroupStub::ListMembers, ByAnnOfG<v1::ListMembersRequest>());
    groups(&GroupStub::ListPersonGroups, ByAnn<v1::ListPersonGroupsRequest>());
  }
  std::set<std::string> all = MethodsBeside<v1::PublishUpdateRequest>();
  all.merge(MethodsBeside<v1::CreateGroupRequest>());
  EXPECT_EQ(methods, all);
  Check(rows);
}

TEST_F(KlatchdBadScopeTest, RequestIdOfAnotherCallerIsAnotherRequest) {
  const std::string key(256, 'k');
  ASSERT_THAT(client_.Add("owner", "g", {"second-owner"}, v1::ROLE_OWNER), Succeeds());
  auto add = Adding("joiner");
  add.set_request_id(key);
  const auto added = client_.Groups(&GroupStub::AddMembers, add);
  ASSERT_THAT(added, Succeeds());
  EXPECT_EQ(added->added_count(), 1u);
  add.set_actor("second-owner");
  const auto again = client_.Groups(&GroupStub::AddMembers, add);
  ASSERT_THAT(again, Succeeds());
  EXPECT_EQ(again->added_count(), 0u) << "it was given the other caller's answer";
  EXPECT_EQ(again->unchanged_count(), 1u);
  // Another payload, which the first caller would be refused.
  auto remove = Removing("joiner");
  remove.set_actor("bob");
  remove.set_request_id(key);
  EXPECT_THAT(client_.Groups(&GroupStub::RemoveMembers, remove),
              Refuses(StatusCode::PERMISSION_DENIED, "actor"));
  auto create = Creating("of-second-owner");
  create.set_actor("second-owner");
  create.set_request_id(key);
  ASSERT_THAT(client_.Groups(&GroupStub::CreateGroup, create), Succeeds());
  create.set_actor("owner");
  EXPECT_THAT(client_.Groups(&GroupStub::CreateGroup, create),
              Refuses(StatusCode::ALREADY_EXISTS, "group.id"));
}

TEST_F(KlatchdBadScopeTest, RequestIdOfAnotherMethodStandsForAnotherPayload) {
  auto post = Client::Post("owner", "g", "first");
  ASSERT_THAT(client_.Publish(post), Succeeds());
  auto add = Adding("new");
  add.set_request_id(post.request_id());
  auto remove = Removing("bob");
  remove.set_request_id(post.request_id());
  auto create = Creating("g");
  create.set_request_id(post.request_id());
  const auto used = StatusCode::ALREADY_EXISTS;
  Check({
      {"add", used, "request_id", Groups(&GroupStub::AddMembers, add)},
      {"remove", used, "request_id", Groups(&GroupStub::RemoveMembers, remove)},
      {"create", used, "request_id", Groups(&GroupStub::CreateGroup, create)},
  });
  // What the parts of a bulk call were once kept under is a request id like all others.
  auto taken = Client::Post("owner", "g", "taken");
  taken.set_request_id("import/0");
  ASSERT_THAT(client_.Publish(taken), Succeeds());
  add.set_request_id("import");
  EXPECT_THAT(client_.Groups(&GroupStub::AddMembers, add), Succeeds());
}

}  // namespace
}  // namespace klatch::testing
