#pragma once
// Which posts to several groups a watcher was shown lately: another of their groups shows them no
// second time, in this watch or in one that goes on from its token.
//
//   if (!several.Has(entry.id)) { several.Add(entry.id); several.Follow(entry.id, entry.body); … }
//   place.shown = several.OpenAt(prefix);                // into a token of that prefix
//
// Thread safety: one thread, the live thread.
// Bounds: limits::kWatchSeveralMax, and limits::kWatchTokenShownMax that are followed, the latest.

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "services/model/body.h"
#include "services/model/ids.h"
#include "services/model/limits.h"
#include "services/read/applied_prefix.h"

namespace klatch {

class SeveralShown {
 public:
  bool Has(UpdateId id) const { return std::ranges::find(shown_, id) != shown_.end(); }

  void Add(UpdateId id) {
    if (shown_.size() == limits::kWatchSeveralMax) {
      shown_.pop_front();
    }
    shown_.push_back(id);
  }
  // Until `body`, or one that comes later, says that none of its groups is to come: for tokens. Null
  // if no body is known.
  void Follow(UpdateId id, std::shared_ptr<const Body> body) {
    const auto found = std::ranges::find(open_, id, &Open::id);
    if (found != open_.end()) {
      found->body = std::move(body);
      return;
    }
    if (open_.size() == limits::kWatchTokenShownMax) {
      open_.pop_front();
    }
    open_.push_back({id, std::move(body)});
  }

  // Those followed that may come to one more group above `applied`. One of which no later body comes
  // counts until it is limits::kWatchSeveralOpenMax old.
  std::vector<UpdateId> OpenAt(const AppliedPrefix& applied) {
    std::vector<UpdateId> ids;
    if (open_.empty()) {
      return ids;
    }
    const uint64_t newest = std::ranges::max(applied.positions()).ms();
    std::erase_if(open_, [&](const Open& open) {
      return (open.body != nullptr && applied.CoversAllOf(open.body->header())) ||
             open.id.ms() + uint64_t{limits::kWatchSeveralOpenMax.count()} < newest;
    });
    std::ranges::transform(open_, std::back_inserter(ids), &Open::id);
    return ids;
  }

 private:
  struct Open {
    UpdateId id;
    std::shared_ptr<const Body> body;
  };

  std::deque<UpdateId> shown_;
  std::deque<Open> open_;
};

}  // namespace klatch
