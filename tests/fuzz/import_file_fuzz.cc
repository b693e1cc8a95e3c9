// Files that name groups and who is in them, SNAP's formats among them.

#include "services/klatch/import_file.h"
#include "tests/fuzz/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using klatch::cli::ImportFormat;
  klatch::fuzz::Input input(data, size);
  const uint32_t which = input.Choose(4);
  if (which == 3) {
    if (const auto roster = klatch::cli::ParseRoster(input.rest()); roster.ok()) {
      for (const auto& member : *roster) {
        klatch::fuzz::Require(!member.person().empty(), "a member has a name");
      }
    }
    return 0;
  }
  constexpr ImportFormat kFormats[] = {ImportFormat::kEdges, ImportFormat::kCircles,
                                       ImportFormat::kCsv};
  klatch::cli::ImportGroups groups;
  const absl::Status status =
      klatch::cli::ParseImport(input.rest(), kFormats[which], "ego", groups);
  if (status.ok()) {
    for (const auto& [group, of] : groups) {
      klatch::fuzz::Require(of.members.contains(of.owner), "an owner is a member");
    }
  }
  return 0;
}
