// Bad input to ImportService over gRPC: the exact code, the field at fault, nothing changed in Redis,
// the server as it was.

#include <limits>
#include <set>
#include <utility>

#include "services/model/limits.h"
#include "services/model/position.h"
#include "tests/integration/klatchd_bad_input.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;
using Stub = v1::ImportService::Stub;

constexpr auto kBad = StatusCode::INVALID_ARGUMENT;

class KlatchdBadImportTest : public KlatchdBadInputTest {
 protected:
  static v1::ImportedUpdate Item() {
    v1::ImportedUpdate item;
    item.set_source_id("s");
    item.set_author("ann");
    item.mutable_update()->add_groups("g");
    item.mutable_update()->set_text("long ago");
    item.mutable_original_time()->set_seconds(1'000);
    return item;
  }
  // The outcome of an item that is good but for `change`.
  template <typename Change>
  std::function<grpc::Status()> ItemWith(Change change) {
    v1::ImportUpdatesRequest request;
    *request.add_updates() = Item();
    change(*request.mutable_updates(0));
    return [=, this] {
      const auto answer = client_.Imports(&Stub::ImportUpdates, request);
      if (!answer.ok()) {
        return answer.status;
      }
      EXPECT_EQ(answer->results_size(), 1);
      const google::rpc::Status& error = answer->results(0).error();
      return grpc::Status(static_cast<StatusCode>(error.code()), error.message(),
                          error.SerializeAsString());
    };
  }
  template <typename Change>
  std::function<grpc::Status()> ImportWith(Change change) {
    v1::ImportUpdatesRequest request;
    *request.add_updates() = Item();
    change(request);
    return [=, this] { return client_.Imports(&Stub::ImportUpdates, request).status; };
  }

  static v1::SyncMembersRequest List() {
    v1::SyncMembersRequest request;
    request.set_group("g");
    request.set_version(7);
    for (const auto& [person, role] : {std::pair<const char*, v1::Role>{"owner", v1::ROLE_OWNER},
                                       {"mod", v1::ROLE_MODERATOR},
                                       {"ann", v1::ROLE_UNSPECIFIED},
                                       {"bob", v1::ROLE_MEMBER}}) {
      v1::Member* member = request.add_members();
      member->set_person(person);
      member->set_role(role);
    }
    return request;
  }
  template <typename Change>
  std::function<grpc::Status()> ListWith(Change change) {
    v1::SyncMembersRequest request = List();
    change(request);
    return [=, this] { return client_.Imports(&Stub::SyncMembers, request).status; };
  }

  // A list in two messages of two members each, good but for `change`.
  std::function<grpc::Status()> PartsWith(
      const std::function<void(v1::SyncManyMembersRequest&, v1::SyncManyMembersRequest&)>& change) {
    v1::SyncManyMembersRequest first;
    v1::SyncManyMembersRequest second;
    first.set_group("g");
    first.set_version(7);
    first.set_member_count(4);
    for (int i = 0; i < 4; ++i) {
      *(i < 2 ? first : second).add_members() = List().members(i);
    }
    change(first, second);
    return [=, this] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
      v1::SyncManyMembersResponse response;
      const auto writer = client_.imports().SyncManyMembers(&context, &response);
      static_cast<void>(writer->Write(first) && writer->Write(second));
      writer->WritesDone();
      return writer->Finish();
    };
  }
};

TEST_F(KlatchdBadImportTest, EveryMethodRefusesANamespaceThatIsNotServed) {
  std::vector<Row> rows;
  std::set<std::string> methods;
  for (const std::string name : {"other", "Default", "{default}", "default:t0"}) {
    const auto change = [&methods, name](auto& request) {
      methods.insert(MethodOf(request));
      request.set_namespace_(name);
    };
    const auto add = [&rows, &name](const std::string& method, std::function<grpc::Status()> call) {
      rows.push_back({method + " of " + name, StatusCode::NOT_FOUND, "namespace", std::move(call)});
    };
    add("ImportUpdates", ImportWith(change));
    add("SyncMembers", ListWith(change));
    add("SyncManyMembers", PartsWith([&](auto& first, auto&) { change(first); }));
  }
  EXPECT_EQ(methods, MethodsBeside<v1::ImportUpdatesRequest>());
  Check(rows);
}

TEST_F(KlatchdBadImportTest, ImportIsOfSomeUpdatesOfANamespaceThatIsServed) {
  Check({
      {"none", kBad, "updates", ImportWith([](auto& r) { r.clear_updates(); })},
      {"101", kBad, "updates", ImportWith([](auto& r) {
         while (r.updates_size() < 101) {
           *r.add_updates() = Item();
         }
       })},
      {"no UTF-8", kBad, "updates[0].update.text",
       ImportWith([](auto& r) { r.mutable_updates(0)->mutable_update()->set_text("a\xff"); })},
      {"a key that is no UTF-8", kBad, "updates[0].source_id",
       ImportWith([](auto& r) { r.mutable_updates(0)->set_source_id("\xff"); })},
      {"a group that is no UTF-8", kBad, "updates[0].update.groups[0]",
       ImportWith([](auto& r) { r.mutable_updates(0)->mutable_update()->set_groups(0, "\xc3"); })},
  });
}

TEST_F(KlatchdBadImportTest, EachItemIsChecked) {
  const auto update = [this](auto change) {
    return ItemWith([&](v1::ImportedUpdate& item) { change(*item.mutable_update()); });
  };
  const auto time = [this](int64_t seconds, int32_t nanos) {
    return ItemWith([&](v1::ImportedUpdate& item) {
      item.mutable_original_time()->set_seconds(seconds);
      item.mutable_original_time()->set_nanos(nanos);
    });
  };
  const auto attachment = [&](auto change) {
    return update([&](v1::Update& u) { change(*u.add_attachments()); });
  };
  const auto expiry = [&](int64_t seconds, int32_t nanos) {
    return update([&](v1::Update& u) {
      u.mutable_expire_time()->set_seconds(seconds);
      u.mutable_expire_time()->set_nanos(nanos);
    });
  };
  const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  Check({
      {"no key", kBad, "source_id", ItemWith([](auto& i) { i.clear_source_id(); })},
      {"a key of 257 bytes", kBad, "source_id",
       ItemWith([](auto& i) { i.set_source_id(std::string(257, 'x')); })},
      {"no author", kBad, "author", ItemWith([](auto& i) { i.clear_author(); })},
      {"an author of 129 bytes", kBad, "author",
       ItemWith([](auto& i) { i.set_author(std::string(129, 'x')); })},
      {"an author with NUL", kBad, "author",
       ItemWith([](auto& i) { i.set_author(std::string("a\0b", 3)); })},
      {"an author with CR LF", kBad, "author", ItemWith([](auto& i) { i.set_author("a\r\nb"); })},
      {"no update", kBad, "update.groups", ItemWith([](auto& i) { i.clear_update(); })},
      {"no group", kBad, "update.groups", update([](auto& u) { u.clear_groups(); })},
      {"two groups", kBad, "update.groups", update([](auto& u) { u.add_groups("hidden"); })},
      {"a bad group", kBad, "update.groups[0]", update([](auto& u) { u.set_groups(0, ""); })},
      {"a group with NUL", kBad, "update.groups[0]",
       update([](auto& u) { u.set_groups(0, std::string("g\0h", 3)); })},
      {"a group of 129 bytes", kBad, "update.groups[0]",
       update([](auto& u) { u.set_groups(0, std::string(129, 'x')); })},
      {"no text", kBad, "update.text", update([](auto& u) { u.clear_text(); })},
      {"a long text", kBad, "update.text",
       update([](auto& u) { u.set_text(std::string(10'001, 'x')); })},
      {"17 attachments", kBad, "update.attachments", update([](auto& u) {
         for (int i = 0; i < 17; ++i) {
           u.add_attachments()->set_uri("x");
         }
       })},
      {"no uri", kBad, "update.attachments[0].uri", attachment([](auto&) {})},
      {"a long uri", kBad, "update.attachments[0].uri",
       attachment([](auto& a) { a.set_uri(std::string(2'049, 'x')); })},
      {"a long place", kBad, "update.place.label",
       update([](auto& u) { u.mutable_place()->set_label(std::string(201, 'x')); })},
      {"far south", kBad, "update.place.latitude",
       update([](auto& u) { u.mutable_place()->set_latitude(-91); })},
      {"far east", kBad, "update.place.longitude",
       update([](auto& u) { u.mutable_place()->set_longitude(181); })},
      {"expires in 1970", kBad, "update.expire_time", expiry(0, 0)},
      {"expires a day ago", kBad, "update.expire_time", expiry(now - 24 * 3'600, 0)},
      {"expires after the year 9999", kBad, "update.expire_time", expiry(253'402'300'800, 0)},
      {"expires at nanosecond -1", kBad, "update.expire_time", expiry(now + 24 * 3'600, -1)},
      {"an unknown audience", kBad, "update.audience",
       update([](auto& u) { u.set_audience(static_cast<v1::Audience>(9)); })},
      {"no time", kBad, "original_time", ItemWith([](auto& i) { i.clear_original_time(); })},
      {"before 1970", kBad, "original_time", time(-1, 0)},
      {"the beginning of time", kBad, "original_time",
       time(std::numeric_limits<int64_t>::min(), 0)},
      {"in an hour", kBad, "original_time", time(now + 3'600, 0)},
      {"the end of time", kBad, "original_time", time(std::numeric_limits<int64_t>::max(), 0)},
      {"negative nanos", kBad, "original_time", time(1'000, -1)},
      {"too many nanos", kBad, "original_time", time(1'000, 1'000'000'000)},
      {"an unknown group", StatusCode::NOT_FOUND, "update.groups",
       update([](auto& u) { u.set_groups(0, "never"); })},
      {"a deleted group", StatusCode::NOT_FOUND, "update.groups",
       update([](auto& u) { u.set_groups(0, "gone"); })},
      {"no member", StatusCode::PERMISSION_DENIED, "author",
       update([](auto& u) { u.set_groups(0, "hidden"); })},
      {"an answer to what the author can't see", StatusCode::NOT_FOUND, "update.reply_to",
       update([](auto& u) { u.set_reply_to(hidden_); })},
      {"a reshare of what never was", StatusCode::NOT_FOUND, "update.reshare_of",
       update([](auto& u) { u.set_reshare_of(UpdateId(5, ShardIndex(1), 0).value()); })},
  });
}

TEST_F(KlatchdBadImportTest, KeyOfAnotherUpdateIsRefused) {
  v1::ImportUpdatesRequest request;
  *request.add_updates() = Item();
  ASSERT_TRUE(client_.Imports(&Stub::ImportUpdates, request)->results(0).has_imported());
  Check({
      {"another text", StatusCode::ALREADY_EXISTS, "source_id",
       ItemWith([](auto& i) { i.mutable_update()->set_text("other"); })},
      {"another time", StatusCode::ALREADY_EXISTS, "source_id",
       ItemWith([](auto& i) { i.mutable_original_time()->set_seconds(1'001); })},
  });
}

TEST_F(KlatchdBadImportTest, ListIsChecked) {
  ASSERT_THAT(client_.Imports(&Stub::SyncMembers, List()), Succeeds());
  Check({
      {"no group", kBad, "group", ListWith([](auto& r) { r.clear_group(); })},
      {"a group of 129 bytes", kBad, "group",
       ListWith([](auto& r) { r.set_group(std::string(129, 'x')); })},
      {"a group with NUL", kBad, "group",
       ListWith([](auto& r) { r.set_group(std::string("g\0h", 3)); })},
      {"a group that is no UTF-8", kBad, "group", ListWith([](auto& r) { r.set_group("\xff"); })},
      {"no version", kBad, "version", ListWith([](auto& r) { r.clear_version(); })},
      {"nobody", kBad, "members", ListWith([](auto& r) { r.clear_members(); })},
      {"no owner", kBad, "members",
       ListWith([](auto& r) { r.mutable_members(0)->set_role(v1::ROLE_MEMBER); })},
      {"10,001 members", kBad, "members", ListWith([](auto& r) {
         for (int i = 0; i < 9'997; ++i) {
           r.add_members()->set_person(std::to_string(i));
         }
       })},
      {"an empty person", kBad, "members[4].person", ListWith([](auto& r) { r.add_members(); })},
      {"a person twice", kBad, "members[4].person",
       ListWith([](auto& r) { r.add_members()->set_person("ann"); })},
      {"a person with CR LF", kBad, "members[4].person",
       ListWith([](auto& r) { r.add_members()->set_person("a\r\nb"); })},
      {"an unknown role", kBad, "members[3].role",
       ListWith([](auto& r) { r.mutable_members(3)->set_role(static_cast<v1::Role>(5)); })},
      {"no UTF-8", kBad, "members[3].person",
       ListWith([](auto& r) { r.mutable_members(3)->set_person("\xff"); })},
      {"an unknown group", StatusCode::NOT_FOUND, "group",
       ListWith([](auto& r) { r.set_group("never"); })},
      {"a deleted group", StatusCode::NOT_FOUND, "group",
       ListWith([](auto& r) { r.set_group("gone"); })},
      {"an older version", StatusCode::FAILED_PRECONDITION, "version",
       ListWith([](auto& r) { r.set_version(6); })},
      {"another list with this version", StatusCode::ALREADY_EXISTS, "version",
       ListWith([](auto& r) { r.mutable_members()->RemoveLast(); })},
      {"other roles with this version", StatusCode::ALREADY_EXISTS, "version",
       ListWith([](auto& r) { r.mutable_members(3)->set_role(v1::ROLE_READER); })},
  });
}

TEST_F(KlatchdBadImportTest, ListInPartsIsChecked) {
  ASSERT_THAT(client_.Imports(&Stub::SyncMembers, List()), Succeeds());
  Check({
      {"no group", kBad, "group", PartsWith([](auto& first, auto&) { first.clear_group(); })},
      {"a group with NUL", kBad, "group",
       PartsWith([](auto& first, auto&) { first.set_group(std::string("g\0h", 3)); })},
      {"a group that is no UTF-8", kBad, "group",
       PartsWith([](auto& first, auto&) { first.set_group("\xff"); })},
      {"no version", kBad, "version", PartsWith([](auto& first, auto&) { first.clear_version(); })},
      {"no count", kBad, "member_count",
       PartsWith([](auto& first, auto&) { first.clear_member_count(); })},
      {"a count above the bound", kBad, "member_count",
       PartsWith([](auto& first, auto&) { first.set_member_count(1'000'001); })},
      {"more than the count", kBad, "member_count",
       PartsWith([](auto& first, auto&) { first.set_member_count(3); })},
      {"fewer than the count", kBad, "member_count",
       PartsWith([](auto& first, auto&) { first.set_member_count(5); })},
      {"the group again", kBad, "group",
       PartsWith([](auto&, auto& second) { second.set_group("g"); })},
      {"the version again", kBad, "version",
       PartsWith([](auto&, auto& second) { second.set_version(7); })},
      {"the count again", kBad, "member_count",
       PartsWith([](auto&, auto& second) { second.set_member_count(4); })},
      {"a person twice", kBad, "members[3].person",
       PartsWith([](auto&, auto& second) { second.mutable_members(1)->set_person("ann"); })},
      {"no owner", kBad, "members",
       PartsWith([](auto& first, auto&) { first.mutable_members(0)->set_role(v1::ROLE_READER); })},
      {"no UTF-8 in the first part", kBad, "members[1].person",
       PartsWith([](auto& first, auto&) { first.mutable_members(1)->set_person("\xff"); })},
      {"no UTF-8", kBad, "members[3].person",
       PartsWith([](auto&, auto& second) { second.mutable_members(1)->set_person("\xff"); })},
      {"an empty person", kBad, "members[2].person",
       PartsWith([](auto&, auto& second) { second.mutable_members(0)->clear_person(); })},
      {"a person of 129 bytes", kBad, "members[3].person", PartsWith([](auto&, auto& second) {
         second.mutable_members(1)->set_person(std::string(129, 'x'));
       })},
      {"a person with CR LF", kBad, "members[3].person",
       PartsWith([](auto&, auto& second) { second.mutable_members(1)->set_person("a\r\nb"); })},
      {"an unknown role", kBad, "members[3].role", PartsWith([](auto&, auto& second) {
         second.mutable_members(1)->set_role(static_cast<v1::Role>(5));
       })},
      {"an unknown group", StatusCode::NOT_FOUND, "group",
       PartsWith([](auto& first, auto&) { first.set_group("never"); })},
      {"a deleted group", StatusCode::NOT_FOUND, "group",
       PartsWith([](auto& first, auto&) { first.set_group("gone"); })},
      {"an older version", StatusCode::FAILED_PRECONDITION, "version",
       PartsWith([](auto& first, auto&) { first.set_version(6); })},
      {"another list with this version", StatusCode::ALREADY_EXISTS, "version",
       PartsWith([](auto& first, auto& second) {
         first.set_member_count(3);
         second.mutable_members()->RemoveLast();
       })},
      {"other roles with this version", StatusCode::ALREADY_EXISTS, "version",
       PartsWith(
           [](auto&, auto& second) { second.mutable_members(1)->set_role(v1::ROLE_READER); })},
  });
}

}  // namespace
}  // namespace klatch::testing
