#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "common/base/utf8.h"
#include "services/accept/validate.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

TEST(Utf8Test, TakesOnlyWellFormedCharacters) {
  for (const char* good : {"", "a", "é", "€", "😀", "a€😀z"}) {
    EXPECT_TRUE(base::IsValidUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xE2\x82",
        "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xFE"}) {
    EXPECT_FALSE(base::IsValidUtf8(bad));
  }
}

TEST(Utf8Test, PrefixNeverCutsACharacter) {
  EXPECT_EQ(base::Utf8Prefix("a€b", 3), "a");
  EXPECT_EQ(base::Utf8Prefix("a€b", 4), "a€");
  EXPECT_EQ(base::Utf8Prefix("ab\xFFz", 10), "ab");
}

TEST(CheckIdTest, TakesAnythingPrintable) {
  for (const std::string& id :
       {std::string("a"), std::string(128, 'x'), std::string("{}"), std::string("}{"),
        std::string(":"), std::string("*"), std::string(" "), std::string("%3A"),
        std::string("friends:анна 😀")}) {
    EXPECT_TRUE(CheckId(id, "actor").ok()) << id;
  }
}

TEST(CheckIdTest, NamesTheFieldOfABadId) {
  for (const std::string& id :
       {std::string(), std::string(129, 'x'), std::string(64 << 10, 'x'), std::string("a\0b", 3),
        std::string("a\r\nb"), std::string("\x7F"), std::string("\xC3("), std::string("\t")}) {
    const absl::Status status = CheckId(id, "members[3].person");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(FieldOf(status), "members[3].person");
  }
}

TEST(CheckRequestIdTest, TakesOneTo256Bytes) {
  EXPECT_FALSE(CheckRequestId("").ok());
  EXPECT_TRUE(CheckRequestId("k").ok());
  EXPECT_TRUE(CheckRequestId(std::string(256, 'k')).ok());
  EXPECT_EQ(FieldOf(CheckRequestId(std::string(257, 'k'))), "request_id");
}

TEST(CheckNamespaceTest, EmptyMeansTheOneThatIsServed) {
  Layout layout;
  EXPECT_TRUE(CheckNamespace("", layout).ok());
  EXPECT_TRUE(CheckNamespace("default", layout).ok());
  const absl::Status unknown = CheckNamespace("other", layout);
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(FieldOf(unknown), "namespace");
  layout.name = "shop";
  EXPECT_TRUE(CheckNamespace("", layout).ok());
  EXPECT_TRUE(absl::IsNotFound(CheckNamespace("default", layout)));
  EXPECT_TRUE(CheckNamespace("shop", layout).ok());
}

TEST(CheckUpdateContentTest, NeedsTextOrAnAttachment) {
  v1::Update update;
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.text");
  update.add_attachments()->set_uri("s3://x");
  EXPECT_TRUE(CheckUpdateContent(update, "update").ok());
}

TEST(CheckUpdateContentTest, TakesTextUpToItsLimitInBytes) {
  v1::Update update;
  update.set_text(std::string(limits::kTextBytesMax, 'x'));
  EXPECT_TRUE(CheckUpdateContent(update, "update").ok());
  update.mutable_text()->push_back('x');
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.text");
}

TEST(CheckUpdateContentTest, NamesTheAttachmentAtFault) {
  v1::Update update;
  update.add_attachments()->set_uri("a");
  update.add_attachments();
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.attachments[1].uri");
  update.mutable_attachments(1)->set_uri("b");
  update.mutable_attachments(1)->set_media_type(std::string(128, 'm'));
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.attachments[1].media_type");
  update.mutable_attachments(1)->clear_media_type();
  update.mutable_attachments(0)->set_alt_text(std::string(1001, 'm'));
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.attachments[0].alt_text");
  update.mutable_attachments(0)->clear_alt_text();
  while (update.attachments_size() < 17) {
    update.add_attachments()->set_uri("c");
  }
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.attachments");
}

TEST(CheckUpdateContentTest, RefusesDegreesOutOfRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double latitude : {90.001, -90.001, nan, infinity, -infinity}) {
    v1::Update update;
    update.set_text("x");
    update.mutable_place()->set_latitude(latitude);
    EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.place.latitude") << latitude;
  }
  for (const double longitude : {180.001, -180.001, nan}) {
    v1::Update update;
    update.set_text("x");
    update.mutable_place()->set_longitude(longitude);
    EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.place.longitude") << longitude;
  }
  v1::Update pole;
  pole.set_text("x");
  pole.mutable_place()->set_latitude(-90);
  pole.mutable_place()->set_longitude(180);
  EXPECT_TRUE(CheckUpdateContent(pole, "update").ok());
}

TEST(CheckUpdateContentTest, RefusesUnknownAudience) {
  v1::Update update;
  update.set_text("x");
  update.set_audience(static_cast<v1::Audience>(77));
  EXPECT_EQ(FieldOf(CheckUpdateContent(update, "update")), "update.audience");
}

TEST(CheckUpdateGroupsTest, NeedsOneToAHundredEachOnce) {
  v1::Update update;
  EXPECT_EQ(FieldOf(CheckUpdateGroups(update, "update")), "update.groups");
  for (int i = 0; i < 100; ++i) {
    update.add_groups("g" + std::to_string(i));
    EXPECT_TRUE(CheckUpdateGroups(update, "update").ok()) << i;
  }
  update.add_groups("h");
  EXPECT_EQ(FieldOf(CheckUpdateGroups(update, "update")), "update.groups");
  update.clear_groups();
  update.add_groups("g");
  update.add_groups("h");
  update.add_groups("g");
  EXPECT_EQ(FieldOf(CheckUpdateGroups(update, "update")), "update.groups[2]");
  update.clear_groups();
  update.add_groups("");
  EXPECT_EQ(FieldOf(CheckUpdateGroups(update, "update")), "update.groups[0]");
}

TEST(CheckTargetsTest, AllMyGroupsTakesNoGroups) {
  v1::PublishUpdateRequest request;
  EXPECT_EQ(FieldOf(CheckTargets(request)), "update.groups");
  request.set_all_my_groups(true);
  EXPECT_TRUE(CheckTargets(request).ok());
  request.mutable_update()->add_groups("g");
  EXPECT_EQ(FieldOf(CheckTargets(request)), "update.groups");
}

TEST(CheckBatchGroupsTest, CountsOnlyWhatGoesToSeveral) {
  google::protobuf::RepeatedPtrField<v1::PublishUpdateRequest> requests;
  for (int i = 0; i < 9; ++i) {
    requests.Add()->set_all_my_groups(true);
  }
  for (int i = 0; i < 50; ++i) {
    requests.Add()->mutable_update()->add_groups("g");
  }
  for (int i = 0; i < 50; ++i) {
    v1::PublishUpdateRequest* request = requests.Add();
    request->mutable_update()->add_groups("g");
    request->mutable_update()->add_groups("h");
  }
  EXPECT_TRUE(CheckBatchGroups(requests).ok());
  requests.Mutable(requests.size() - 1)->mutable_update()->add_groups("i");
  EXPECT_EQ(FieldOf(CheckBatchGroups(requests)), "requests");
}

TEST(CheckGroupFieldsTest, NamesTheFieldAtFault) {
  v1::Group group;
  EXPECT_TRUE(CheckGroupFields(group, "group").ok());
  group.set_display_name(std::string(201, 'n'));
  EXPECT_EQ(FieldOf(CheckGroupFields(group, "group")), "group.display_name");
  group.clear_display_name();
  group.set_history(static_cast<v1::History>(9));
  EXPECT_EQ(FieldOf(CheckGroupFields(group, "group")), "group.history");
  group.clear_history();
  group.set_default_audience(static_cast<v1::Audience>(-1));
  EXPECT_EQ(FieldOf(CheckGroupFields(group, "group")), "group.default_audience");
}

TEST(CheckMembersTest, SaysWhereSomebodyWasListedFirst) {
  v1::AddMembersRequest request;
  for (const char* person : {"ann", "bob", "cid", "bob"}) {
    request.add_members()->set_person(person);
  }
  const absl::Status status = CheckMembers(request.members());
  EXPECT_EQ(FieldOf(status), "members[3].person");
  EXPECT_EQ(base::MessageOf(status), "members[3].person is listed twice (first at members[1])");
}

TEST(CheckMembersTest, RefusesUnknownRolesAndTooMany) {
  v1::AddMembersRequest request;
  EXPECT_EQ(FieldOf(CheckMembers(request.members())), "members");
  request.add_members()->set_person("ann");
  request.mutable_members(0)->set_role(static_cast<v1::Role>(5));
  EXPECT_EQ(FieldOf(CheckMembers(request.members())), "members[0].role");
  request.clear_members();
  for (size_t i = 0; i < limits::kMembersPerCallMax; ++i) {
    request.add_members()->set_person(std::to_string(i));
  }
  EXPECT_TRUE(CheckMembers(request.members()).ok());
  request.add_members()->set_person("one more");
  EXPECT_EQ(FieldOf(CheckMembers(request.members())), "members");
}

TEST(CheckPersonsTest, RefusesDuplicates) {
  v1::RemoveMembersRequest request;
  request.add_persons("ann");
  request.add_persons("ann");
  EXPECT_EQ(base::MessageOf(CheckPersons(request.persons())),
            "persons[1] is listed twice (first at persons[0])");
}

TEST(CheckTokensTest, RefusesShardsThatDoNotExist) {
  const Layout layout;
  v1::GetGroupRequest request;
  v1::Token* token = request.add_tokens();
  token->set_shard(63);
  token->set_position(Position(5, ShardIndex(63), 1).value());
  auto tokens = CheckTokens(request.tokens(), layout);
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(tokens->front().position.ms(), 5u);
  token->set_shard(3);
  EXPECT_EQ(FieldOf(CheckTokens(request.tokens(), layout).status()), "tokens[0].position");
  token->set_shard(64);
  EXPECT_EQ(FieldOf(CheckTokens(request.tokens(), layout).status()), "tokens[0].shard");
  request.clear_tokens();
  for (size_t i = 0; i <= limits::kTokensMax; ++i) {
    request.add_tokens();
  }
  EXPECT_EQ(FieldOf(CheckTokens(request.tokens(), layout).status()), "tokens");
}

TEST(CheckPageSizeTest, TakesTheDefaultForZeroAndTheLimitForMore) {
  EXPECT_EQ(FieldOf(CheckPageSize(-1, 20, 200).status()), "page_size");
  EXPECT_EQ(*CheckPageSize(0, 20, 200), 20);
  EXPECT_EQ(*CheckPageSize(7, 20, 200), 7);
  EXPECT_EQ(*CheckPageSize(std::numeric_limits<int32_t>::max(), 20, 200), 200);
}

}  // namespace
}  // namespace klatch
