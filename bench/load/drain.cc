#include "bench/load/drain.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <thread>

#include "bench/load/retry.h"
#include "common/base/endpoint.h"
#include "services/model/limits.h"

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kPollInterval{20};

// The value at the end of one line of the exposition, if the line is about `name`.
std::optional<double> ValueOfLine(std::string_view line, std::string_view name) {
  if (line.substr(0, name.size()) != name || line.size() == name.size()) {
    return std::nullopt;
  }
  size_t value_begin = name.size();
  if (line[value_begin] == '{') {
    value_begin = line.rfind('}');
    if (value_begin == std::string_view::npos) {
      return std::nullopt;
    }
    ++value_begin;
  }
  if (value_begin >= line.size() || line[value_begin] != ' ') {
    return std::nullopt;
  }
  std::string_view text = line.substr(value_begin + 1);
  double value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<double> MetricValue(std::string_view exposition, std::string_view name) {
  std::optional<double> sum;
  while (!exposition.empty()) {
    size_t end = std::min(exposition.find('\n'), exposition.size());
    if (auto value = ValueOfLine(exposition.substr(0, end), name); value.has_value()) {
      sum = sum.value_or(0) + *value;
    }
    exposition.remove_prefix(std::min(end + 1, exposition.size()));
  }
  return sum;
}

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
  KLATCH_ASSIGN_OR_RETURN(base::Endpoint endpoint, base::Endpoint::Parse(metrics));
  httplib::Client client(endpoint.host, endpoint.port);
  client.set_keep_alive(true);
  client.set_connection_timeout(std::chrono::seconds(1));
  client.set_read_timeout(std::chrono::seconds(5));
  auto end = std::chrono::steady_clock::now() + timeout;
  absl::Status last = base::Error(absl::StatusCode::kUnavailable, metrics + " does not answer");
  while (!state.MustStop() && std::chrono::steady_clock::now() < end) {
    httplib::Result result = client.Get("/metrics");
    if (result && result->status == 200) {
      auto entries = MetricValue(result->body, "klatch_unflushed_entries");
      auto memberships = MetricValue(result->body, "klatch_unflushed_memberships");
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
