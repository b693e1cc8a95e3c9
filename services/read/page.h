#pragma once
// A page while it is put together: what was found visible so far and how far down the timeline was
// looked at. A value of one call.
// Bound: size_max entries, or fewer that together are sent as limits::kPageBytesMax bytes at most;
// a single one always has room.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "services/model/body.h"
#include "services/model/position.h"

namespace klatch {

// An update on a page. The body is shared with the body store, and with gRPC until the page is
// sent.
struct PageEntry {
  UpdateId id;
  std::shared_ptr<const Body> body;
  // Of a post to several groups: through which targets of the body the viewer sees it, in order, as
  // the viewer was judged last. Empty for a post to one group.
  std::vector<uint8_t> through = {};
};

struct Page {
  // Nothing more goes in, and what was not examined is for the next page.
  bool IsFull() const { return out_of_bytes || entries.size() >= size_max; }

  size_t size_max = 0;
  // The profile of somebody else: of what is there no longer nobody knows whether it was for the
  // viewer, so the page must not tell of it.
  bool is_for_others = false;
  // Newest first.
  std::vector<PageEntry> entries;
  // What they take when they are sent, at most; and whether the next one did not fit.
  size_t bytes = 0;
  bool out_of_bytes = false;
  // Every candidate with an id not less than this was examined.
  UpdateId below{std::numeric_limits<uint64_t>::max()};
  // Candidates examined by this call, visible or not.
  size_t examined = 0;
  // Some of them are kept no longer.
  bool expired = false;
};

}  // namespace klatch
