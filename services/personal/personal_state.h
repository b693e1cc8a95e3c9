#pragma once
// What one person has decided for oneself and every read must heed: blocks both ways, mutes, hidden
// updates. Read markers and the profile are not among it: nobody judges updates by them.
//
// Immutable once published (personal_store.h); a copy shares its sets with the original, so the
// writer copies, changes the copy, and publishes that.

#include <algorithm>
#include <string_view>
#include <vector>

#include "services/model/position.h"
#include "services/personal/id_set.h"

namespace klatch {

struct PersonalState {
  IdSet blocks;      // whom this person has blocked
  IdSet blocked_by;  // who has blocked this person
  IdSet muted_persons;
  IdSet muted_groups;
  std::vector<UpdateId> hidden;  // sorted

  bool empty() const {
    return blocks.empty() && blocked_by.empty() && muted_persons.empty() && muted_groups.empty() &&
           hidden.empty();
  }
  // Either has blocked the other.
  bool HasBlockWith(std::string_view person) const {
    return blocks.Contains(person) || blocked_by.Contains(person);
  }
  bool Hides(UpdateId update) const { return std::ranges::binary_search(hidden, update); }

  // No effect if it is hidden, or isn't.
  void Hide(UpdateId update) {
    const auto place = std::ranges::lower_bound(hidden, update);
    if (place == hidden.end() || *place != update) {
      hidden.insert(place, update);
    }
  }
  void Unhide(UpdateId update) {
    const auto place = std::ranges::lower_bound(hidden, update);
    if (place != hidden.end() && *place == update) {
      hidden.erase(place);
    }
  }
};

}  // namespace klatch
