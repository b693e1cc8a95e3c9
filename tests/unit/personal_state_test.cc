// Personal state in memory: sets that share what they hold, the store, turns, and the checks of
// what is asked.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/task.h"
#include "services/model/limits.h"
#include "services/personal/id_set.h"
#include "services/personal/partition_turns.h"
#include "services/personal/person_checks.h"
#include "services/personal/personal_scripts.h"
#include "services/personal/personal_store.h"

namespace klatch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string FieldOf(const absl::Status& status) {
  const auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

TEST(IdSetTest, IsASetWhateverIsAddedAndRemoved) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  IdSet set;
  std::set<std::string> model;
  for (int i = 0; i < 20'000; ++i) {
    // First it grows, then it shrinks to nothing.
    const std::string id = "person-" + std::to_string(random() % 3'000);
    if (random() % 100 < (i < 10'000 ? 80U : 10U)) {
      set.Add(id);
      model.insert(id);
    } else {
      set.Remove(id);
      model.erase(id);
    }
    ASSERT_EQ(set.size(), model.size());
    ASSERT_EQ(set.Contains(id), model.contains(id));
  }
  for (int i = 0; i < 3'000; ++i) {
    const std::string id = "person-" + std::to_string(i);
    ASSERT_EQ(set.Contains(id), model.contains(id)) << id;
  }
  EXPECT_EQ(set.Above("", model.size() + 1), std::vector<std::string>(model.begin(), model.end()));
  for (const std::string& id : model) {
    set.Remove(id);
  }
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.Contains("person-1"));
}

TEST(IdSetTest, ACopyKeepsWhatItHeld) {
  IdSet set;
  for (int i = 0; i < 1'000; ++i) {
    set.Add(std::to_string(i));
  }
  const IdSet before = set;
  set.Remove("7");
  set.Add("new");
  for (int i = 1'000; i < 5'000; ++i) {
    set.Add(std::to_string(i));
  }
  EXPECT_EQ(before.size(), 1'000U);
  EXPECT_TRUE(before.Contains("7"));
  EXPECT_FALSE(before.Contains("new"));
  EXPECT_FALSE(before.Contains("4000"));
  EXPECT_EQ(set.size(), 5'000U);
}

TEST(IdSetTest, ListsInOrderFromAnId) {
  IdSet set;
  for (const char* id : {"eve", "bob", "ann", "dan"}) {
    set.Add(id);
  }
  EXPECT_THAT(set.Above("", 2), ElementsAre("ann", "bob"));
  EXPECT_THAT(set.Above("bob", 10), ElementsAre("dan", "eve"));
  EXPECT_THAT(set.Above("eve", 10), IsEmpty());
}

TEST(PersonalStoreTest, ShowsWhatWasPublishedLastAndNothingOfWhoHasNothing) {
  lockfree::EpochReclaimer epochs;
  PersonalStore store(10, epochs);
  const PersonId ann("ann");
  ASSERT_TRUE(store.Admit(ann));
  {
    const lockfree::EpochReclaimer::Guard guard(epochs);
    EXPECT_EQ(store.Find("ann", guard), nullptr);
    EXPECT_EQ(store.Find("bob", guard), nullptr);
  }
  PersonalState state = store.Current(ann);
  state.blocks.Add("bob");
  store.Publish(ann, state);
  EXPECT_TRUE(store.IsBlockedBetween(ann, PersonId("bob")));
  EXPECT_FALSE(store.IsBlockedBetween(PersonId("bob"), ann)) << "bob's own state decides for bob";
  EXPECT_TRUE(store.Current(ann).blocks.Contains("bob"));
  state.blocks.Remove("bob");
  store.Publish(ann, state);
  store.Publish(PersonId("never admitted"), PersonalState());
  const lockfree::EpochReclaimer::Guard guard(epochs);
  EXPECT_EQ(store.Find("ann", guard), nullptr) << "an empty state is none";
  EXPECT_EQ(store.Find("never admitted", guard), nullptr);
}

TEST(PersonalStoreTest, RefusesWhomItHasNoRoomFor) {
  lockfree::EpochReclaimer epochs;
  PersonalStore store(2, epochs);
  EXPECT_TRUE(store.Admit(PersonId("ann")));
  EXPECT_TRUE(store.Admit(PersonId("bob")));
  EXPECT_TRUE(store.Admit(PersonId("ann")));
  EXPECT_FALSE(store.Admit(PersonId("cid")));
  EXPECT_EQ(store.size(), 2U);
}

TEST(PersonalStoreTest, ReadersSeeWholeStatesWhileTheyAreReplaced) {
  lockfree::EpochReclaimer epochs;
  PersonalStore store(10, epochs);
  const PersonId ann("ann");
  ASSERT_TRUE(store.Admit(ann));
  std::atomic<bool> done{false};
  std::atomic<int> looks{0};
  // Both sets change together, so a reader finds them equal.
  std::thread reader([&] {
    while (!done.load()) {
      const lockfree::EpochReclaimer::Guard guard(epochs);
      const PersonalState* state = store.Find("ann", guard);
      if (state != nullptr) {
        EXPECT_EQ(state->blocks.size(), state->hidden.size());
        looks.fetch_add(1);
      }
    }
  });
  PersonalState state;
  for (uint64_t i = 1; i <= 2'000 || looks.load() == 0; ++i) {
    state.blocks.Add(std::to_string(i));
    state.Hide(UpdateId(i));
    store.Publish(ann, state);
  }
  done.store(true);
  reader.join();
}

TEST(PersonalStateTest, HiddenUpdatesStaySortedAndEachOnce) {
  PersonalState state;
  for (const uint64_t id : {5, 1, 3, 5, 2}) {
    state.Hide(UpdateId(id));
  }
  EXPECT_THAT(state.hidden, ElementsAre(UpdateId(1), UpdateId(2), UpdateId(3), UpdateId(5)));
  state.Unhide(UpdateId(3));
  state.Unhide(UpdateId(4));
  EXPECT_FALSE(state.Hides(UpdateId(3)));
  EXPECT_TRUE(state.Hides(UpdateId(5)));
}

TEST(PersonalScriptsTest, StoredMembersComeBackAsWhatTheyWere) {
  using personal::RestoreMember;
  using personal::SetKey;
  PersonalState state;
  const std::string odd = ">p<g:%";
  EXPECT_TRUE(RestoreMember(SetKey::kBlocks, personal::BlockedMember(PersonId(odd)), state));
  EXPECT_TRUE(RestoreMember(SetKey::kBlocks, personal::BlockedByMember(PersonId("eve")), state));
  EXPECT_TRUE(RestoreMember(SetKey::kMutes, personal::MutedMember(PersonId("dan")), state));
  EXPECT_TRUE(RestoreMember(SetKey::kMutes, personal::MutedMember(GroupId("chess")), state));
  EXPECT_TRUE(RestoreMember(SetKey::kHidden, personal::HiddenMember(UpdateId(~0ULL)), state));
  EXPECT_THAT(state.blocks.Above("", 9), ElementsAre(odd));
  EXPECT_THAT(state.blocked_by.Above("", 9), ElementsAre("eve"));
  EXPECT_THAT(state.muted_persons.Above("", 9), ElementsAre("dan"));
  EXPECT_THAT(state.muted_groups.Above("", 9), ElementsAre("chess"));
  EXPECT_THAT(state.hidden, ElementsAre(UpdateId(~0ULL)));
  for (const SetKey key : {SetKey::kBlocks, SetKey::kMutes, SetKey::kHidden}) {
    for (const char* member : {"", "x", "-1", "18446744073709551616"}) {
      EXPECT_FALSE(RestoreMember(key, member, state)) << member;
    }
  }
  EXPECT_FALSE(RestoreMember(SetKey::kMutes, ">bob", state));
  EXPECT_FALSE(RestoreMember(SetKey::kBlocks, "pbob", state));
}

TEST(PersonalScriptsTest, MarkersCompareAsStringsLikeNumbers) {
  const std::vector<uint64_t> rising = {0, 9, 10, 99, 1ULL << 40, ~0ULL};
  for (size_t i = 1; i < rising.size(); ++i) {
    EXPECT_LT(personal::EncodeMarker(UpdateId(rising[i - 1])),
              personal::EncodeMarker(UpdateId(rising[i])));
    EXPECT_EQ(personal::DecodeMarker(personal::EncodeMarker(UpdateId(rising[i]))),
              UpdateId(rising[i]));
  }
}

// Takes a turn, notes its number, and gives the turn back when `released` is set.
base::Task<void> TakeATurn(PartitionTurns& turns, PartitionIndex partition, int number,
                           std::vector<int>* order, std::mutex* mutex) {
  auto taking = turns.Take(partition);
  const PartitionTurns::Turn turn = co_await taking;
  const std::lock_guard lock(*mutex);
  order->push_back(number);
}

TEST(PartitionTurnsTest, EachHasItAloneInTheOrderInWhichTheyCame) {
  std::mutex mutex;
  std::vector<int> order;
  base::Executor executor(2, "turns");
  PartitionTurns turns(2, executor);
  {
    auto taking = turns.Take(PartitionIndex(0));
    EXPECT_FALSE(taking.await_suspend(std::noop_coroutine())) << "it is free";
    const PartitionTurns::Turn held = taking.await_resume();
    for (int number : {1, 2, 3}) {
      base::Spawn(TakeATurn(turns, PartitionIndex(0), number, &order, &mutex));
    }
    const std::lock_guard lock(mutex);
    EXPECT_THAT(order, IsEmpty()) << "somebody else has it";
  }
  base::Spawn(TakeATurn(turns, PartitionIndex(1), 9, &order, &mutex));
  executor.Stop();
  // Partition 1 does not wait for partition 0.
  std::erase(order, 9);
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
  auto taking = turns.Take(PartitionIndex(0));
  EXPECT_FALSE(taking.await_suspend(std::noop_coroutine())) << "all have given it back";
}

TEST(PersonChecksTest, TimelinesAreHomeOrGroupsEachOnce) {
  v1::GetUnreadCountsRequest request;
  EXPECT_EQ(FieldOf(ReadTimelines(false, request.groups()).status()), "groups");
  EXPECT_THAT(*ReadTimelines(true, request.groups()), ElementsAre(GroupId()));
  for (size_t i = 0; i < limits::kUnreadGroupsMax; ++i) {
    request.add_groups("g" + std::to_string(i));
  }
  EXPECT_EQ(ReadTimelines(true, request.groups())->size(), limits::kUnreadGroupsMax + 1);
  request.add_groups("one more");
  EXPECT_EQ(FieldOf(ReadTimelines(false, request.groups()).status()), "groups");
  request.mutable_groups()->RemoveLast();
  request.set_groups(7, "g3");
  EXPECT_EQ(FieldOf(ReadTimelines(false, request.groups()).status()), "groups[7]");
  request.set_groups(7, "");
  EXPECT_EQ(FieldOf(ReadTimelines(false, request.groups()).status()), "groups[7]");
}

TEST(PersonChecksTest, AProfileChangesByTheMaskOrByWhatIsSet) {
  v1::UpdateProfileRequest request;
  EXPECT_EQ(FieldOf(ReadProfileChange(request).status()), "update_mask");
  request.mutable_profile()->set_bio("climbs");
  v1::Profile profile;
  profile.set_display_name("Ann");
  profile.set_bio("walks");
  ReadProfileChange(request)->ApplyTo(profile);
  EXPECT_EQ(profile.display_name(), "Ann");
  EXPECT_EQ(profile.bio(), "climbs");
  // The mask clears, and what it doesn't name may be anything.
  request.mutable_update_mask()->add_paths("display_name");
  request.mutable_profile()->set_bio(std::string(limits::kDescriptionBytesMax + 1, 'x'));
  const auto change = ReadProfileChange(request);
  ASSERT_TRUE(change.ok()) << change.status();
  change->ApplyTo(profile);
  EXPECT_EQ(profile.display_name(), "");
  EXPECT_EQ(profile.bio(), "climbs");
  request.mutable_update_mask()->add_paths("person");
  EXPECT_EQ(FieldOf(ReadProfileChange(request).status()), "update_mask");
}

TEST(PersonChecksTest, ProfilesHaveBounds) {
  const auto field_of = [](auto change) {
    v1::UpdateProfileRequest request;
    change(*request.mutable_profile());
    return FieldOf(ReadProfileChange(request).status());
  };
  EXPECT_EQ(field_of([](auto& p) { p.set_display_name(std::string(201, 'x')); }),
            "profile.display_name");
  EXPECT_EQ(field_of([](auto& p) { p.set_avatar_uri(std::string(2'049, 'x')); }),
            "profile.avatar_uri");
  EXPECT_EQ(field_of([](auto& p) { p.set_bio(std::string(2'001, 'x')); }), "profile.bio");
  const auto fields_of = [&field_of](std::vector<std::pair<std::string, std::string>> fields) {
    return field_of([&fields](auto& p) {
      for (const auto& [name, value] : fields) {
        (*p.mutable_fields())[name] = value;
      }
    });
  };
  EXPECT_EQ(fields_of({{"", "x"}}), "profile.fields");
  EXPECT_EQ(fields_of({{std::string(65, 'n'), "x"}}), "profile.fields");
  EXPECT_EQ(fields_of({{"n", std::string(1'001, 'x')}}), "profile.fields[n]");
  EXPECT_EQ(fields_of({{std::string(64, 'n'), std::string(1'000, 'x')}}), "");
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 17; ++i) {
    many.emplace_back(std::to_string(i), "x");
  }
  EXPECT_EQ(fields_of(many), "profile.fields");
}

}  // namespace
}  // namespace klatch
