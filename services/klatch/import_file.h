#pragma once
// Files that name groups and who is in them, as `klatch import` and people's exports write them.
//
//   edges    "a b" per line, '#' starts a comment    friends:<person> of each person and friends
//   circles  "name  member  member …" per line       circle:<ego>:<name>; ego is the file's stem
//   csv      "group,person[,role]" per line          the group as named
//   roster   "person[,role]" per line                a group's members, for `klatch group sync`
//
// Edges and circles are SNAP's formats. Pure but for Read…; any thread. Lines at fault are
// named in the error; nothing is imported from a file with one.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "klatch/v1/resources.pb.h"

namespace klatch::cli {

struct ImportGroup {
  // Who creates it; always among the members.
  std::string owner;
  // Person to role.
  std::map<std::string, v1::Role> members;
};
// By group id.
using ImportGroups = std::map<std::string, ImportGroup>;

enum class ImportFormat { kEdges, kCircles, kCsv };

// By the file's name: "….circles", "….csv", edges otherwise.
ImportFormat FormatOf(const std::string& path);

// Adds the groups of `text` to `groups`. `ego` is used for circles only. INVALID_ARGUMENT names the
// first line at fault.
absl::Status ParseImport(std::string_view text, ImportFormat format, const std::string& ego,
                         ImportGroups& groups);

// Reads and adds one file. NOT_FOUND if it can't be read, INVALID_ARGUMENT as above, both with the
// path. At most 1 GiB.
absl::Status ReadImportFile(const std::string& path, ImportGroups& groups);

// The members of a roster, in its order; who is listed twice is at fault.
absl::StatusOr<std::vector<v1::Member>> ParseRoster(std::string_view text);
// The same of a file, or of stdin if `path` is "-". Errors as ReadImportFile's.
absl::StatusOr<std::vector<v1::Member>> ReadRoster(const std::string& path);

}  // namespace klatch::cli
