#include "bench/load/plan/snap_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <utility>

#include "services/model/ids.h"

namespace klatch::load {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlanks = " \t\r";
// A circle of a million members with long names has less; /dev/zero has more.
constexpr std::streamsize kLineBytesMax = 128 << 20;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  size_t begin = line.find_first_not_of(kBlanks);
  while (begin != std::string_view::npos) {
    size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(kBlanks, end);
  }
  return words;
}

using LineReader = std::function<absl::Status(const std::vector<std::string_view>& words)>;

// Hands the words of each line that holds something to `read`; names the place of what it refuses.
absl::Status ReadLines(const fs::path& path, const LineReader& read) {
  std::ifstream file(path);
  if (!file) {
    return base::Error(absl::StatusCode::kNotFound, fmt::format("can't open {}", path.string()));
  }
  const auto annotated = [&path](const absl::Status& status, size_t number) {
    return base::Annotate(status, fmt::format("{}:{}", path.string(), number));
  };
  // Pages that no line reaches are never touched.
  const auto buffer = std::make_unique_for_overwrite<char[]>(kLineBytesMax + 1);
  size_t number = 1;
  for (; file.getline(buffer.get(), kLineBytesMax + 1); ++number) {
    // The line feed counts, where there is one.
    const std::streamsize size = file.gcount() - (file.eof() ? 0 : 1);
    std::vector<std::string_view> words = Words({buffer.get(), static_cast<size_t>(size)});
    if (words.empty() || words.front().front() == '#') {
      continue;
    }
    absl::Status status = read(words);
    if (!status.ok()) {
      return annotated(status, number);
    }
  }
  if (!file.bad() && file.gcount() == kLineBytesMax) {
    return annotated(base::Error(absl::StatusCode::kInvalidArgument,
                                 fmt::format("a line of more than {} MiB", kLineBytesMax >> 20)),
                     number);
  }
  if (file.bad()) {
    return base::Error(absl::StatusCode::kNotFound, fmt::format("can't read {}", path.string()));
  }
  return absl::OkStatus();
}

class Importer {
 public:
  absl::Status ReadEdges(const fs::path& path) {
    return ReadLines(path,
                     [this](const std::vector<std::string_view>& words) { return AddEdge(words); });
  }

  absl::Status ReadCircles(const fs::path& path) {
    std::string ego = path.stem().string();
    return ReadLines(path, [this, &ego](const std::vector<std::string_view>& words) {
      return AddCircle(ego, words);
    });
  }

  // INVALID_ARGUMENT, with the file of the edges, if there were none.
  absl::StatusOr<std::unique_ptr<const Graph>> Finish(const fs::path& edges);

 private:
  absl::Status AddEdge(const std::vector<std::string_view>& words);
  absl::Status AddCircle(const std::string& ego, const std::vector<std::string_view>& words);
  absl::StatusOr<PersonNumber> Number(std::string_view id);

  std::vector<std::string> persons_;
  std::unordered_map<std::string, PersonNumber> numbers_;
  std::vector<std::vector<PersonNumber>> friends_;
  std::vector<GroupSpec> circles_;
};

absl::StatusOr<PersonNumber> Importer::Number(std::string_view id) {
  // The longest group id made of it is friends:<person>.
  constexpr size_t kBytesMax = kIdBytesMax - std::string_view("friends:").size();
  if (id.size() > kBytesMax) {
    return base::Error(
        absl::StatusCode::kInvalidArgument,
        fmt::format("a person id of {} bytes; at most {} fit", id.size(), kBytesMax));
  }
  auto [entry, added] =
      numbers_.try_emplace(std::string(id), static_cast<PersonNumber>(persons_.size()));
  if (added) {
    persons_.push_back(entry->first);
    friends_.emplace_back();
  }
  return entry->second;
}

absl::Status Importer::AddEdge(const std::vector<std::string_view>& words) {
  if (words.size() != 2) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("an edge is two person ids, here are {}", words.size()));
  }
  KLATCH_ASSIGN_OR_RETURN(PersonNumber a, Number(words[0]));
  KLATCH_ASSIGN_OR_RETURN(PersonNumber b, Number(words[1]));
  if (a == b) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("\"{}\" is a friend of themselves", words[0]));
  }
  friends_[a].push_back(b);
  friends_[b].push_back(a);
  return absl::OkStatus();
}

absl::Status Importer::AddCircle(const std::string& ego,
                                 const std::vector<std::string_view>& words) {
  if (words.size() < 2) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       "a circle is a name and its members, here is only a name");
  }
  std::string id = fmt::format("circle:{}:{}", ego, words[0]);
  if (id.size() > kIdBytesMax) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("the circle's name makes an id of {} bytes; at most {} fit",
                                   id.size(), kIdBytesMax));
  }
  bool known = std::any_of(circles_.begin(), circles_.end(),
                           [&id](const GroupSpec& circle) { return circle.id == id; });
  if (known) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("the circle \"{}\" is there twice", words[0]));
  }
  GroupSpec circle;
  circle.id = std::move(id);
  KLATCH_ASSIGN_OR_RETURN(circle.owner, Number(ego));
  circle.members.push_back(circle.owner);
  for (size_t i = 1; i < words.size(); ++i) {
    KLATCH_ASSIGN_OR_RETURN(PersonNumber member, Number(words[i]));
    circle.members.push_back(member);
  }
  std::sort(circle.members.begin(), circle.members.end());
  circle.members.erase(std::unique(circle.members.begin(), circle.members.end()),
                       circle.members.end());
  circles_.push_back(std::move(circle));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const Graph>> Importer::Finish(const fs::path& edges) {
  if (persons_.empty()) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       fmt::format("{}: has no edges", edges.string()));
  }
  std::vector<GroupSpec> groups;
  groups.reserve(persons_.size() + circles_.size());
  for (PersonNumber person = 0; person < persons_.size(); ++person) {
    std::vector<PersonNumber> members = std::move(friends_[person]);
    members.push_back(person);
    std::sort(members.begin(), members.end());
    members.erase(std::unique(members.begin(), members.end()), members.end());
    groups.push_back({"friends:" + persons_[person], person, std::move(members)});
  }
  auto first_circle = static_cast<GroupNumber>(groups.size());
  std::move(circles_.begin(), circles_.end(), std::back_inserter(groups));
  return std::make_unique<const Graph>(std::move(persons_), std::move(groups), first_circle);
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Graph>> ImportSnap(const std::string& path) {
  std::error_code error;
  Importer importer;
  if (!fs::is_directory(path, error)) {
    KLATCH_RETURN_IF_ERROR(importer.ReadEdges(path));
    return importer.Finish(path);
  }
  const fs::path edges = fs::path(path) / "facebook_combined.txt";
  KLATCH_RETURN_IF_ERROR(importer.ReadEdges(edges));
  std::vector<fs::path> circles;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".circles") {
      circles.push_back(entry.path());
    }
  }
  // The folder's own order differs from machine to machine; the graph must not.
  std::sort(circles.begin(), circles.end());
  for (const fs::path& file : circles) {
    KLATCH_RETURN_IF_ERROR(importer.ReadCircles(file));
  }
  return importer.Finish(edges);
}

}  // namespace klatch::load
