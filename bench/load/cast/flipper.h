#pragma once
// Makes groups cross the size from which on the node reads them from their feeds instead of copying
// their updates to each member, and come back below it, while others post to them: people from
// outside the graph are added and removed again.
//
// Whether the node has such a size is seen by Group.pulled: if no group is ever pulled, nothing was
// flipped, which is no fault.
//
// Threads: belongs to one thread; flips() is read after it has been joined.

#include <vector>

#include "bench/load/cast/player.h"

namespace klatch::load {

// The `count` largest groups of at most `above` members.
std::vector<GroupNumber> ChooseToFlip(const Graph& graph, size_t count, uint64_t above);

class Flipper {
 public:
  // A task of `pace` is one crossing, up or down. `above`: the node's --pull-above.
  Flipper(const Stage& stage, const Client::Options& client, std::vector<GroupNumber> groups,
          uint64_t above, Pace& pace)
      : stage_(stage),
        client_(client, stage.state),
        groups_(std::move(groups)),
        above_(above),
        pace_(pace) {}

  static constexpr uint64_t kCrossingsPerGroup = 4;

  void Run();

  // How often a group was seen to be pulled after it was not, or the reverse.
  uint64_t flips() const { return flips_; }

 private:
  void Cross(GroupNumber group, bool up, uint64_t turn);
  bool Fill(GroupNumber group, uint64_t turn);
  bool Empty(GroupNumber group, uint64_t turn);
  // Whether the group becomes so in a while.
  bool AwaitPulled(GroupNumber group, bool pulled);
  std::string FillerOf(GroupNumber group, uint64_t filler) const;
  uint64_t FillersFor(GroupNumber group) const;

  const Stage stage_;
  Client client_;
  const std::vector<GroupNumber> groups_;
  const uint64_t above_;
  Pace& pace_;
  uint64_t flips_ = 0;
};

}  // namespace klatch::load
