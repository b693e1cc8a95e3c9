#pragma once
// Which groups have lately been said to have an update of several groups no longer. The body that
// says so too is written a moment after their records, so it can't be asked when these are told.
//
//   taken_out.Add(update, chess);              // the record of a group has been applied
//   for (GroupIndex group : taken_out.Of(update)) { … }
//
// Thread safety: one thread, the live thread.
// Bound: kUpdatesMax updates, the latest; by then the body of an older one is written,
// or the sweeper will come to it.

#include <algorithm>
#include <deque>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

class TakenOut {
 public:
  static constexpr size_t kUpdatesMax = 8'192;

  // Once or more.
  void Add(UpdateId update, GroupIndex group) {
    auto [found, is_new] = groups_.try_emplace(update.value());
    if (is_new) {
      order_.push_back(update);
    }
    if (std::ranges::find(found->second, group) == found->second.end()) {
      found->second.push_back(group);
    }
    if (order_.size() > kUpdatesMax) {
      groups_.erase(order_.front().value());
      order_.pop_front();
    }
  }
  // In the order in which it was said; none if that is forgotten. Valid until the next Add.
  std::span<const GroupIndex> Of(UpdateId update) const {
    const auto found = groups_.find(update.value());
    return found == groups_.end() ? std::span<const GroupIndex>() : found->second;
  }

 private:
  absl::flat_hash_map<uint64_t, std::vector<GroupIndex>> groups_;
  std::deque<UpdateId> order_;
};

}  // namespace klatch
