#pragma once
// What a history of calls must have led to: who is in which group, which updates stand, and who sees
// what. Written from docs/SEMANTICS.md, and shares no code with the product but the API's enums.
//
// Persons and groups are numbers here; the caller knows their ids. Time in a group is a count of what
// has happened there (joins, posts), never a position: so an order that the product gets wrong shows.
//
//   Model model(10, 12);
//   model.Create(group, owner, policy);
//   if (model.WhyNotPost(actor, group) == grpc::StatusCode::OK) { … model.Take(…); }
//   for (const Sight& sight : model.Home(viewer)) { … }
//
// Thread safety: one thread. Bound: all updates that ever were stay known, for calls about them.

#include <grpcpp/support/status_code_enum.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "klatch/v1/resources.pb.h"

namespace klatch::testing {

// Bounds of the model's bit sets.
constexpr size_t kPersonsMax = 16;
constexpr size_t kGroupsMax = 32;

enum class PersonNumber : size_t {};
enum class GroupNumber : size_t {};
constexpr size_t IndexOf(PersonNumber person) { return static_cast<size_t>(person); }
constexpr size_t IndexOf(GroupNumber group) { return static_cast<size_t>(group); }

// A rule that the model gets wrong on purpose: the test of the test.
enum class Fault {
  kNone,
  kForgetsBlocks,
  kForgetsMutes,
  kForgetsHidden,
  kForgetsLeaves,
  kForgetsDeletions,
  kForgetsEdits,
  kForgetsWhereHistoryBegins,
  kForgetsAudience,
  kForgetsRemovalsFromGroups,
  kForgetsPostRole,
  kForgetsMarkers,
  // Not the model, but what watches hand to it.
  kLosesWatchedPosts,
  kRepeatsWatchedPosts,
  kLosesWatchedDeletions,
};

struct Stay {
  v1::Role role = v1::ROLE_UNSPECIFIED;  // unspecified: no member
  int64_t joined = 0;
  int64_t visible_from = 0;

  bool is_member() const { return role != v1::ROLE_UNSPECIFIED; }
};

struct ModelGroup {
  enum class State { kNone, kLive, kDeleted };

  State state = State::kNone;
  v1::Group policy;
  std::array<Stay, kPersonsMax> stays = {};
  // How much has happened.
  int64_t time = 0;
  // When it took each of its updates, also of those that are gone.
  std::vector<int64_t> taken;
};

// An update in one of its groups.
struct ModelCarry {
  GroupNumber group{};
  int64_t time = 0;
  v1::Audience audience = v1::AUDIENCE_UNSPECIFIED;
  // Since when it is for members now: who joined after that finds it at home. Meaningless otherwise.
  int64_t open_since = 0;
  // A moderator has taken it out otherwise.
  bool is_there = true;
  // Who was a member then.
  std::bitset<kPersonsMax> members;
};

struct ModelUpdate {
  uint64_t id = 0;
  PersonNumber author{};
  bool is_several = false;
  // By revision, from 0 on. An edit that was sent twice may have counted twice.
  std::vector<std::string> texts;
  uint64_t reply_to = 0;
  // Empty once it was deleted by its author.
  std::vector<ModelCarry> carries;
  bool is_deleted = false;
  // How often something was taken away of it, and what was so of those who saw it then.
  int removals = 0;
  // The newest removal: groups that it was in.
  std::vector<ModelCarry> removed;

  uint32_t revision() const { return static_cast<uint32_t>(texts.size() - 1); }
};

// An update as one person sees it.
struct Sight {
  const ModelUpdate* update = nullptr;
  // In the order of the groups' numbers.
  std::vector<GroupNumber> through;
  v1::Audience audience = v1::AUDIENCE_UNSPECIFIED;
  // May be missing if not: at home, of an update that was opened to a past that had been open before.
  bool is_due = true;
  // A member when it was posted: at home it was there from then on, not fetched for a joiner.
  bool was_member = false;
};

// How much of a timeline is asked for.
struct Extent {
  uint64_t below = std::numeric_limits<uint64_t>::max();
  size_t due_max = std::numeric_limits<size_t>::max();
};

enum class Surface { kHome, kGroup, kProfile, kSingle };

// What persons have decided for themselves.
struct ModelPerson {
  std::bitset<kPersonsMax> blocked;
  std::bitset<kPersonsMax> muted_persons;
  std::bitset<kGroupsMax> muted_groups;
  std::set<uint64_t> hidden;
  uint64_t read_home = 0;
  std::array<uint64_t, kGroupsMax> read_groups = {};
  std::string display_name;
  std::string bio;
  bool has_profile = false;
};

class Model {
 public:
  Model(size_t persons, size_t groups, Fault fault)
      : fault_(fault), persons_(persons), groups_(groups) {}

  size_t person_count() const { return persons_.size(); }
  size_t group_count() const { return groups_.size(); }
  bool Has(Fault fault) const { return fault_ == fault; }

  // To change what the person has decided.
  ModelPerson& At(PersonNumber person) {
    NoteAnything();
    return persons_[IndexOf(person)];
  }
  const ModelPerson& At(PersonNumber person) const { return persons_[IndexOf(person)]; }
  const ModelGroup& At(GroupNumber group) const { return groups_[IndexOf(group)]; }
  const Stay& StayOf(PersonNumber person, GroupNumber group) const {
    return groups_[IndexOf(group)].stays[IndexOf(person)];
  }
  bool IsMember(PersonNumber person, GroupNumber group) const {
    return StayOf(person, group).is_member();
  }
  size_t OwnersOf(GroupNumber group) const;
  // Updates that ever were, by id.
  const std::map<uint64_t, ModelUpdate>& updates() const { return updates_; }
  const ModelUpdate* Find(uint64_t id) const;

  // What changed, in order: ids of updates, or kAnything: who sees what may have changed of all.
  static constexpr uint64_t kAnything = 0;
  const std::vector<uint64_t>& journal() const { return journal_; }

  // What a call must be answered with. OK: it is done, and the caller tells the model so.
  grpc::StatusCode WhyNotCreate(GroupNumber group) const;
  grpc::StatusCode WhyNotAdd(PersonNumber actor, GroupNumber group,
                             const std::vector<PersonNumber>& persons, v1::Role role) const;
  grpc::StatusCode WhyNotRemove(PersonNumber actor, GroupNumber group,
                                const std::vector<PersonNumber>& persons) const;
  grpc::StatusCode WhyNotChangeRole(PersonNumber actor, GroupNumber group, PersonNumber person,
                                    v1::Role role) const;
  // Of its policy or its end.
  grpc::StatusCode WhyNotRule(PersonNumber actor, GroupNumber group) const;
  grpc::StatusCode WhyNotDeleteGroup(PersonNumber actor, GroupNumber group) const;
  grpc::StatusCode WhyNotPost(PersonNumber actor, GroupNumber group) const;
  grpc::StatusCode WhyNotEdit(PersonNumber actor, uint64_t id) const;
  grpc::StatusCode WhyNotDelete(PersonNumber actor, uint64_t id) const;
  grpc::StatusCode WhyNotHide(PersonNumber actor, uint64_t id) const;
  // Where a person may post, in the order of the numbers.
  std::vector<GroupNumber> WherePosts(PersonNumber person) const;

  // What calls did.
  void Create(GroupNumber group, PersonNumber owner, v1::Group policy);
  void SetPolicy(GroupNumber group, v1::Group policy);
  void DeleteGroup(GroupNumber group);
  // How many joined.
  size_t Add(GroupNumber group, const std::vector<PersonNumber>& persons, v1::Role role);
  size_t Remove(GroupNumber group, const std::vector<PersonNumber>& persons);
  void SetRole(GroupNumber group, PersonNumber person, v1::Role role);
  // A post; then each group that takes it, in the order of that group.
  void Post(ModelUpdate update);
  void Take(uint64_t id, GroupNumber group, v1::Audience asked);
  // `revision`: after it. Unspecified leaves the audience.
  void Edit(uint64_t id, const std::string& text, v1::Audience audience, uint32_t revision);
  // By the author, or by a moderator.
  void Delete(PersonNumber actor, uint64_t id);

  // Through which groups, as they are named to the viewer; nothing: not at all.
  std::optional<Sight> See(PersonNumber viewer, const ModelUpdate& update, Surface surface) const;
  // What the viewer sees there, newest first, below an id, until so many are due.
  std::vector<Sight> Home(PersonNumber viewer, Extent extent = {}) const;
  std::vector<Sight> GroupPage(PersonNumber viewer, GroupNumber group, Extent extent = {}) const;
  std::vector<Sight> Profile(PersonNumber viewer, PersonNumber author, Extent extent = {}) const;
  bool IsBlockBetween(PersonNumber a, PersonNumber b) const;
  // Why somebody sees it or not, for whoever looks into a finding.
  std::string Explain(PersonNumber viewer, const ModelUpdate& update) const;
  // Whether a watcher is told that it is gone, of what was removed last.
  bool LearnsOfRemoval(PersonNumber watcher, const ModelUpdate& update) const;

 private:
  void NoteAnything() { journal_.push_back(kAnything); }
  bool MayPost(PersonNumber person, GroupNumber group) const;
  v1::Role RoleOf(PersonNumber person, GroupNumber group) const {
    return StayOf(person, group).role;
  }
  int64_t BeginOfPast(const ModelGroup& group) const;
  bool SeesThrough(PersonNumber viewer, const ModelUpdate& update, const ModelCarry& carry) const;
  bool IsDueAtHome(PersonNumber viewer, const ModelCarry& carry) const;
  template <typename Filter>
  std::vector<Sight> SeeAll(PersonNumber viewer, Surface surface, Extent extent,
                            Filter filter) const;

  const Fault fault_;
  std::vector<ModelPerson> persons_;
  std::vector<ModelGroup> groups_;
  std::map<uint64_t, ModelUpdate> updates_;
  std::vector<uint64_t> journal_;
};

}  // namespace klatch::testing
