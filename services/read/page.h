#pragma once
// A page while it is put together: what was found visible so far and how far down the timeline was
// looked at. A value of one call.

#include <cstddef>
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
};

struct Page {
  // Newest first.
  std::vector<PageEntry> entries;
  // Every candidate with an id not less than this was examined.
  UpdateId below{std::numeric_limits<uint64_t>::max()};
  // Candidates examined by this call, visible or not.
  size_t examined = 0;
};

}  // namespace klatch
