// A record of a log on its way to the workers: whatever its bytes, it is an event or an error.

#include "services/deliver/event.h"
#include "tests/fuzz/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  klatch::Layout layout;
  klatch::GroupDirectory groups(layout, /*groups_max=*/16);
  klatch::LogEntry entry;
  entry.position = klatch::Position(1'000, klatch::ShardIndex(3), 7);
  klatch::Event event;
  // Twice into the same event: nothing of the first may be left.
  for (int time = 0; time < 2; ++time) {
    if (!entry.record.ParseFromArray(data, static_cast<int>(size))) {
      return 0;
    }
    const absl::Status status = klatch::DecodeEvent(entry, layout, groups, event);
    if (status.ok()) {
      klatch::fuzz::Require(event.position == entry.position, "an event is at its record's place");
      klatch::fuzz::Require(event.change_count <= event.changes.size(), "its changes are there");
    }
  }
  return 0;
}
