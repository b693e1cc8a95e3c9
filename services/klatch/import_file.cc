#include "services/klatch/import_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "services/klatch/roles.h"
#include "services/model/ids.h"

namespace klatch::cli {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 30;
// What separates words; a line of nothing else is empty.
constexpr char kBlanks[] = " \t\r\v\f";
constexpr char kTooLarge[] = "larger than 1 GiB";

std::vector<std::string> Words(std::string_view line) {
  std::vector<std::string> words;
  std::istringstream stream{std::string(line)};
  for (std::string word; stream >> word;) {
    words.push_back(std::move(word));
  }
  return words;
}

std::vector<std::string> Fields(std::string_view line) {
  std::vector<std::string> fields;
  while (true) {
    const size_t comma = line.find(',');
    std::string_view field = line.substr(0, comma);
    const size_t first = field.find_first_not_of(" \t");
    const size_t last = field.find_last_not_of(" \t");
    fields.emplace_back(first == std::string_view::npos ? ""
                                                        : field.substr(first, last - first + 1));
    if (comma == std::string_view::npos) {
      return fields;
    }
    line.remove_prefix(comma + 1);
  }
}

// All that is left of `file`, whose size need not be known before: it may be a pipe or a device.
absl::StatusOr<std::string> ReadAll(std::istream& file) {
  std::string text;
  std::vector<char> buffer(size_t{1} << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    text.append(buffer.data(), static_cast<size_t>(file.gcount()));
    if (text.size() > kFileBytesMax) {
      return base::Error(absl::StatusCode::kInvalidArgument, kTooLarge);
    }
  }
  if (file.bad()) {
    return base::Error(absl::StatusCode::kNotFound,
                       fmt::format("can't be read: {}", std::strerror(errno)));
  }
  return text;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return base::Error(absl::StatusCode::kNotFound, "is a folder, name the files");
  }
  // Before anything is read, where the size is known.
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (!error && bytes > kFileBytesMax) {
    return base::Error(absl::StatusCode::kInvalidArgument, kTooLarge);
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return base::Error(absl::StatusCode::kNotFound, std::strerror(errno));
  }
  return ReadAll(file);
}

// Calls parse(line, number) for the lines that say something. INVALID_ARGUMENT with the first that
// it finds fault with.
template <typename Parse>
absl::Status ForEachLine(std::string_view text, const Parse& parse) {
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') {
      line.remove_suffix(1);
    }
    const size_t first = line.find_first_not_of(kBlanks);
    if (first == std::string_view::npos || line[first] == '#') {
      continue;
    }
    if (const std::string fault = parse(line, number); !fault.empty()) {
      return base::Error(absl::StatusCode::kInvalidArgument,
                         fmt::format("line {}: {}", number, fault));
    }
  }
  return absl::OkStatus();
}

// All of stdin. By its descriptor: a stream takes an error for the end, and a list that was cut short
// would remove whoever stands behind.
absl::StatusOr<std::string> ReadStandardInput() {
  std::string text;
  std::vector<char> buffer(size_t{1} << 16);
  while (true) {
    const ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count == 0) {
      return text;
    }
    if (count > 0) {
      text.append(buffer.data(), static_cast<size_t>(count));
    } else if (errno != EINTR) {
      return base::Error(absl::StatusCode::kNotFound,
                         fmt::format("can't be read: {}", std::strerror(errno)));
    }
    if (text.size() > kFileBytesMax) {
      return base::Error(absl::StatusCode::kInvalidArgument, kTooLarge);
    }
  }
}

// Ids are opaque to Klatch but for their length. An empty reply means that it is one.
std::string FaultOfId(std::string_view id) {
  if (id.empty()) {
    return "an id is empty";
  }
  return id.size() > kIdBytesMax ? fmt::format("an id is longer than {} bytes", kIdBytesMax) : "";
}

// A role given earlier stays: owners are in their groups before their lines are read.
void Join(ImportGroup& group, const std::string& person, v1::Role role) {
  group.members.emplace(person, role);
}

ImportGroup& GroupOwnedBy(ImportGroups& groups, const std::string& id, const std::string& owner) {
  ImportGroup& group = groups[id];
  if (group.owner.empty()) {
    group.owner = owner;
    group.members[owner] = v1::ROLE_OWNER;
  }
  return group;
}

// Each parser returns what is wrong with the line, or nothing.
std::string ParseEdge(std::string_view line, ImportGroups& groups) {
  const std::vector<std::string> words = Words(line);
  if (words.size() != 2) {
    return fmt::format("two persons are expected, {} words found", words.size());
  }
  for (int side = 0; side < 2; ++side) {
    const std::string& person = words[static_cast<size_t>(side)];
    const std::string id = "friends:" + person;
    if (const std::string fault = FaultOfId(id); !fault.empty()) {
      return fault;
    }
    Join(GroupOwnedBy(groups, id, person), words[static_cast<size_t>(1 - side)], v1::ROLE_MEMBER);
  }
  return "";
}

std::string ParseCircle(std::string_view line, const std::string& ego, ImportGroups& groups) {
  const std::vector<std::string> words = Words(line);
  const std::string id = fmt::format("circle:{}:{}", ego, words.front());
  if (const std::string fault = FaultOfId(id); !fault.empty()) {
    return fault;
  }
  ImportGroup& group = GroupOwnedBy(groups, id, ego);
  for (size_t i = 1; i < words.size(); ++i) {
    if (const std::string fault = FaultOfId(words[i]); !fault.empty()) {
      return fault;
    }
    Join(group, words[i], v1::ROLE_MEMBER);
  }
  return "";
}

std::string NoRole(const std::string& name) {
  return fmt::format("'{}' is none of reader, member, moderator, owner", name);
}

std::string ParseCsv(std::string_view line, ImportGroups& groups) {
  const std::vector<std::string> fields = Fields(line);
  if (fields.size() != 2 && fields.size() != 3) {
    return fmt::format("group,person[,role] is expected, {} fields found", fields.size());
  }
  for (size_t i = 0; i < 2; ++i) {
    if (const std::string fault = FaultOfId(fields[i]); !fault.empty()) {
      return fault;
    }
  }
  const v1::Role role = fields.size() == 2 ? v1::ROLE_MEMBER : RoleOf(fields[2]);
  if (role == v1::ROLE_UNSPECIFIED) {
    return NoRole(fields[2]);
  }
  ImportGroup& group = groups[fields[0]];
  if (role == v1::ROLE_OWNER && group.owner.empty()) {
    group.owner = fields[1];
  }
  group.members[fields[1]] = role;
  return "";
}

// A group for which no line names an owner belongs to the first of its persons.
void AppointOwners(ImportGroups& groups) {
  for (auto& [id, group] : groups) {
    if (group.owner.empty()) {
      group.owner = group.members.begin()->first;
      group.members.begin()->second = v1::ROLE_OWNER;
    }
  }
}

}  // namespace

ImportFormat FormatOf(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension();
  if (extension == ".circles") {
    return ImportFormat::kCircles;
  }
  return extension == ".csv" ? ImportFormat::kCsv : ImportFormat::kEdges;
}

absl::Status ParseImport(std::string_view text, ImportFormat format, const std::string& ego,
                         ImportGroups& groups) {
  KLATCH_RETURN_IF_ERROR(ForEachLine(text, [&](std::string_view line, int) -> std::string {
    switch (format) {
      case ImportFormat::kEdges:
        return ParseEdge(line, groups);
      case ImportFormat::kCircles:
        return ParseCircle(line, ego, groups);
      case ImportFormat::kCsv:
        return ParseCsv(line, groups);
    }
    return "";
  }));
  if (format == ImportFormat::kCsv) {
    AppointOwners(groups);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Member>> ParseRoster(std::string_view text) {
  std::vector<v1::Member> members;
  std::unordered_map<std::string, int> first;
  KLATCH_RETURN_IF_ERROR(ForEachLine(text, [&](std::string_view line, int number) -> std::string {
    const std::vector<std::string> fields = Fields(line);
    if (fields.size() > 2) {
      return fmt::format("person[,role] is expected, {} fields found", fields.size());
    }
    if (std::string fault = FaultOfId(fields[0]); !fault.empty()) {
      return fault;
    }
    const v1::Role role = fields.size() == 1 ? v1::ROLE_MEMBER : RoleOf(fields[1]);
    if (role == v1::ROLE_UNSPECIFIED) {
      return NoRole(fields[1]);
    }
    const auto [earlier, is_new] = first.emplace(fields[0], number);
    if (!is_new) {
      return fmt::format("'{}' stands on line {} already", fields[0], earlier->second);
    }
    v1::Member& member = members.emplace_back();
    member.set_person(fields[0]);
    member.set_role(role);
    return "";
  }));
  return members;
}

absl::StatusOr<std::vector<v1::Member>> ReadRoster(const std::string& path) {
  absl::StatusOr<std::string> text = path == "-" ? ReadStandardInput() : ReadFile(path);
  if (!text.ok()) {
    return base::Annotate(text.status(), path);
  }
  absl::StatusOr<std::vector<v1::Member>> members = ParseRoster(*text);
  return members.ok() ? std::move(members) : base::Annotate(members.status(), path);
}

absl::Status ReadImportFile(const std::string& path, ImportGroups& groups) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return base::Annotate(text.status(), path);
  }
  return base::Annotate(
      ParseImport(*text, FormatOf(path), std::filesystem::path(path).stem().string(), groups),
      path);
}

}  // namespace klatch::cli
