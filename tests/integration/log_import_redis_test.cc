// Imports of updates and lists of members, against a real redis-server.

#include <fmt/format.h>

#include <algorithm>

#include "services/log/group_hash.h"
#include "tests/integration/log_fixture.h"

namespace klatch::testing {
namespace {

using absl::StatusCode;
using klatch::v1::LogRecord;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kJoined = MemberOutcome::kJoined;
constexpr auto kRoleChanged = MemberOutcome::kRoleChanged;
constexpr auto kLeft = MemberOutcome::kLeft;
constexpr auto kNothing = MemberOutcome::kNothing;

class LogImportRedisTest : public LogRedisTest {
 protected:
  void SetUp() override {
    LogRedisTest::SetUp();
    MakeGroup("ann", "hiking");
    ASSERT_THAT(Add("ann", "hiking", {{"ben", Role::kReader}}, "a1"), IsOk());
  }

  void UpdateGroup(UpdateGroupCommand command) {
    command.actor = PersonId("ann");
    command.group = GroupId("hiking");
    ASSERT_THAT(Await(appender_->UpdateGroup(std::move(command))), IsOk());
  }

  static MembersList List(uint64_t version, std::string claim = "12345678",
                          std::string_view payload = "list") {
    return {GroupId("hiking"), version, Digest(payload), std::move(claim)};
  }
  absl::StatusOr<MembersSynced> Sync(const MembersList& list, std::vector<PersonRole> members) {
    return Await(appender_->SyncMembers(list, std::move(members)));
  }
  static PersonRole Of(const char* person, Role role) { return {PersonId(person), role}; }

  std::string Counts() {
    return GroupField("hiking", group_hash::kMemberCount) + " members, " +
           GroupField("hiking", group_hash::kOwnerCount) + " owners";
  }
};

TEST_F(LogImportRedisTest, ImportIsInTheLogAndTheFeedAsAPostIs) {
  const auto imported = Import(Post("ann", "hiking", "s1", "long ago"));
  ASSERT_THAT(imported, IsOk());
  EXPECT_EQ(imported->audience, AudienceRule::kMembersAtPosting);
  const auto records = Records("hiking");
  const LogRecord& record = records.back().record;
  EXPECT_EQ(records.back().position, imported->position);
  EXPECT_TRUE(record.published().imported());
  EXPECT_EQ(record.actor(), "ann");
  EXPECT_EQ(GroupField("hiking", group_hash::kFeedCount), "1");
  EXPECT_EQ(Redis({"EXISTS", keys_.Update(imported->position)}).integer(), 1);
  const auto posted = Publish(Post("ann", "hiking", "s1", "today"));
  ASSERT_THAT(posted, IsOk());
  EXPECT_FALSE(posted->replayed) << "a request id is no source id";
  EXPECT_FALSE(Records("hiking").back().record.published().imported());
}

TEST_F(LogImportRedisTest, ImportIsRepeatedByItsSourceIdAsLongAsItsBodyIsKept) {
  const auto first = Import(Post("ann", "hiking", "s1"));
  ASSERT_THAT(first, IsOk());
  const std::string key = keys_.Imported(PersonId("ann"), GroupId("hiking"), "s1");
  const int64_t kept = Redis({"PEXPIRETIME", key}).integer();
  // Redis counts each from its own millisecond.
  constexpr double kScriptMs = 1'000;
  EXPECT_NEAR(static_cast<double>(kept),
              static_cast<double>(Redis({"PEXPIRETIME", keys_.Update(first->position)}).integer()),
              kScriptMs);
  EXPECT_GT(Redis({"PTTL", key}).integer(),
            std::chrono::milliseconds(limits::kOnceRetention).count());
  const auto before = Contents();
  const auto again = Import(Post("ann", "hiking", "s1"));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->position, first->position);
  EXPECT_THAT(Import(Post("ann", "hiking", "s1", "other")),
              FailsWith(StatusCode::kAlreadyExists, "source_id"));
  EXPECT_EQ(Contents(), before);
  // Another author's key is another key.
  EXPECT_FALSE(Import(Post("ben", "hiking", "s1"))->replayed);
}

TEST_F(LogImportRedisTest, DeletedImportDoesNotComeBack) {
  const auto first = Import(Post("ann", "hiking", "s1"));
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(Await(appender_->Delete(
                  {PersonId("ann"), first->position, GroupId("hiking"), PersonId("ann")})),
              IsOk());
  const auto again = Import(Post("ann", "hiking", "s1"));
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->position, first->position);
  EXPECT_EQ(Redis({"STRLEN", keys_.Update(first->position)}).integer(), 0);
}

TEST_F(LogImportRedisTest, NeitherRolesNorAClosedGroupStopAnImport) {
  UpdateGroupCommand closing;
  closing.post_role = Role::kOwner;
  closing.closed = true;
  ASSERT_NO_FATAL_FAILURE(UpdateGroup(closing));
  EXPECT_THAT(Import(Post("ben", "hiking", "s1")), IsOk());
  EXPECT_THAT(Import(Post("cat", "hiking", "s2")),
              FailsWith(StatusCode::kPermissionDenied, "author"));
  EXPECT_THAT(Import(Post("ann", "never", "s3")),
              FailsWith(StatusCode::kNotFound, "update.groups"));
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("hiking"))), IsOk());
  EXPECT_THAT(Import(Post("ann", "hiking", "s4")),
              FailsWith(StatusCode::kNotFound, "update.groups"));
}

TEST_F(LogImportRedisTest, ChunkOfAListIsOneRecordAndKeepsCounts) {
  ASSERT_THAT(Await(appender_->BeginSync(List(7))), IsOk());
  const Stay old = *StayOf("ben", "hiking");
  const auto synced = Sync(List(7), {Of("ann", Role::kOwner), Of("ben", Role::kOwner),
                                     Of("cat", Role::kModerator), Of("dan", Role::kNone)});
  ASSERT_THAT(synced, IsOk());
  EXPECT_THAT(synced->outcomes, ElementsAre(kNothing, kRoleChanged, kJoined, kNothing));
  const auto records = Records("hiking");
  EXPECT_EQ(records.back().position, synced->position);
  EXPECT_EQ(records.back().record.actor(), "");
  const auto& changed = records.back().record.members_changed();
  ASSERT_EQ(changed.joined_size(), 1);
  EXPECT_EQ(changed.joined(0).person(), "cat");
  EXPECT_EQ(changed.joined(0).role(), klatch::v1::ROLE_MODERATOR);
  ASSERT_EQ(changed.role_changed_size(), 1);
  EXPECT_EQ(changed.role_changed(0).person(), "ben");
  EXPECT_EQ(changed.role_changed(0).role(), klatch::v1::ROLE_OWNER);
  EXPECT_EQ(changed.left_size(), 0);
  EXPECT_EQ(StayOf("cat", "hiking"), (Stay{Role::kModerator, synced->position, synced->position}));
  EXPECT_EQ(StayOf("ben", "hiking"), (Stay{Role::kOwner, old.joined, old.visible_from}));
  EXPECT_EQ(Counts(), "3 members, 2 owners");

  const auto removed = Sync(List(7), {Of("ann", Role::kNone), Of("cat", Role::kNone)});
  ASSERT_THAT(removed, IsOk());
  EXPECT_THAT(removed->outcomes, ElementsAre(kLeft, kLeft));
  EXPECT_THAT(Records("hiking").back().record.members_changed().left(), ElementsAre("ann", "cat"));
  EXPECT_EQ(StayOf("ann", "hiking"), std::nullopt);
  EXPECT_EQ(Counts(), "1 members, 1 owners");

  const auto before = Contents();
  const auto again = Sync(List(7), {Of("ben", Role::kOwner), Of("cat", Role::kNone)});
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT(again->outcomes, ElementsAre(kNothing, kNothing));
  EXPECT_EQ(again->position, removed->position);
  EXPECT_THAT(Sync(List(7), {Of("ben", Role::kMember)}),
              FailsWith(StatusCode::kFailedPrecondition, "members"));
  EXPECT_EQ(Contents(), before);
}

TEST_F(LogImportRedisTest, JoinersByAListSeeThePastByTheGroupsPolicy) {
  const auto posted = Publish(Post("ann", "hiking", "r1"));
  ASSERT_THAT(posted, IsOk());
  ASSERT_THAT(Publish(Post("ann", "hiking", "r2")), IsOk());
  UpdateGroupCommand opening;
  opening.past = UpdateGroupCommand::Past{History::kAll, 0};
  ASSERT_NO_FATAL_FAILURE(UpdateGroup(opening));
  ASSERT_THAT(Await(appender_->BeginSync(List(1))), IsOk());
  ASSERT_THAT(Sync(List(1), {Of("cat", Role::kMember)}), IsOk());
  EXPECT_EQ(StayOf("cat", "hiking")->visible_from, Position());
  EXPECT_TRUE(Records("hiking").back().record.members_changed().has_past());
  opening.past = UpdateGroupCommand::Past{History::kLast, 2};
  ASSERT_NO_FATAL_FAILURE(UpdateGroup(opening));
  ASSERT_THAT(Publish(Post("ann", "hiking", "r3")), IsOk());
  opening.past = UpdateGroupCommand::Past{History::kLast, 3};
  ASSERT_NO_FATAL_FAILURE(UpdateGroup(opening));
  ASSERT_THAT(Publish(Post("ann", "hiking", "r4")), IsOk());
  ASSERT_THAT(Sync(List(1), {Of("dan", Role::kMember)}), IsOk());
  EXPECT_GT(StayOf("dan", "hiking")->visible_from, posted->position);
  EXPECT_LT(StayOf("dan", "hiking")->visible_from, StayOf("dan", "hiking")->joined);
}

TEST_F(LogImportRedisTest, ListIsRefusedOnceALaterOneHasBegun) {
  EXPECT_THAT(Sync(List(1), {Of("cat", Role::kMember)}),
              FailsWith(StatusCode::kFailedPrecondition, "version"))
      << "nothing has begun";
  ASSERT_THAT(Await(appender_->BeginSync(List(9))), IsOk());
  ASSERT_THAT(Await(appender_->BeginSync(List(10))), IsOk());
  const auto before = Contents();
  for (const absl::Status& status : {Sync(List(9), {Of("cat", Role::kMember)}).status(),
                                     Await(appender_->BeginSync(List(9))).status()}) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(FieldOf(status), "version");
    EXPECT_EQ(base::ReasonOf(status), "STALE_VERSION");
  }
  EXPECT_THAT(Await(appender_->BeginSync(List(10, "12345678", "other"))),
              FailsWith(StatusCode::kAlreadyExists, "version"));
  EXPECT_EQ(Contents(), before);
  // The same list by another call.
  ASSERT_THAT(Await(appender_->BeginSync(List(10, "abcdefgh"))), IsOk());
  EXPECT_THAT(Sync(List(10), {Of("cat", Role::kMember)}), FailsWith(StatusCode::kAborted, ""));
  EXPECT_THAT(Sync(List(10, "abcdefgh"), {Of("cat", Role::kMember)}), IsOk());
  // Versions are compared as the numbers they are.
  EXPECT_THAT(Await(appender_->BeginSync(List(UINT64_MAX))), IsOk());
  EXPECT_THAT(Await(appender_->BeginSync(List(UINT64_MAX - 1))),
              FailsWith(StatusCode::kFailedPrecondition, "version"));
}

TEST_F(LogImportRedisTest, ListsAreOfGroupsThatAre) {
  MembersList never = List(1);
  never.group = GroupId("never");
  const auto before = Contents();
  EXPECT_THAT(Await(appender_->BeginSync(never)), FailsWith(StatusCode::kNotFound, "group"));
  EXPECT_EQ(Contents(), before);
  ASSERT_THAT(Await(appender_->BeginSync(List(1))), IsOk());
  ASSERT_THAT(Await(appender_->DeleteGroup(PersonId("ann"), GroupId("hiking"))), IsOk());
  EXPECT_THAT(Await(appender_->BeginSync(List(2))), FailsWith(StatusCode::kNotFound, "group"));
  EXPECT_THAT(Sync(List(1), {Of("cat", Role::kMember)}), FailsWith(StatusCode::kNotFound, "group"));
}

TEST_F(LogImportRedisTest, ListThatOnlyTakesAwayGetsThroughWithoutMemory) {
  Redis({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_THAT(Await(appender_->BeginSync(List(1))), IsOk());
  EXPECT_THAT(Sync(List(1), {Of("cat", Role::kMember)}),
              FailsWith(StatusCode::kResourceExhausted, ""));
  EXPECT_THAT(Sync(List(1), {Of("ben", Role::kNone)}), IsOk());
  Redis({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(Counts(), "1 members, 1 owners");
}

TEST_F(LogImportRedisTest, FullChunkOfTheLongestIdsIsOneRecord) {
  std::vector<PersonRole> members;
  for (size_t i = 0; i < limits::kMembersPerScript; ++i) {
    members.push_back({PersonId(fmt::format("{:0128}", i)), Role::kMember});
  }
  ASSERT_THAT(Await(appender_->BeginSync(List(1))), IsOk());
  const auto synced = Sync(List(1), members);
  ASSERT_THAT(synced, IsOk());
  EXPECT_EQ(std::ranges::count(synced->outcomes, kJoined), 200);
  const auto records = Records("hiking");
  const auto& joined = records.back().record.members_changed().joined();
  ASSERT_EQ(joined.size(), 200);
  EXPECT_EQ(joined[199].person(), members[199].person.value());
  EXPECT_EQ(joined[199].role(), klatch::v1::ROLE_MEMBER);
}

}  // namespace
}  // namespace klatch::testing
