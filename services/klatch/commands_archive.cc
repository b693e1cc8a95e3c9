#include "services/klatch/commands_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "services/klatch/archive_files.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

using Admin = v1::AdminService::Stub;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLook{20};
constexpr milliseconds kPause{500};
constexpr uint64_t kBytesPerMiB = 1 << 20;

// What another try may mend.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

class Archiving {
 public:
  Archiving(const Session& session, const ArchiveOptions& options,
            const std::atomic<bool>& interrupted)
      : session_(session), options_(options), interrupted_(interrupted) {}

  // Archives everything that is in the logs now, but what is left when it is interrupted.
  absl::Status CatchUp() {
    v1::GetStatusRequest request;
    request.set_namespace_(session_.name_space);
    KLATCH_ASSIGN_OR_RETURN(
        const v1::GetStatusResponse status,
        session_.client.Call(session_.client.admin(), &Admin::GetStatus, request));
    if (status.redis().version().empty()) {
      return base::Error(absl::StatusCode::kUnavailable, "the server's Redis does not answer");
    }
    if (!files_) {
      KLATCH_ASSIGN_OR_RETURN(ArchiveFiles files,
                              ArchiveFiles::Open(options_.folder, status.namespace_(),
                                                 static_cast<uint32_t>(status.shards_size()),
                                                 options_.file_mib * kBytesPerMiB));
      files_.emplace(std::move(files));
    }
    KLATCH_RETURN_IF_ERROR(CheckEnds(status));
    bool is_behind = true;
    while (is_behind && !is_interrupted()) {
      is_behind = false;
      for (const v1::ShardStatus& shard : status.shards()) {
        if (files_->After(shard.shard()).value() < shard.end() && !is_interrupted()) {
          KLATCH_RETURN_IF_ERROR(ReadPage(shard.shard()));
          is_behind |= files_->After(shard.shard()).value() < shard.end();
        }
      }
      if (has_news_) {
        has_news_ = false;
        KLATCH_RETURN_IF_ERROR(files_->Commit());
      }
    }
    return absl::OkStatus();
  }

  // False if it is interrupted.
  bool Pause() const {
    for (const auto until = Clock::now() + kPause; Clock::now() < until && !is_interrupted();) {
      std::this_thread::sleep_for(kLook);
    }
    return !is_interrupted();
  }

  bool is_interrupted() const {
    // relaxed: a flag on its own.
    return interrupted_.load(std::memory_order_relaxed);
  }
  uint64_t records() const { return records_; }
  uint64_t gaps() const { return gaps_; }

 private:
  // A log that ends before what is archived of it is another one, or has lost its end.
  absl::Status CheckEnds(const v1::GetStatusResponse& status) const {
    for (const v1::ShardStatus& shard : status.shards()) {
      const uint64_t after = files_->After(shard.shard()).value();
      if (shard.end() < after) {
        return base::Error(
            absl::StatusCode::kFailedPrecondition,
            fmt::format("the log of shard {} ends at {}, before what is archived of it ({}): it is "
                        "another one, or Redis has lost its end; archive to another folder",
                        shard.shard(), shard.end(), after));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadPage(uint32_t shard) {
    v1::ReadLogRequest request;
    request.set_namespace_(session_.name_space);
    request.set_shard(shard);
    request.set_after(files_->After(shard).value());
    request.set_page_size(limits::kLogPageMax);
    request.set_with_bodies(true);
    KLATCH_ASSIGN_OR_RETURN(
        const v1::ReadLogResponse page,
        session_.client.Call(session_.client.admin(), &Admin::ReadLog, request));
    KLATCH_RETURN_IF_ERROR(files_->Append(shard, page));
    has_news_ = true;
    records_ += static_cast<uint64_t>(page.entries_size());
    gaps_ += page.trimmed() ? 1 : 0;
    return absl::OkStatus();
  }

  const Session& session_;
  const ArchiveOptions& options_;
  const std::atomic<bool>& interrupted_;
  std::optional<ArchiveFiles> files_;
  bool has_news_ = false;  // appended, not committed
  uint64_t records_ = 0;
  uint64_t gaps_ = 0;
};

}  // namespace

ArchiveEnd Archive(const Session& session, const ArchiveOptions& options,
                   const std::atomic<bool>& interrupted,
                   const std::function<void(std::string_view)>& say) {
  Archiving archiving(session, options, interrupted);
  absl::Status status;
  bool was_away = false;
  do {
    status = archiving.CatchUp();
    const bool is_away = !status.ok();
    if (is_away && (!options.follow || !IsPassing(status))) {
      break;
    }
    if (is_away != was_away) {
      say(is_away ? fmt::format("{}; trying again", DescribeError(status)) : "going on");
    }
    was_away = is_away;
  } while (options.follow && archiving.Pause());
  // An interruption ends the tries to reach a server, which then fail.
  const bool was_interrupted = archiving.is_interrupted() && (status.ok() || IsPassing(status));
  return {was_interrupted ? absl::OkStatus() : status, was_interrupted, archiving.records(),
          archiving.gaps()};
}

std::string PrintArchive(const Session& session, const ArchiveEnd& end, const std::string& folder) {
  if (session.format == Format::kJson) {
    return fmt::format(R"({{"records":"{}","gaps":"{}","interrupted":{}}})"
                       "\n",
                       end.records, end.gaps, end.interrupted);
  }
  std::string text = fmt::format("Archived {} to {}.\n", Counted(end.records, "record", "records"),
                                 CleanLine(folder));
  if (end.gaps > 0) {
    text += fmt::format("Records were trimmed before they were read: {} in the files.\n",
                        Counted(end.gaps, "gap is", "gaps are"));
  }
  return text;
}

}  // namespace klatch::cli
