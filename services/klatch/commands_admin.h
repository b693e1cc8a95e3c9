#pragma once
// `klatch admin status`, `rebuild` and `scrub`: what an operator asks of a node.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "klatch/v1/admin_service.pb.h"
#include "services/klatch/session.h"

namespace klatch::cli {

// What is asked for, and whether all is well: the node is ready, everything is rebuilt, what was
// found is being mended.
struct AdminResult {
  std::string text;
  bool is_well = true;
};

absl::StatusOr<AdminResult> Status(const Session& session);
// Any number of persons, in calls of at most limits::kRebuildPersonsMax.
absl::StatusOr<AdminResult> Rebuild(const Session& session,
                                    const std::vector<std::string>& persons);

struct ScrubOptions {
  std::vector<std::string> persons;
  // Without persons: this partition, or all of them if below 0.
  int partition = -1;
  bool repair = false;
};
// Findings go to `print` as they come, so that any number takes no memory; it says whether more is
// wanted. The result is the summary.
absl::StatusOr<AdminResult> Scrub(const Session& session, const ScrubOptions& options,
                                  const std::function<bool(std::string_view)>& print);

std::string PrintStatus(const v1::GetStatusResponse& status, const Session& session);
// One line.
std::string PrintFinding(const v1::Finding& finding);

}  // namespace klatch::cli
