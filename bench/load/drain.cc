#include "bench/load/drain.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <thread>

#include "bench/load/calls/retry.h"
#include "bench/load/scrape.h"
#include "services/model/limits.h"

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kPollInterval{20};

}  // namespace

absl::Status WaitApplied(Client& client, const std::string& reader, RunState& state,
                         std::chrono::milliseconds timeout) {
  std::vector<klatch::v1::Token> tokens = state.watermarks.Tokens();
  auto end = std::chrono::steady_clock::now() + timeout;
  for (size_t begin = 0; begin < tokens.size();) {
    size_t count = std::min(limits::kTokensMax, tokens.size() - begin);
    TimelineRead read = client.ReadHome(reader, std::span(tokens).subspan(begin, count),
                                        {.page_size = 1, .pages_max = 1});
    if (read.ok()) {
      begin += count;
    } else if (!MayHelpToRetry(read.status) || state.MustStop() ||
               std::chrono::steady_clock::now() > end) {
      return base::Error(static_cast<absl::StatusCode>(read.status.error_code()),
                         fmt::format("not everything is applied: {}", read.status.error_message()));
    }
  }
  return absl::OkStatus();
}

absl::Status WaitFlushed(const std::string& metrics, RunState& state,
                         std::chrono::milliseconds timeout) {
  KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<Scraper> scraper, Scraper::Make(metrics));
  auto end = std::chrono::steady_clock::now() + timeout;
  absl::Status last = base::Error(absl::StatusCode::kUnavailable, metrics + " does not answer");
  while (!state.MustStop() && std::chrono::steady_clock::now() < end) {
    if (const auto page = scraper->Scrape(); page.has_value()) {
      auto entries = MetricValue(*page, "klatch_unflushed_entries");
      auto memberships = MetricValue(*page, "klatch_unflushed_memberships");
      if (!entries.has_value() || !memberships.has_value()) {
        return base::Error(absl::StatusCode::kUnavailable,
                           metrics + "/metrics says nothing of what is not flushed");
      }
      if (*entries + *memberships == 0) {
        return absl::OkStatus();
      }
      last = base::Error(absl::StatusCode::kDeadlineExceeded,
                         fmt::format("{} entries and {} memberships are not in Redis yet", *entries,
                                     *memberships));
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return last;
}

}  // namespace klatch::load
