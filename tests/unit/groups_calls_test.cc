#include <gtest/gtest.h>

#include <map>
#include <string>

#include "accept_fakes.h"
#include "services/groups/group_calls.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using testing::Await;

constexpr base::MonotonicTime kDeadline = base::MonotonicTime::max();

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

class FakeGroupReader final : public GroupReader {
 public:
  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId group) override {
    const auto found = groups.find(group);
    if (found == groups.end()) {
      co_return base::FieldError(absl::StatusCode::kNotFound, "group", "is no group");
    }
    co_return found->second;
  }
  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId group, PersonId person) override {
    const auto found = stays.find({group.value(), person.value()});
    co_return found == stays.end() ? Stay{} : found->second;
  }
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId group, uint64_t cursor,
                                                     size_t count) override {
    scan_counts.push_back(count);
    MemberScan scan;
    scan.members.push_back({PersonId(group.value() + std::to_string(cursor)),
                            Stay{Role::kMember, Position(7), Position()}});
    scan.next_cursor = cursor >= 2 ? 0 : cursor + 1;
    co_return scan;
  }

  std::map<GroupId, StoredGroup> groups;
  std::map<std::pair<std::string, std::string>, Stay> stays;
  std::vector<size_t> scan_counts;
};

class FakePersonGroups final : public PersonGroups {
 public:
  absl::StatusOr<std::vector<GroupStay>> List(const PersonId&, std::string_view after,
                                              size_t count) const override {
    std::vector<GroupStay> shown;
    for (const std::string& id : ids) {
      if (id > after && shown.size() < count) {
        shown.push_back({GroupId(id), Stay{Role::kReader, Position(9), Position(9)}});
      }
    }
    return shown;
  }

  std::vector<std::string> ids;
};

class GroupCallsTest : public ::testing::Test {
 protected:
  GroupCallsTest()
      : appender_(layout_),
        admission_(appender_, pressure_, Admission::Bounds{}),
        executor_(1, "test"),
        calls_({layout_, appender_, reader_, person_groups_, barrier_, admission_, executor_,
                clock_, "secret"}) {}

  void Store(const std::string& id, GroupState state) {
    StoredGroup group;
    group.fields.id = GroupId(id);
    group.fields.display_name = "Hikers";
    group.state = state;
    group.member_count = 3;
    group.created = Position(1'500, ShardIndex(1), 0);
    reader_.groups[GroupId(id)] = group;
    reader_.stays[{id, "ann"}] = Stay{Role::kOwner, Position(5), Position(5)};
  }

  static v1::AddMembersRequest AddRequest(int count) {
    v1::AddMembersRequest request;
    request.set_actor("ann");
    request.set_request_id("key");
    request.set_group("hiking");
    for (int i = 0; i < count; ++i) {
      request.add_members()->set_person("person " + std::to_string(i));
    }
    return request;
  }
  static v1::RemoveMembersRequest RemoveRequest(int count) {
    v1::RemoveMembersRequest request;
    request.set_actor("ann");
    request.set_request_id("key");
    request.set_group("hiking");
    for (int i = 0; i < count; ++i) {
      request.add_persons("person " + std::to_string(i));
    }
    return request;
  }

  const Layout layout_;
  testing::FakeAppender appender_;
  testing::FakePressure pressure_;
  testing::FakeBarrier barrier_;
  testing::FakeClock clock_;
  FakeGroupReader reader_;
  FakePersonGroups person_groups_;
  Admission admission_;
  base::Executor executor_;
  GroupCalls calls_;
};

TEST_F(GroupCallsTest, CreateFillsInDefaultsAndNamingThemIsTheSamePayload) {
  v1::CreateGroupRequest request;
  request.set_actor("ann");
  request.set_request_id("key");
  request.mutable_group()->set_id("hiking");
  request.mutable_group()->set_member_count(99);
  const auto response = Await(calls_.CreateGroup(request, kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->group().history(), v1::HISTORY_NONE);
  EXPECT_EQ(response->group().default_audience(), v1::AUDIENCE_MEMBERS_AT_POSTING);
  EXPECT_EQ(response->group().member_count(), 1u);
  EXPECT_EQ(response->group().create_time().seconds(), appender_.last.unix_ms() / 1'000);
  EXPECT_EQ(response->tokens(0).position(), appender_.last.value());
  request.mutable_group()->set_history(v1::HISTORY_NONE);
  ASSERT_TRUE(Await(calls_.CreateGroup(request, kDeadline)).ok());
  request.mutable_group()->set_history(v1::HISTORY_ALL);
  ASSERT_TRUE(Await(calls_.CreateGroup(request, kDeadline)).ok());
  EXPECT_EQ(appender_.created[0].payload_digest, appender_.created[1].payload_digest);
  EXPECT_NE(appender_.created[0].payload_digest, appender_.created[2].payload_digest);
}

TEST_F(GroupCallsTest, CreateNamesTheFieldAtFault) {
  v1::CreateGroupRequest request;
  request.set_actor("ann");
  request.set_request_id("key");
  EXPECT_EQ(FieldOf(Await(calls_.CreateGroup(request, kDeadline)).status()), "group.id");
  request.mutable_group()->set_id("hiking");
  request.mutable_group()->set_description(std::string(2'001, 'x'));
  EXPECT_EQ(FieldOf(Await(calls_.CreateGroup(request, kDeadline)).status()), "group.description");
  EXPECT_TRUE(appender_.created.empty());
}

TEST_F(GroupCallsTest, GetIsForMembersOfActiveGroups) {
  Store("hiking", GroupState::kActive);
  Store("gone", GroupState::kDeleted);
  v1::GetGroupRequest request;
  request.set_actor("ann");
  request.set_group("hiking");
  const auto response = Await(calls_.GetGroup(request, kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->group().display_name(), "Hikers");
  EXPECT_EQ(response->group().member_count(), 3u);
  EXPECT_TRUE(barrier_.waited.empty());
  request.set_actor("eve");
  const absl::Status stranger = Await(calls_.GetGroup(request, kDeadline)).status();
  EXPECT_TRUE(absl::IsPermissionDenied(stranger));
  EXPECT_EQ(FieldOf(stranger), "actor");
  for (const char* absent : {"gone", "never"}) {
    request.set_group(absent);
    EXPECT_TRUE(absl::IsNotFound(Await(calls_.GetGroup(request, kDeadline)).status()));
  }
}

TEST_F(GroupCallsTest, UpdateChangesOnlyWhatTheMaskNames) {
  v1::UpdateGroupRequest request;
  request.set_actor("ann");
  request.mutable_group()->set_id("hiking");
  EXPECT_EQ(FieldOf(Await(calls_.UpdateGroup(request, kDeadline)).status()), "update_mask");
  request.mutable_group()->set_description("walks");
  const auto response = Await(calls_.UpdateGroup(request, kDeadline));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->group().id(), "hiking");
  EXPECT_EQ(response->group().description(), "walks");
  EXPECT_EQ(response->group().member_count(), 3u);
  EXPECT_EQ(response->tokens(0).position(), appender_.last.value());
  EXPECT_EQ(appender_.updated[0].description, "walks");
  EXPECT_FALSE(appender_.updated[0].display_name);
  request.mutable_update_mask()->add_paths("display_name");
  ASSERT_TRUE(Await(calls_.UpdateGroup(request, kDeadline)).ok());
  EXPECT_EQ(appender_.updated[1].display_name, "");
  EXPECT_FALSE(appender_.updated[1].description);
  request.mutable_update_mask()->set_paths(0, "history");
  EXPECT_EQ(FieldOf(Await(calls_.UpdateGroup(request, kDeadline)).status()), "group.history");
  request.mutable_update_mask()->set_paths(0, "id");
  EXPECT_EQ(FieldOf(Await(calls_.UpdateGroup(request, kDeadline)).status()), "update_mask");
}

TEST_F(GroupCallsTest, UpdateTakesTheCountOfAHistoryThatHasOneAlong) {
  struct Row {
    std::vector<const char*> mask;
    v1::History history;
    uint32_t count;
    std::string refused;  // the field; empty: the group has the history, and `changed` of it
    uint32_t changed = 0;
  };
  const std::vector<Row> rows = {
      {{"history"}, v1::HISTORY_NONE, 0, ""},
      {{"history"}, v1::HISTORY_ALL, 0, ""},
      {{"history"}, v1::HISTORY_ALL, 5, "", 0},  // left over from what the group was
      {{"history"}, v1::HISTORY_LAST, 5, "", 5},
      {{"history"}, v1::HISTORY_LAST, 800, "", 800},
      {{"history"}, v1::HISTORY_LAST, 0, "group.history_count"},
      {{"history"}, v1::HISTORY_LAST, 801, "group.history_count"},
      {{"history"}, v1::HISTORY_UNSPECIFIED, 5, "group.history"},
      {{"history", "history_count"}, v1::HISTORY_LAST, 5, "", 5},
      {{"history_count", "history"}, v1::HISTORY_LAST, 5, "", 5},
      {{"history", "history_count"}, v1::HISTORY_ALL, 0, ""},
      {{"history", "history_count"}, v1::HISTORY_ALL, 5, "group.history_count"},
      {{"history_count"}, v1::HISTORY_LAST, 5, "group.history_count"},
      {{"history_count"}, v1::HISTORY_UNSPECIFIED, 0, "group.history_count"},
      {{}, v1::HISTORY_LAST, 5, "", 5},
      {{}, v1::HISTORY_LAST, 0, "group.history_count"},
      {{}, v1::HISTORY_ALL, 5, "group.history_count"},
      {{}, v1::HISTORY_UNSPECIFIED, 5, "group.history_count"},
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(i);
    const Row& row = rows[i];
    v1::UpdateGroupRequest request;
    request.set_actor("ann");
    request.mutable_group()->set_id("hiking");
    request.mutable_group()->set_history(row.history);
    request.mutable_group()->set_history_count(row.count);
    for (const char* path : row.mask) {
      request.mutable_update_mask()->add_paths(path);
    }
    appender_.updated.clear();
    const auto response = Await(calls_.UpdateGroup(request, kDeadline));
    if (!row.refused.empty()) {
      EXPECT_TRUE(absl::IsInvalidArgument(response.status()));
      EXPECT_EQ(FieldOf(response.status()), row.refused);
      continue;
    }
    ASSERT_TRUE(response.ok()) << response.status();
    ASSERT_TRUE(appender_.updated[0].past.has_value());
    EXPECT_EQ(appender_.updated[0].past->history, static_cast<History>(row.history));
    EXPECT_EQ(appender_.updated[0].past->count, row.changed);
  }
}

TEST_F(GroupCallsTest, UpdateChangesBoundsOfThePastTogetherOrOneByOne) {
  v1::UpdateGroupRequest request;
  request.set_actor("ann");
  request.mutable_group()->set_id("hiking");
  request.mutable_group()->mutable_retention()->set_count(5);
  ASSERT_TRUE(Await(calls_.UpdateGroup(request, kDeadline)).ok());
  EXPECT_EQ(appender_.updated[0].keep_count, 5u);
  EXPECT_EQ(appender_.updated[0].keep_age, milliseconds(0)) << "what is set replaces all of it";
  EXPECT_EQ(appender_.updated[0].keep_bytes, 0u);
  request.mutable_group()->mutable_retention()->set_bytes(1'024);
  request.mutable_update_mask()->add_paths("retention.bytes");
  ASSERT_TRUE(Await(calls_.UpdateGroup(request, kDeadline)).ok());
  EXPECT_EQ(appender_.updated[1].keep_bytes, 1'024u);
  EXPECT_FALSE(appender_.updated[1].keep_count);
  EXPECT_FALSE(appender_.updated[1].keep_age);
  // Less than a millisecond more is not less than asked for.
  request.mutable_group()->mutable_retention()->mutable_age()->set_seconds(60);
  request.mutable_group()->mutable_retention()->mutable_age()->set_nanos(1);
  request.mutable_update_mask()->set_paths(0, "retention.age");
  ASSERT_TRUE(Await(calls_.UpdateGroup(request, kDeadline)).ok());
  EXPECT_EQ(appender_.updated[2].keep_age, milliseconds(60'001));
  // What the mask does not name need not be good.
  request.mutable_group()->mutable_retention()->set_count(801);
  ASSERT_TRUE(Await(calls_.UpdateGroup(request, kDeadline)).ok());
  request.mutable_update_mask()->set_paths(0, "retention");
  EXPECT_EQ(FieldOf(Await(calls_.UpdateGroup(request, kDeadline)).status()),
            "group.retention.count");
  for (const char* path : {"retention.", "retention.age.seconds", "retention.nonsense"}) {
    request.mutable_update_mask()->set_paths(0, path);
    EXPECT_EQ(FieldOf(Await(calls_.UpdateGroup(request, kDeadline)).status()), "update_mask")
        << path;
  }
}

TEST_F(GroupCallsTest, AddGoesInChunksWithKeysOfTheirOwn) {
  const auto response = Await(calls_.AddMembers(AddRequest(450), kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(appender_.added.size(), 3u);
  EXPECT_EQ(appender_.added[0].members.size(), 200u);
  EXPECT_EQ(appender_.added[2].members.size(), 50u);
  EXPECT_EQ(appender_.added[2].members[0].person, PersonId("person 400"));
  EXPECT_EQ(appender_.added[2].members[0].role, Role::kMember);
  for (uint32_t chunk = 0; chunk < 3; ++chunk) {
    EXPECT_EQ(appender_.added[chunk].request_id, "key");
    EXPECT_EQ(appender_.added[chunk].chunk, chunk);
  }
  EXPECT_EQ(response->added_count(), 450u);
  ASSERT_EQ(response->chunk_positions_size(), 3);
  EXPECT_EQ(response->tokens(0).position(), response->chunk_positions(2));
  EXPECT_TRUE(barrier_.waited.empty());
}

TEST_F(GroupCallsTest, AddUnderAUsedKeyIsAnotherPayloadFromTheFirstChunkOn) {
  v1::AddMembersRequest request = AddRequest(450);
  ASSERT_TRUE(Await(calls_.AddMembers(request, kDeadline)).ok());
  request.mutable_members(0)->set_role(v1::ROLE_MEMBER);  // what it was by default
  ASSERT_TRUE(Await(calls_.AddMembers(request, kDeadline)).ok());
  EXPECT_EQ(appender_.added[0].payload_digest, appender_.added[3].payload_digest);
  request.mutable_members(449)->set_person("other");
  ASSERT_TRUE(Await(calls_.AddMembers(request, kDeadline)).ok());
  EXPECT_NE(appender_.added[0].payload_digest, appender_.added[6].payload_digest);
}

TEST_F(GroupCallsTest, ChunksWhereNobodyJoinedHaveNoPosition) {
  appender_.nobody_changes = true;
  const auto response = Await(calls_.AddMembers(AddRequest(201), kDeadline));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->unchanged_count(), 201u);
  EXPECT_EQ(response->chunk_positions(0), 0u);
  EXPECT_EQ(response->chunk_positions(1), 0u);
  EXPECT_EQ(response->tokens(0).position(), appender_.last.value());
}

TEST_F(GroupCallsTest, AFailingChunkSaysHowFarTheCallCame) {
  appender_.failures[1] =
      base::WithReason(base::Error(absl::StatusCode::kUnavailable, "no answer"), "OUTCOME_UNKNOWN");
  const absl::Status status = Await(calls_.RemoveMembers(RemoveRequest(450), kDeadline)).status();
  EXPECT_EQ(base::MessageOf(status), "1 of 3 chunks of 200 are done: no answer");
  EXPECT_EQ(base::ReasonOf(status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(appender_.removed.size(), 2u);
}

TEST_F(GroupCallsTest, WhatABrokenRemovalHasDoneIsInForceWhenItSaysSo) {
  appender_.failures[2] = base::Error(absl::StatusCode::kFailedPrecondition, "no owner left");
  const absl::Status status = Await(calls_.RemoveMembers(RemoveRequest(450), kDeadline)).status();
  EXPECT_EQ(base::MessageOf(status), "2 of 3 chunks of 200 are done: no owner left");
  EXPECT_EQ(barrier_.waited, std::vector<Position>{appender_.last});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
  barrier_.outcome = base::Error(absl::StatusCode::kDeadlineExceeded, "late");
  appender_.failures[5] = status;
  const absl::Status late = Await(calls_.RemoveMembers(RemoveRequest(450), kDeadline)).status();
  EXPECT_EQ(base::ReasonOf(late), "NOT_YET_IN_FORCE");
  EXPECT_TRUE(base::MessageOf(late).starts_with("2 of 3 chunks of 200 are done: ")) << late;
}

TEST_F(GroupCallsTest, WhoRemovesThemselvesWithOthersGoesLast) {
  v1::RemoveMembersRequest request = RemoveRequest(450);
  request.set_persons(7, "ann");
  ASSERT_TRUE(Await(calls_.RemoveMembers(request, kDeadline)).ok());
  ASSERT_EQ(appender_.removed.size(), 3u);
  EXPECT_EQ(appender_.removed[0].persons[7], PersonId("person 8"));
  EXPECT_EQ(appender_.removed[2].persons.back(), PersonId("ann"));
}

TEST_F(GroupCallsTest, ALateCallStopsBetweenChunks) {
  appender_.on_append = [this] { clock_.monotonic += std::chrono::seconds(2); };
  const absl::Status status =
      Await(calls_.AddMembers(AddRequest(450), clock_.monotonic + std::chrono::seconds(3)))
          .status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_TRUE(base::MessageOf(status).starts_with("2 of 3 chunks of 200 are done: ")) << status;
  EXPECT_EQ(appender_.added.size(), 2u);
}

TEST_F(GroupCallsTest, RemovalsWaitForTheirLastChunk) {
  const auto response = Await(calls_.RemoveMembers(RemoveRequest(401), kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->removed_count(), 401u);
  EXPECT_EQ(barrier_.waited, std::vector<Position>{appender_.last});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
  barrier_.outcome = base::Error(absl::StatusCode::kDeadlineExceeded, "late");
  const absl::Status late = Await(calls_.RemoveMembers(RemoveRequest(1), kDeadline)).status();
  EXPECT_TRUE(absl::IsUnavailable(late));
  EXPECT_EQ(base::ReasonOf(late), "NOT_YET_IN_FORCE");
}

TEST_F(GroupCallsTest, RoleChangesWaitAndShowTheStay) {
  v1::UpdateMemberRequest request;
  request.set_actor("ann");
  request.set_group("hiking");
  request.mutable_member()->set_person("ann");
  EXPECT_EQ(FieldOf(Await(calls_.UpdateMember(request, kDeadline)).status()), "member.role");
  request.mutable_member()->set_role(static_cast<v1::Role>(8));
  EXPECT_EQ(FieldOf(Await(calls_.UpdateMember(request, kDeadline)).status()), "member.role");
  request.mutable_member()->set_role(v1::ROLE_OWNER);
  const auto response = Await(calls_.UpdateMember(request, kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->member().joined(), 5u);
  EXPECT_EQ(response->member().role(), v1::ROLE_OWNER);
  EXPECT_EQ(barrier_.waited, std::vector<Position>{appender_.last});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
}

TEST_F(GroupCallsTest, DeletionWaitsUntilNoWatchShowsTheGroup) {
  v1::DeleteGroupRequest request;
  request.set_actor("ann");
  request.set_group("hiking");
  const auto response = Await(calls_.DeleteGroup(request, kDeadline));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(barrier_.waited, std::vector<Position>{appender_.last});
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
}

TEST_F(GroupCallsTest, MemberPagesGoOnWhereTheyEnded) {
  Store("hiking", GroupState::kActive);
  v1::ListMembersRequest request;
  request.set_actor("ann");
  request.set_group("hiking");
  request.set_page_size(1);
  std::vector<std::string> seen;
  do {
    const auto response = Await(calls_.ListMembers(request, kDeadline));
    ASSERT_TRUE(response.ok()) << response.status();
    ASSERT_EQ(response->members_size(), 1);
    seen.push_back(response->members(0).person());
    request.set_page_token(response->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, (std::vector<std::string>{"hiking0", "hiking1", "hiking2"}));
  request.set_page_size(5'000);
  EXPECT_EQ(Await(calls_.ListMembers(request, kDeadline))->members_size(), 3);
  EXPECT_EQ(reader_.scan_counts[3], 1'000u);
}

TEST_F(GroupCallsTest, MemberPagesRefuseOthersTokens) {
  Store("hiking", GroupState::kActive);
  Store("sailing", GroupState::kActive);
  v1::ListMembersRequest request;
  request.set_actor("ann");
  request.set_group("hiking");
  request.set_page_size(1);
  const auto first = Await(calls_.ListMembers(request, kDeadline));
  ASSERT_TRUE(first.ok());
  std::string flipped = first->next_page_token();
  flipped[9] = flipped[9] == 'A' ? 'B' : 'A';
  for (const std::string& token :
       {std::string("random"), flipped, first->next_page_token() + "A",
        first->next_page_token().substr(1), std::string(1 << 20, 'A'), std::string("\xFF!")}) {
    request.set_page_token(token);
    const absl::Status status = Await(calls_.ListMembers(request, kDeadline)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(FieldOf(status), "page_token");
  }
  request.set_group("sailing");
  request.set_page_token(first->next_page_token());
  EXPECT_EQ(FieldOf(Await(calls_.ListMembers(request, kDeadline)).status()), "page_token");
}

TEST_F(GroupCallsTest, PersonGroupsAreListedInOrderAcrossPages) {
  person_groups_.ids = {"a", "b", "c", "d", "e"};
  v1::ListPersonGroupsRequest request;
  request.set_actor("ann");
  request.set_page_size(2);
  std::vector<std::string> seen;
  int pages = 0;
  do {
    const auto response = Await(calls_.ListPersonGroups(request, kDeadline));
    ASSERT_TRUE(response.ok()) << response.status();
    for (const v1::PersonGroup& group : response->groups()) {
      seen.push_back(group.group());
      EXPECT_EQ(group.member().role(), v1::ROLE_READER);
      EXPECT_EQ(group.member().person(), "");
    }
    request.set_page_token(response->next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, person_groups_.ids);
  EXPECT_EQ(pages, 3);
  request.set_page_size(-1);
  EXPECT_EQ(FieldOf(Await(calls_.ListPersonGroups(request, kDeadline)).status()), "page_size");
}

}  // namespace
}  // namespace klatch
