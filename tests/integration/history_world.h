#pragma once
// One world of a history: some persons and groups that have to do with each other and with nobody
// else, and the operations that happen to them, one after the other. Many worlds run side by side on
// one klatchd; what one of them does is decided by its seed alone.
//
//   HistoryWorld world(channel, {.seed = 7, .number = 3, .operations = 1'500});
//   while (world.Step()) { … }
//   world.Finish();
//   EXPECT_EQ(world.mismatch(), "");
//
// An operation is a call that writes, or must be refused, with its repetitions, and one read behind
// it. Each answer is held against the model, and the model changes as it says.
//
// Thread safety: one thread. Bound: about kUpdatesMax updates, so that no timeline is ever cut.

#include <array>
#include <memory>

#include "tests/integration/history_calls.h"
#include "tests/integration/history_reads.h"
#include "tests/integration/history_watch.h"

namespace klatch::testing {

struct WorldOptions {
  uint64_t seed = 0;
  int number = 0;
  int operations = 0;
  Fault fault = Fault::kNone;
  size_t watches = 2;
  std::string choices{};  // bytes that decide before the seed does
};

// How often what was done, for the test's last line.
struct WorldCounts {
  int64_t operations = 0;
  int64_t refused = 0;
  int64_t repeated = 0;
  int64_t calls = 0;
  int64_t pages = 0;
  int64_t cursors = 0;
  int64_t incomplete = 0;
  int64_t updates = 0;
  WatchCounts watched;

  void Add(const WorldCounts& other);
};

class HistoryWorld {
 public:
  HistoryWorld(std::shared_ptr<grpc::Channel> channel, const WorldOptions& options);

  // One operation and a read. False: it was the last, or something is wrong.
  bool Step();
  // Everything, for everybody; the watches end.
  void Finish();
  // Once more, such as after a restart.
  void CompareEverything();

  // What was found to be wrong; empty if nothing was.
  std::string mismatch() const;
  WorldCounts counts() const;

 private:
  using Operation = void (HistoryWorld::*)();

  // A post that was accepted, for repetitions.
  struct Accepted {
    v1::PublishUpdateRequest request;
    uint64_t id = 0;
  };
  // A post and what must become of it.
  struct Draft {
    v1::PublishUpdateRequest request;
    PersonNumber author{};
    std::vector<GroupNumber> groups;
    grpc::StatusCode expected = grpc::StatusCode::OK;

    bool is_several() const { return request.all_my_groups() || groups.size() > 1; }
  };

  // history_world.cc
  void Begin();
  Operation PickOperation();
  PersonNumber AnyPerson();
  GroupNumber AnyGroup();
  std::vector<GroupNumber> GroupsOf(PersonNumber person, v1::Role lowest) const;
  std::vector<PersonNumber> MembersOf(GroupNumber group, v1::Role lowest) const;
  // Somebody of that role there, or now and then anybody.
  PersonNumber Actor(GroupNumber group, v1::Role lowest);
  std::vector<PersonNumber> SomePersons(size_t count_max);
  uint64_t AnyUpdate();
  std::string NewRequestId();
  // Notes the operation; false, and reported, if the answer's code is another.
  bool Check(const std::string& what, const grpc::Status& status, grpc::StatusCode expected);
  template <typename Request>
  void SetActor(Request& request, PersonNumber actor) const {
    request.set_actor(desk_.names.Of(actor));
  }

  // history_posts.cc
  Draft NewDraft(PersonNumber author, std::vector<GroupNumber> groups);
  void MayAnswer(Draft& draft);
  void FindOutcome(Draft& draft) const;
  std::vector<GroupNumber> SomeGroupsToPost(PersonNumber author, size_t count_max);
  std::string Describe(const Draft& draft) const;
  void Send(const Draft& draft);
  void Settle(const Draft& draft, const v1::PublishUpdateResponse& response);
  void SettleAll(const std::vector<Draft>& drafts, const v1::BatchPublishUpdatesResponse& response);
  // The carries in order, of one response or of several.
  struct Taking {
    uint64_t position = 0;
    uint64_t id = 0;
    GroupNumber group{};
    v1::Audience asked = v1::AUDIENCE_UNSPECIFIED;
  };
  void NotePost(const Draft& draft, const v1::PublishUpdateResponse& response,
                std::vector<Taking>& takings);
  void Take(std::vector<Taking> takings);
  void CompareResults(const Draft& draft, const v1::PublishUpdateResponse& response);
  void Repeat(const Accepted& accepted);
  void RepeatOtherwise(const Accepted& accepted);
  void Post();
  void PostToSeveral();
  void PostToAll();
  void PostBatch();
  void RepeatEarlier();
  void Edit();
  void Delete();

  // history_groups.cc
  v1::Group SomePolicy();
  void CreateGroupIn(GroupNumber group, PersonNumber owner);
  void CreateGroup();
  void ChangePolicy();
  void DeleteGroup();
  void AddPersons();
  void AddTo(PersonNumber actor, GroupNumber group, const std::vector<PersonNumber>& persons,
             v1::Role role);
  void JoinAlone();
  void RemovePersons();
  void Leave();
  void RemoveFrom(PersonNumber actor, GroupNumber group, const std::vector<PersonNumber>& persons);
  void ChangeRole();

  // history_persons.cc
  void Block();
  void Unblock();
  void MutePerson();
  void MuteGroup();
  void Hide();
  void Unhide();
  void SetMarker();
  void ChangeProfile();

  const WorldOptions options_;
  Caller caller_;
  Model model_;
  const Names names_;
  Findings findings_;
  Random random_;
  LastTokens tokens_;
  const HistoryDesk desk_;
  HistoryReads reads_;
  std::vector<std::unique_ptr<HistoryWatch>> watches_;

  std::vector<Accepted> accepted_;
  int request_ids_ = 0;
  int texts_ = 0;
  int operations_ = 0;
  // So many ids went to timelines, updates or not.
  size_t posts_ = 0;
  // The operation at hand has waited until it was in force: a read needs no tokens.
  bool is_in_force_ = false;
  WorldCounts counts_;
};

}  // namespace klatch::testing
