#include "services/klatch/archive_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "common/base/decimal.h"
#include "common/base/standard_streams.h"
#include "common/base/status.h"
#include "services/klatch/session.h"

namespace klatch::cli {
namespace {

constexpr char kCheckpoint[] = "archive.json";
constexpr char kEnding[] = ".jsonl";
constexpr uint64_t kMsPerHour = 3'600'000;

absl::Status Failed(const std::string& path, int error) {
  return base::Error(absl::StatusCode::kInternal,
                     fmt::format("{}: {}", path, std::strerror(error)));
}

absl::Status Unfit(const std::string& path, std::string_view what) {
  return base::Error(absl::StatusCode::kFailedPrecondition, fmt::format("{} {}", path, what));
}

// Writes behind what is there, or a new file, and has it on the disk.
absl::Status WriteFile(const std::string& path, std::string_view text, int flags) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
  if (fd < 0) {
    return Failed(path, errno);
  }
  int error = base::WriteAll(fd, text);
  if (error == 0 && fsync(fd) != 0) {
    error = errno;
  }
  if (close(fd) != 0 && error == 0) {
    error = errno;
  }
  return error == 0 ? absl::OkStatus() : Failed(path, error);
}

// A new or renamed file is there after a power loss only if its folder is on the disk, too.
absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return Failed(folder, errno);
  }
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error == 0 ? absl::OkStatus() : Failed(folder, error);
}

std::string GapLine(uint32_t shard, Position after, uint64_t oldest) {
  return fmt::format(R"({{"gap":{{"shard":{},"after":"{}","oldest":"{}"}}}})"
                     "\n",
                     shard, after.value(), oldest);
}

uint64_t NumberOf(const google::protobuf::Struct& fields, const std::string& name) {
  const auto found = fields.fields().find(name);
  return found == fields.fields().end()
             ? 0
             : base::ParseDecimal(found->second.string_value()).value_or(0);
}

std::string TextOf(const google::protobuf::Struct& fields, const std::string& name) {
  const auto found = fields.fields().find(name);
  return found == fields.fields().end() ? "" : found->second.string_value();
}

}  // namespace

absl::StatusOr<ArchiveFiles> ArchiveFiles::Open(const std::string& folder,
                                                const std::string& namespace_name, uint32_t shards,
                                                uint64_t file_bytes_max) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Failed(folder, error.value());
  }
  KLATCH_ASSIGN_OR_RETURN(base::FileLock lock, base::FileLock::Acquire(folder + "/lock"));
  ArchiveFiles files(folder, std::move(lock), namespace_name, shards, file_bytes_max);
  const std::string path = files.PathOf(kCheckpoint);
  std::ifstream stream(path);
  if (stream.is_open()) {
    const std::string text{std::istreambuf_iterator<char>(stream),
                           std::istreambuf_iterator<char>()};
    KLATCH_RETURN_IF_ERROR(files.Load(text));
  } else if (std::filesystem::exists(path, error) || error) {
    return Unfit(path, "can't be read");
  }
  KLATCH_RETURN_IF_ERROR(files.CutBack());
  // From here on a file that the checkpoint doesn't name was begun after it.
  KLATCH_RETURN_IF_ERROR(files.Commit());
  return files;
}

absl::Status ArchiveFiles::Load(std::string_view checkpoint) {
  const std::string path = PathOf(kCheckpoint);
  google::protobuf::Struct read;
  const auto parsed = google::protobuf::util::JsonStringToMessage(std::string(checkpoint), &read);
  if (!parsed.ok()) {
    return Unfit(path, "is no checkpoint of an archive");
  }
  if (TextOf(read, "namespace") != namespace_ || NumberOf(read, "shards") != shards_) {
    return Unfit(path, fmt::format("is of namespace {} with {} shards, not of {} with {}",
                                   TextOf(read, "namespace"), NumberOf(read, "shards"), namespace_,
                                   shards_));
  }
  const auto logs = read.fields().find("logs");
  if (logs == read.fields().end()) {
    return absl::OkStatus();
  }
  for (const auto& [name, value] : logs->second.struct_value().fields()) {
    const auto shard = base::ParseDecimal(name);
    if (!shard || *shard >= shards_) {
      return Unfit(path, "names a shard that there is not");
    }
    const google::protobuf::Struct& fields = value.struct_value();
    logs_[static_cast<uint32_t>(*shard)] = {NumberOf(fields, "after"), TextOf(fields, "file"),
                                            NumberOf(fields, "bytes")};
  }
  return absl::OkStatus();
}

absl::Status ArchiveFiles::CutBack() {
  const bool is_new = !std::filesystem::exists(PathOf(kCheckpoint));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    uint32_t shard = 0;
    uint64_t first = 0;
    if (!ReadName(name, shard, first)) {
      continue;
    }
    if (is_new) {
      return Unfit(folder_, fmt::format("has {}, but no {}: where to go on is not known; "
                                        "archive to another folder",
                                        name, kCheckpoint));
    }
    if (first > After(shard).value() && unlink(PathOf(name).c_str()) != 0) {
      return Failed(PathOf(name), errno);
    }
  }
  if (error) {
    return Failed(folder_, error.value());
  }
  for (auto& [shard, log] : logs_) {
    struct stat state = {};
    const std::string path = PathOf(log.file);
    if (log.file.empty() || stat(path.c_str(), &state) != 0) {
      log.file.clear();  // Somebody has taken it away: it was whole, as far as the checkpoint goes.
      log.bytes = 0;
      continue;
    }
    if (static_cast<uint64_t>(state.st_size) < log.bytes) {
      return Unfit(path, "is shorter than the checkpoint says");
    }
    if (truncate(path.c_str(), static_cast<off_t>(log.bytes)) != 0) {
      return Failed(path, errno);
    }
  }
  return absl::OkStatus();
}

bool ArchiveFiles::ReadName(std::string_view name, uint32_t& shard, uint64_t& first) const {
  if (!name.starts_with(namespace_ + "-") || !name.ends_with(kEnding)) {
    return false;
  }
  name.remove_prefix(namespace_.size() + 1);
  name.remove_suffix(sizeof(kEnding) - 1);
  const size_t dash = name.find('-');
  const auto number = base::ParseDecimal(name.substr(0, dash));
  const auto position =
      dash == std::string_view::npos ? std::nullopt : base::ParseDecimal(name.substr(dash + 1));
  if (!number || !position || *number >= shards_) {
    return false;
  }
  shard = static_cast<uint32_t>(*number);
  first = *position;
  return true;
}

std::string ArchiveFiles::NameOf(uint32_t shard, uint64_t first) const {
  return fmt::format("{}-{}-{}{}", namespace_, shard, first, kEnding);
}

Position ArchiveFiles::After(uint32_t shard) const {
  const auto found = logs_.find(shard);
  return found == logs_.end() ? Position() : Position(found->second.after);
}

bool ArchiveFiles::BeginsFile(const Log& log, uint64_t position) const {
  uint32_t shard = 0;
  uint64_t first = 0;
  return log.file.empty() || log.bytes >= file_bytes_max_ || !ReadName(log.file, shard, first) ||
         Position(first).ms() / kMsPerHour != Position(position).ms() / kMsPerHour;
}

absl::Status ArchiveFiles::Append(uint32_t shard, const v1::ReadLogResponse& page) {
  Log& log = logs_[shard];
  std::string lines;
  if (page.trimmed()) {
    lines = GapLine(shard, Position(log.after), page.oldest());
    if (log.file.empty() && page.entries().empty()) {
      log.file = NameOf(shard, page.next_after());
    }
  }
  for (const v1::LogEntry& entry : page.entries()) {
    if (BeginsFile(log, entry.position())) {
      // A gap stands before what comes behind it.
      const std::string gap = log.file.empty() ? std::exchange(lines, "") : "";
      KLATCH_RETURN_IF_ERROR(Write(log, lines));
      log.file = NameOf(shard, entry.position());
      log.bytes = 0;
      lines = gap;
    }
    lines += ToJson(entry);
    if (log.bytes + lines.size() >= file_bytes_max_) {
      KLATCH_RETURN_IF_ERROR(Write(log, std::exchange(lines, "")));
    }
  }
  KLATCH_RETURN_IF_ERROR(Write(log, lines));
  log.after = page.next_after();
  return absl::OkStatus();
}

absl::Status ArchiveFiles::Write(Log& log, std::string_view lines) const {
  if (lines.empty() || log.file.empty()) {
    return absl::OkStatus();
  }
  KLATCH_RETURN_IF_ERROR(WriteFile(PathOf(log.file), lines, O_APPEND));
  log.bytes += lines.size();
  return log.bytes == lines.size() ? SyncFolder(folder_) : absl::OkStatus();
}

absl::Status ArchiveFiles::Commit() {
  std::string text =
      fmt::format(R"({{"namespace":"{}","shards":"{}","logs":{{)", namespace_, shards_);
  bool is_first = true;
  for (const auto& [shard, log] : logs_) {
    text += fmt::format(R"({}"{}":{{"after":"{}","file":"{}","bytes":"{}"}})",
                        is_first ? "\n" : ",\n", shard, log.after, log.file, log.bytes);
    is_first = false;
  }
  text += "}}\n";
  const std::string path = PathOf(kCheckpoint);
  const std::string next = path + ".next";
  KLATCH_RETURN_IF_ERROR(WriteFile(next, text, O_TRUNC));
  if (rename(next.c_str(), path.c_str()) != 0) {
    return Failed(path, errno);
  }
  return SyncFolder(folder_);
}

}  // namespace klatch::cli
