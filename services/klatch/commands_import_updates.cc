#include "services/klatch/commands_import_updates.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <utility>

#include "common/base/status.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"

namespace klatch::cli {
namespace {

using Imports = v1::ImportService::Stub;

constexpr size_t kFailuresShownMax = 10;
// Of one call, which must fit into a message.
constexpr size_t kCallBytesMax = limits::kMessageBytesMax / 2;
constexpr size_t kLineBytesMax = limits::kMessageBytesMax / 2;

class UpdatesImporter {
 public:
  UpdatesImporter(const Session& session, std::istream& lines, const std::atomic<bool>& interrupted,
                  const std::function<bool(std::string_view)>& print)
      : session_(session),
        lines_(lines),
        interrupted_(interrupted),
        print_(print),
        line_(kLineBytesMax + 1, '\0') {}

  ImportUpdatesSummary Run() {
    request_.set_namespace_(session_.name_space);
    while (!HasEnded() && ReadLine()) {
      if (request_.updates_size() == static_cast<int>(limits::kImportUpdatesMax) ||
          bytes_ >= kCallBytesMax) {
        Send();
      }
    }
    // What stood before a bad line is good; after an interruption nothing more is sent.
    if (request_.updates_size() > 0 && (summary_.bad_line || !HasEnded())) {
      Send();
    }
    return std::move(summary_);
  }

 private:
  bool HasEnded() {
    // relaxed: a flag on its own, nothing is published with it.
    summary_.interrupted |= interrupted_.load(std::memory_order_relaxed);
    return summary_.bad_line || summary_.interrupted || summary_.unreachable || summary_.broke_off;
  }

  // Adds the next line's update to the request. False at the end.
  bool ReadLine() {
    lines_.getline(line_.data(), static_cast<std::streamsize>(line_.size()));
    const auto count = static_cast<size_t>(lines_.gcount());
    ++number_;
    if (lines_.eof() && count == 0) {
      return false;
    }
    if (lines_.fail() && !lines_.eof()) {
      return NoteBadLine(count + 1 < line_.size()
                             ? "can't be read"
                             : fmt::format("has more than {} bytes", kLineBytesMax));
    }
    // The line feed is counted, and a zero byte may stand in its place.
    const std::string text(line_.data(), lines_.eof() ? count : count - 1);
    if (text.find_first_not_of(" \t\r") == std::string::npos) {
      return true;
    }
    v1::ImportedUpdate update;
    const auto parsed = google::protobuf::util::JsonStringToMessage(text, &update);
    if (!parsed.ok()) {
      return NoteBadLine(fmt::format("is no update ({})", std::string(parsed.message())));
    }
    bytes_ += update.ByteSizeLong();
    *request_.add_updates() = std::move(update);
    numbers_.push_back(number_);
    return true;
  }

  bool NoteBadLine(const std::string& fault) {
    summary_.bad_line = true;
    NoteFailure(fmt::format("line {} {}", number_, fault));
    return false;
  }

  void NoteFailure(const std::string& failure) {
    if (summary_.failures.size() < kFailuresShownMax) {
      summary_.failures.push_back(CleanLine(failure));
    }
  }

  void Send() {
    const auto response =
        session_.client.Call(session_.client.imports(), &Imports::ImportUpdates, request_);
    if (response.ok()) {
      for (int i = 0; i < response->results_size(); ++i) {
        Count(numbers_[static_cast<size_t>(i)], response->results(i));
      }
    } else {
      summary_.unreachable = IsUnreachable(response.status());
      summary_.broke_off = true;
      NoteFailure(fmt::format("lines {} to {}: {}", numbers_.front(), numbers_.back(),
                              DescribeError(response.status())));
    }
    request_.clear_updates();
    numbers_.clear();
    bytes_ = 0;
  }

  void Count(uint64_t number, const v1::ImportResult& result) {
    if (result.has_error()) {
      ++summary_.failed;
      NoteFailure(fmt::format("line {}: {}", number, result.error().message()));
    } else {
      ++(result.imported().was_there() ? summary_.were_there : summary_.imported);
    }
    if (session_.format == Format::kJson) {
      const std::string json = ToJson(result);
      summary_.broke_off |= !print_(fmt::format(R"({{"line":{},{})", number, json.substr(1)));
    }
  }

  const Session& session_;
  std::istream& lines_;
  const std::atomic<bool>& interrupted_;
  const std::function<bool(std::string_view)>& print_;
  std::string line_;
  uint64_t number_ = 0;

  // What goes with the next call: updates, their lines, their bytes.
  v1::ImportUpdatesRequest request_;
  std::vector<uint64_t> numbers_;
  size_t bytes_ = 0;
  ImportUpdatesSummary summary_;
};

}  // namespace

ImportUpdatesSummary ImportUpdates(const Session& session, std::istream& lines,
                                   const std::atomic<bool>& interrupted,
                                   const std::function<bool(std::string_view)>& print) {
  return UpdatesImporter(session, lines, interrupted, print).Run();
}

std::string PrintImportUpdates(const Session& session, const ImportUpdatesSummary& summary) {
  const bool is_whole =
      !summary.bad_line && !summary.interrupted && !summary.unreachable && !summary.broke_off;
  if (session.format == Format::kJson) {
    return fmt::format(R"({{"summary":{{"imported":{},"wereThere":{},"failed":{},"isWhole":{}}}}})"
                       "\n",
                       summary.imported, summary.were_there, summary.failed, is_whole);
  }
  return RenderTable({{"IMPORTED", Align::kRight}, {"THERE BEFORE", Align::kRight}, {"FAILED"}},
                     {{WithThousands(summary.imported), WithThousands(summary.were_there),
                       WithThousands(summary.failed)}},
                     session.screen) +
         (is_whole ? "" : "It ended before the last line. Run it again to go on.\n");
}

}  // namespace klatch::cli
