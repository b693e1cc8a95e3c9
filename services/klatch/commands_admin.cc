#include "services/klatch/commands_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"
#include "services/model/position.h"

namespace klatch::cli {
namespace {

using Admin = v1::AdminService::Stub;

template <typename Request>
Request AdminRequest(const Session& session) {
  Request request;
  request.set_namespace_(session.name_space);
  return request;
}

// "850 ms", "2.7 s", "12 min", "3 h", "5 days".
std::string Length(const google::protobuf::Duration& duration) {
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 60 * kMinute;
  constexpr int64_t kDay = 24 * kHour;
  const int64_t seconds = duration.seconds();
  if (seconds >= 2 * kDay) {
    return fmt::format("{} days", seconds / kDay);
  }
  if (seconds >= 2 * kHour) {
    return fmt::format("{} h", seconds / kHour);
  }
  if (seconds >= 2 * kMinute) {
    return fmt::format("{} min", seconds / kMinute);
  }
  const double exact = static_cast<double>(seconds) + duration.nanos() / 1e9;
  return exact < 1 ? fmt::format("{:.0f} ms", exact * 1e3) : fmt::format("{:.1f} s", exact);
}

std::string Size(uint64_t bytes) {
  constexpr double kStep = 1024;
  double size = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
    if (size < kStep) {
      break;
    }
    size /= kStep;
    unit = larger;
  }
  return size < kStep && *unit == 'B' ? fmt::format("{} B", bytes)
                                      : fmt::format("{:.1f} {}", size, unit);
}

std::string Readiness(const v1::GetStatusResponse& status) {
  if (status.reasons().empty()) {
    return "yes";
  }
  std::string text = "no";
  for (const std::string& reason : status.reasons()) {
    text += (text == "no" ? ": " : "\n") + CleanLine(reason);
  }
  return text;
}

std::string LogState(const v1::GetStatusResponse& status, const Session& session) {
  uint64_t records = 0;
  uint64_t bytes = 0;
  uint64_t oldest = 0;
  std::string behind;
  for (const v1::ShardStatus& shard : status.shards()) {
    records += shard.records();
    bytes += shard.bytes();
    if (shard.oldest() != 0) {
      oldest = oldest == 0 ? shard.oldest() : std::min<uint64_t>(oldest, shard.oldest());
    }
    if (shard.end() > shard.applied()) {
      behind += fmt::format("\nshard {} is behind by {}", shard.shard(), Length(shard.lag()));
    }
  }
  std::string text = fmt::format(
      "{} in {}, {}", Counted(records, "record", "records"),
      Counted(static_cast<uint64_t>(status.shards_size()), "shard", "shards"), Size(bytes));
  if (oldest != 0) {
    const std::chrono::system_clock::time_point then{
        std::chrono::milliseconds(Position(oldest).unix_ms())};
    text += fmt::format(", the oldest {}", RelativeTime(then, session.now));
  }
  return text + (behind.empty() ? "; all applied" : behind);
}

std::string RedisState(const v1::RedisStatus& redis) {
  if (redis.version().empty()) {
    return CleanLine(redis.address()) + " does not answer";
  }
  return fmt::format("{}, version {}, {}{}", CleanLine(redis.address()), CleanLine(redis.version()),
                     Size(redis.memory_used()),
                     redis.memory_max() == 0 ? std::string(", no limit")
                                             : fmt::format(" of {}", Size(redis.memory_max())));
}

const char* OutcomeName(v1::RebuildOutcome outcome) {
  switch (outcome) {
    case v1::REBUILD_OUTCOME_REBUILT:
      return "rebuilt";
    case v1::REBUILD_OUTCOME_UNKNOWN_PERSON:
      return "not known here";
    case v1::REBUILD_OUTCOME_PENDING:
      return "goes on";
    default:
      return "unknown";
  }
}

const char* KindName(v1::FindingKind kind) {
  switch (kind) {
    case v1::FINDING_KIND_VIEW_MISSING:
      return "membership missing";
    case v1::FINDING_KIND_VIEW_STRAY:
      return "membership stray";
    case v1::FINDING_KIND_VIEW_DIFFERS:
      return "membership differs";
    case v1::FINDING_KIND_COPY_MISSING:
      return "copy missing";
    case v1::FINDING_KIND_UNREADABLE:
      return "unreadable";
    default:
      return "unknown";
  }
}

// One scrub over one set of persons, page by page.
class Scrubbing {
 public:
  Scrubbing(const Session& session, const std::function<bool(std::string_view)>& print)
      : session_(session), print_(print) {}

  absl::Status Run(v1::ScrubTimelinesRequest request) {
    do {
      auto response =
          session_.client.Call(session_.client.admin(), &Admin::ScrubTimelines, request);
      if (!response.ok()) {
        return response.status();
      }
      for (const v1::Finding& finding : response->findings()) {
        findings_ += 1;
        left_ += finding.repairing() ? 0 : 1;
        wanted_ = wanted_ && print_(session_.format == Format::kJson ? ToJson(finding)
                                                                     : PrintFinding(finding));
      }
      request.set_page_token(response->next_page_token());
    } while (wanted_ && !request.page_token().empty());
    return absl::OkStatus();
  }

  bool wanted() const { return wanted_; }
  AdminResult Result() const {
    if (session_.format == Format::kJson) {
      return {"", left_ == 0};
    }
    return {findings_ == 0 ? std::string("Nothing is wrong.\n")
                           : fmt::format("{}, {} of them being mended.\n",
                                         Counted(findings_, "finding", "findings"),
                                         WithThousands(findings_ - left_)),
            left_ == 0};
  }

 private:
  const Session& session_;
  const std::function<bool(std::string_view)>& print_;
  uint64_t findings_ = 0;
  uint64_t left_ = 0;  // and not being mended
  bool wanted_ = true;
};

}  // namespace

std::string PrintStatus(const v1::GetStatusResponse& status, const Session& session) {
  const std::vector<std::vector<std::string>> rows = {
      {"ready", Readiness(status)},
      {"node", fmt::format("{}, version {}, namespace {}", CleanLine(status.node_id()),
                           CleanLine(status.version()), CleanLine(status.namespace_()))},
      {"loaded", Length(status.uptime()) + " ago"},
      {"partitions", fmt::format("{} of {} held, for {} if not renewed", status.partitions_held(),
                                 status.partition_count(), Length(status.lease_left()))},
      {"persons", WithThousands(status.persons())},
      {"groups", WithThousands(status.groups())},
      {"not written yet",
       fmt::format("{}, {}; written whole {} ago",
                   Counted(status.unflushed_entries(), "entry", "entries"),
                   Counted(status.unflushed_memberships(), "membership", "memberships"),
                   Length(status.checkpoint_lag()))},
      {"holes", status.holes() == 0
                    ? std::string("none")
                    : Counted(status.holes(), "timeline", "timelines") + " being rebuilt"},
      {"appends", status.append_queue_age().seconds() == 0 && status.append_queue_age().nanos() == 0
                      ? std::string("none waits")
                      : "the oldest waits for " + Length(status.append_queue_age())},
      {"calls", fmt::format("{}, of them {} of {}", WithThousands(status.calls()),
                            Counted(status.watches(), "watch", "watches"),
                            Counted(status.watched_persons(), "person", "persons"))},
      {"log", LogState(status, session)},
      {"redis", RedisState(status.redis())}};
  return RenderTable({{"FIELD"}, {"VALUE"}}, rows, session.screen);
}

std::string PrintFinding(const v1::Finding& finding) {
  std::string text = fmt::format("{}:", KindName(finding.kind()));
  if (!finding.person().empty()) {
    text += fmt::format(" person {}", CleanLine(finding.person()));
  }
  if (!finding.group().empty()) {
    text += fmt::format(" group {}", CleanLine(finding.group()));
  }
  if (finding.update_id() != 0) {
    text += fmt::format(" update {}", finding.update_id());
  }
  if (!finding.key().empty()) {
    text += fmt::format(" key {}", CleanLine(finding.key()));
  }
  return text + (finding.in_memory() ? ", in memory too" : "") +
         (finding.repairing() ? ", being mended" : "") + "\n";
}

absl::StatusOr<AdminResult> Status(const Session& session) {
  KLATCH_ASSIGN_OR_RETURN(const v1::GetStatusResponse status,
                          session.client.Call(session.client.admin(), &Admin::GetStatus,
                                              AdminRequest<v1::GetStatusRequest>(session)));
  return AdminResult{
      session.format == Format::kJson ? ToJson(status) : PrintStatus(status, session),
      status.reasons().empty()};
}

absl::StatusOr<AdminResult> Rebuild(const Session& session,
                                    const std::vector<std::string>& persons) {
  v1::RebuildTimelinesResponse all;
  for (size_t first = 0; first < persons.size(); first += limits::kRebuildPersonsMax) {
    const size_t last = std::min(first + limits::kRebuildPersonsMax, persons.size());
    auto request = AdminRequest<v1::RebuildTimelinesRequest>(session);
    for (size_t i = first; i < last; ++i) {
      request.add_persons(persons[i]);
    }
    KLATCH_ASSIGN_OR_RETURN(
        const v1::RebuildTimelinesResponse response,
        session.client.Call(session.client.admin(), &Admin::RebuildTimelines, request));
    all.MergeFrom(response);
  }
  AdminResult result;
  std::vector<std::vector<std::string>> rows;
  for (const v1::RebuildResult& one : all.results()) {
    rows.push_back({CleanLine(one.person()), OutcomeName(one.outcome())});
    result.is_well = result.is_well && one.outcome() == v1::REBUILD_OUTCOME_REBUILT;
  }
  result.text = session.format == Format::kJson
                    ? ToJson(all)
                    : RenderTable({{"PERSON"}, {"TIMELINE"}}, rows, session.screen);
  return result;
}

absl::StatusOr<AdminResult> Scrub(const Session& session, const ScrubOptions& options,
                                  const std::function<bool(std::string_view)>& print) {
  Scrubbing scrubbing(session, print);
  auto request = AdminRequest<v1::ScrubTimelinesRequest>(session);
  request.set_repair(options.repair);
  for (size_t first = 0; first < options.persons.size(); first += limits::kScrubPersonsMax) {
    const size_t last = std::min(first + limits::kScrubPersonsMax, options.persons.size());
    request.clear_persons();
    for (size_t i = first; i < last; ++i) {
      request.add_persons(options.persons[i]);
    }
    KLATCH_RETURN_IF_ERROR(scrubbing.Run(request));
  }
  if (!options.persons.empty()) {
    return scrubbing.Result();
  }
  KLATCH_ASSIGN_OR_RETURN(const v1::GetStatusResponse status,
                          session.client.Call(session.client.admin(), &Admin::GetStatus,
                                              AdminRequest<v1::GetStatusRequest>(session)));
  const uint32_t only = static_cast<uint32_t>(std::max(options.partition, 0));
  const uint32_t first = options.partition < 0 ? 0 : only;
  const uint32_t last = options.partition < 0 ? status.partition_count() : only + 1;
  // Of everybody: who is missing in a list is found by the groups.
  request.set_own_lists(options.partition < 0);
  for (uint32_t partition = first; partition < last && scrubbing.wanted(); ++partition) {
    request.set_partition(partition);
    KLATCH_RETURN_IF_ERROR(scrubbing.Run(request));
  }
  if (options.partition < 0) {
    request.clear_partition();
    request.set_own_lists(false);
    for (int shard = 0; shard < status.shards_size() && scrubbing.wanted(); ++shard) {
      request.set_members_of_shard(static_cast<uint32_t>(shard));
      KLATCH_RETURN_IF_ERROR(scrubbing.Run(request));
    }
  }
  return scrubbing.Result();
}

}  // namespace klatch::cli
