#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "accept_fakes.h"
#include "services/groups/group_calls.h"
#include "services/groups/sync_reactor.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using testing::Await;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr base::MonotonicTime kDeadline = base::MonotonicTime::max();

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

// "person role" of each, roles as numbers.
std::vector<std::string> WordsOf(const std::vector<PersonRole>& chunk) {
  std::vector<std::string> words;
  for (const PersonRole& member : chunk) {
    words.push_back(member.person.value() + " " + std::to_string(static_cast<int>(member.role)));
  }
  return words;
}

v1::Member MemberOf(const std::string& person, v1::Role role) {
  v1::Member member;
  member.set_person(person);
  member.set_role(role);
  return member;
}

StoredMember Stored(const std::string& person, Role role) {
  return {PersonId(person), Stay{role, Position(5), Position(5)}};
}

TEST(MembersPlanTest, JoinsComeFirstThenRolesOwnersAheadThenLeaves) {
  google::protobuf::RepeatedPtrField<v1::Member> list;
  *list.Add() = MemberOf("new", v1::ROLE_UNSPECIFIED);
  *list.Add() = MemberOf("down", v1::ROLE_MEMBER);
  *list.Add() = MemberOf("up", v1::ROLE_OWNER);
  *list.Add() = MemberOf("same", v1::ROLE_READER);
  MembersPlan plan(list);
  for (int i = 0; i < 2; ++i) {  // HSCAN may tell of somebody twice
    plan.NoteThere(Stored("down", Role::kOwner));
    plan.NoteThere(Stored("up", Role::kModerator));
    plan.NoteThere(Stored("same", Role::kReader));
    plan.NoteThere(Stored("gone", Role::kMember));
    plan.NoteThere(Stored("also gone", Role::kOwner));
  }
  EXPECT_THAT(plan.Joining(), ElementsAre("new"));
  const auto chunks = plan.Chunks();
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_THAT(WordsOf(chunks[0]), ElementsAre("new 2", "up 4", "down 2"));
  EXPECT_THAT(WordsOf(chunks[1]), ElementsAre("also gone 0", "gone 0"));
}

TEST(MembersPlanTest, NothingToDoIsNoChunk) {
  google::protobuf::RepeatedPtrField<v1::Member> list;
  *list.Add() = MemberOf("ann", v1::ROLE_OWNER);
  MembersPlan plan(list);
  plan.NoteThere(Stored("ann", Role::kOwner));
  EXPECT_THAT(plan.Chunks(), IsEmpty());
  EXPECT_THAT(plan.Joining(), IsEmpty());
}

TEST(MembersPlanTest, DigestIsOfTheListWhateverItsOrder) {
  google::protobuf::RepeatedPtrField<v1::Member> list;
  *list.Add() = MemberOf("ann", v1::ROLE_OWNER);
  *list.Add() = MemberOf("bob", v1::ROLE_UNSPECIFIED);
  google::protobuf::RepeatedPtrField<v1::Member> same;
  *same.Add() = MemberOf("bob", v1::ROLE_MEMBER);
  *same.Add() = MemberOf("ann", v1::ROLE_OWNER);
  google::protobuf::RepeatedPtrField<v1::Member> other = list;
  other[1].set_role(v1::ROLE_READER);
  EXPECT_EQ(MembersPlan(list).Digest(), MembersPlan(same).Digest());
  EXPECT_NE(MembersPlan(list).Digest(), MembersPlan(other).Digest());
}

// A group whose members the test has put there, some per scan.
class FakeMembers final : public GroupReader {
 public:
  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId) override {
    co_return base::FieldError(absl::StatusCode::kNotFound, "group", "is no group");
  }
  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId, PersonId) override { co_return Stay{}; }
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId, uint64_t cursor, size_t) override {
    constexpr size_t kPerScan = 2;
    MemberScan scan;
    size_t i = cursor;
    for (; i < members.size() && scan.members.size() < kPerScan; ++i) {
      scan.members.push_back(members[i]);
    }
    scan.next_cursor = i < members.size() ? i : 0;
    co_return scan;
  }

  std::vector<StoredMember> members;
};

class NoPersonGroups final : public PersonGroups {
 public:
  absl::StatusOr<std::vector<GroupStay>> List(const PersonId&, std::string_view,
                                              size_t) const override {
    return std::vector<GroupStay>{};
  }
};

class GroupSyncTest : public ::testing::Test {
 protected:
  GroupSyncTest()
      : appender_(layout_),
        admission_(appender_, pressure_, Admission::Bounds{}),
        executor_(1, "test"),
        calls_({layout_, appender_, reader_, person_groups_, barrier_, admission_, executor_,
                clock_, "secret"}) {}

  void Put(const std::string& person, Role role) {
    reader_.members.push_back(Stored(person, role));
    appender_.stays.insert(PersonId(person));
  }

  static v1::SyncMembersRequest Request(
      const std::vector<std::pair<std::string, v1::Role>>& members = {{"ann", v1::ROLE_OWNER}}) {
    v1::SyncMembersRequest request;
    request.set_group("hiking");
    request.set_version(3);
    for (const auto& [person, role] : members) {
      *request.add_members() = MemberOf(person, role);
    }
    return request;
  }
  static v1::SyncMembersRequest RequestOf(int count) {
    v1::SyncMembersRequest request = Request();
    for (int i = 1; i < count; ++i) {
      request.add_members()->set_person("person " + std::to_string(i));
    }
    return request;
  }

  absl::StatusOr<v1::SyncMembersResponse> Sync(v1::SyncMembersRequest request) {
    return Await(calls_.SyncMembers(std::move(request), kDeadline));
  }
  template <typename Change>
  std::string FieldAtFault(Change change) {
    v1::SyncMembersRequest request = Request();
    change(request);
    const auto response = Sync(request);
    EXPECT_EQ(response.status().code(), absl::StatusCode::kInvalidArgument) << response.status();
    EXPECT_TRUE(appender_.syncs.empty());
    return FieldOf(response.status());
  }

  const Layout layout_;
  testing::FakeAppender appender_;
  testing::FakePressure pressure_;
  testing::FakeBarrier barrier_;
  testing::FakeClock clock_;
  FakeMembers reader_;
  NoPersonGroups person_groups_;
  Admission admission_;
  base::Executor executor_;
  GroupCalls calls_;
};

TEST_F(GroupSyncTest, AnswersWhatItDidAndWaitsUntilThatIsInForce) {
  Put("ann", Role::kOwner);
  Put("bob", Role::kMember);
  Put("cat", Role::kMember);
  const auto response =
      Sync(Request({{"ann", v1::ROLE_OWNER}, {"dan", v1::ROLE_MEMBER}, {"bob", v1::ROLE_READER}}));
  ASSERT_TRUE(response.ok()) << response.status();
  const v1::MembersDifference& difference = response->difference();
  EXPECT_THAT(difference.added(), ElementsAre("dan"));
  EXPECT_THAT(difference.role_changed(), ElementsAre("bob"));
  EXPECT_THAT(difference.removed(), ElementsAre("cat"));
  EXPECT_EQ(difference.added_count(), 1u);
  EXPECT_EQ(difference.role_changed_count(), 1u);
  EXPECT_EQ(difference.removed_count(), 1u);
  EXPECT_FALSE(difference.is_cut());
  EXPECT_EQ(response->tokens(0).position(), appender_.last.value());
  EXPECT_THAT(barrier_.waited, ElementsAre(appender_.last));
  EXPECT_EQ(barrier_.watch_waits, 1u);
  EXPECT_EQ(barrier_.waited_before_watches, barrier_.waited.size());
}

TEST_F(GroupSyncTest, NothingToDoStillWaitsForWhatAnEarlierCallDid) {
  Put("ann", Role::kOwner);
  const auto response = Sync(Request());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_TRUE(appender_.synced.empty());
  EXPECT_THAT(barrier_.waited, ElementsAre(appender_.last));
}

TEST_F(GroupSyncTest, EachCallHasAClaimOfItsOwn) {
  Put("ann", Role::kOwner);
  ASSERT_TRUE(Sync(Request()).ok());
  ASSERT_TRUE(Sync(Request()).ok());
  ASSERT_EQ(appender_.syncs.size(), 2u);
  EXPECT_EQ(appender_.syncs[0].version, 3u);
  EXPECT_EQ(appender_.syncs[0].payload_digest, appender_.syncs[1].payload_digest);
  EXPECT_EQ(appender_.syncs[0].claim.size(), 8u);
  EXPECT_NE(appender_.syncs[0].claim, appender_.syncs[1].claim);
}

TEST_F(GroupSyncTest, CallThatBreaksOffSaysHowFarItCameAndThatMuchIsInForce) {
  appender_.failures[2] = base::Error(absl::StatusCode::kUnavailable, "gone");
  const auto response = Sync(RequestOf(450));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(base::MessageOf(response.status()), HasSubstr("1 of 3 chunks of 200 are done"));
  EXPECT_EQ(barrier_.waited.size(), 1u);
}

TEST_F(GroupSyncTest, LateCallAppendsNothingMore) {
  clock_.monotonic = base::MonotonicTime(std::chrono::hours(1));
  const base::MonotonicTime deadline = clock_.monotonic + std::chrono::seconds(1);
  size_t appends = 0;
  appender_.on_append = [&] {
    if (++appends == 2) {  // the first chunk
      clock_.monotonic = deadline;
    }
  };
  const auto response = Await(calls_.SyncMembers(RequestOf(450), deadline));
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(appender_.synced.size(), 1u);
}

TEST_F(GroupSyncTest, WhoOnlyTakesAwayIsNotHeldBack) {
  pressure_.tight = true;
  Put("ann", Role::kOwner);
  Put("bob", Role::kMember);
  EXPECT_TRUE(Sync(Request()).ok());
  const auto adding = Sync(Request({{"ann", v1::ROLE_OWNER}, {"dan", v1::ROLE_MEMBER}}));
  EXPECT_EQ(adding.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(appender_.synced.size(), 1u);
}

TEST_F(GroupSyncTest, AnswerNamesNoMoreThanItMay) {
  const auto response = Sync(RequestOf(10'000));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->difference().added_count(), 10'000u);
  EXPECT_EQ(response->difference().added_size(), 10'000);
  EXPECT_FALSE(response->difference().is_cut());
  v1::SyncMembersRequest longer = Request();
  for (int i = 0; i < 9'000; ++i) {
    longer.add_members()->set_person(std::to_string(100'000 + i) + std::string(100, 'x'));
  }
  const auto cut = Sync(longer);
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->difference().added_count(), 9'001u);
  EXPECT_LT(cut->difference().added_size(), 9'000);
  EXPECT_TRUE(cut->difference().is_cut());
  EXPECT_LT(cut->ByteSizeLong(), 1u << 20);
}

TEST_F(GroupSyncTest, BadListNamesTheFieldAndChangesNothing) {
  using R = v1::SyncMembersRequest;
  EXPECT_EQ(FieldAtFault([](R& r) { r.clear_group(); }), "group");
  EXPECT_EQ(FieldAtFault([](R& r) { r.clear_version(); }), "version");
  EXPECT_EQ(FieldAtFault([](R& r) { r.clear_members(); }), "members");
  EXPECT_EQ(FieldAtFault([](R& r) { r = RequestOf(10'001); }), "members");
  EXPECT_EQ(FieldAtFault([](R& r) { r.mutable_members(0)->set_role(v1::ROLE_MODERATOR); }),
            "members");
  EXPECT_EQ(FieldAtFault([](R& r) { r.add_members()->set_person("ann"); }), "members[1].person");
  EXPECT_EQ(FieldAtFault([](R& r) { r.add_members(); }), "members[1].person");
  EXPECT_EQ(
      FieldAtFault([](R& r) { *r.add_members() = MemberOf("bob", static_cast<v1::Role>(9)); }),
      "members[1].role");
  EXPECT_TRUE(Await(calls_.SyncManyMembers(RequestOf(10'001), kDeadline)).ok());
}

v1::SyncManyMembersRequest FirstPart(uint32_t count, int members) {
  v1::SyncManyMembersRequest part;
  part.set_group("hiking");
  part.set_version(3);
  part.set_member_count(count);
  for (int i = 0; i < members; ++i) {
    part.add_members()->set_person("person " + std::to_string(i));
  }
  return part;
}

v1::SyncManyMembersRequest NextPart(int members) {
  v1::SyncManyMembersRequest part;
  for (int i = 0; i < members; ++i) {
    part.add_members()->set_person("later " + std::to_string(i));
  }
  return part;
}

TEST(MembersUploadTest, PutsPartsTogether) {
  MembersUpload upload;
  ASSERT_TRUE(upload.Add(FirstPart(5, 2), 100).ok());
  ASSERT_TRUE(upload.Add(NextPart(0), 0).ok());
  ASSERT_TRUE(upload.Add(NextPart(3), 100).ok());
  const auto request = upload.Take();
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->group(), "hiking");
  EXPECT_EQ(request->version(), 3u);
  ASSERT_EQ(request->members_size(), 5);
  EXPECT_EQ(request->members(4).person(), "later 2");
}

TEST(MembersUploadTest, StreamThatEndsEarlyIsNoList) {
  MembersUpload none;
  EXPECT_EQ(FieldOf(none.Take().status()), "group");
  MembersUpload cut;
  ASSERT_TRUE(cut.Add(FirstPart(5, 4), 100).ok());
  EXPECT_EQ(FieldOf(cut.Take().status()), "member_count");
}

TEST(MembersUploadTest, BadPartNamesTheField) {
  const auto field_of_next = [](const std::function<void(v1::SyncManyMembersRequest&)>& change) {
    MembersUpload upload;
    EXPECT_TRUE(upload.Add(FirstPart(2, 1), 100).ok());
    v1::SyncManyMembersRequest next = NextPart(1);
    change(next);
    return FieldOf(upload.Add(std::move(next), 100));
  };
  EXPECT_EQ(field_of_next([](auto& part) { part.set_namespace_("default"); }), "namespace");
  EXPECT_EQ(field_of_next([](auto& part) { part.set_group("hiking"); }), "group");
  EXPECT_EQ(field_of_next([](auto& part) { part.set_version(3); }), "version");
  EXPECT_EQ(field_of_next([](auto& part) { part.set_member_count(2); }), "member_count");
  EXPECT_EQ(field_of_next([](auto& part) { part.add_members(); }), "member_count");
  MembersUpload none;
  EXPECT_EQ(FieldOf(none.Add(FirstPart(0, 0), 10)), "member_count");
  MembersUpload many;
  EXPECT_EQ(FieldOf(many.Add(FirstPart(1'000'001, 0), 10)), "member_count");
  MembersUpload large;
  ASSERT_TRUE(large.Add(FirstPart(5, 1), limits::kSyncBytesMax).ok());
  const absl::Status status = large.Add(NextPart(1), 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(FieldOf(status), "members");
}

}  // namespace
}  // namespace klatch
