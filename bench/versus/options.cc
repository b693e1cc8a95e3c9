#include "bench/versus/options.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/versus/figure.h"
#include "common/base/version.h"

namespace klatch::versus {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""h;

absl::Status CheckKey(std::string_view text) {
  if (FindKey(text) != nullptr) {
    return absl::OkStatus();
  }
  std::vector<std::string> keys;
  for (const KeySpec& spec : AllKeys()) {
    keys.emplace_back(spec.key);
  }
  return base::Error(
      absl::StatusCode::kInvalidArgument,
      fmt::format("is no key; did you mean {}?", base::FindNearestName(text, keys).name));
}

void AddMeasures(base::OptionTable& table, VersusOptions& options) {
  table.Add({.name = "quick",
             .group = "What is measured",
             .description = "Among fewer people, for a few seconds a side: less sure, and done in "
                            "minutes",
             .value = base::Flag(&options.quick),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "only",
             .group = "What is measured",
             .description = "Just these keys of the result; none: all",
             .example = "list_ratio,core_ratio",
             .value = base::List(&options.only, AllKeys().size(), CheckKey),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "timed",
             .group = "What is measured",
             .description =
                 "How long each side of a ratio is timed, in slices that alternate; 0ms: "
                 "60s, with --quick 8s. Less than 60s is too short to be believed",
             .value = base::Duration(&options.timed, 0ms, 1h),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "persons",
             .group = "What is measured",
             .description = "Persons whose timelines are filled and posted to; 0: 100000, with "
                            "--quick 10000",
             .value = base::Count(&options.persons, 0, 10'000'000)});
  table.Add({.name = "seed",
             .group = "What is measured",
             .description = "The same seed plays the same people and posts",
             .value = base::Count(&options.seed, 0, INT64_MAX)});
}

void AddPrograms(base::OptionTable& table, VersusOptions& options) {
  table.Add({.name = "klatchd",
             .group = "Programs",
             .description = "The node to measure; empty: the one beside klatch-load, else in PATH",
             .value = base::Text(&options.klatchd)});
  table.Add({.name = "redis-server",
             .group = "Programs",
             .description = "The Redis of both sides",
             .value = base::Text(&options.redis_server)});
  table.Add({.name = "nats-server",
             .group = "Programs",
             .description = "The peer of live push",
             .value = base::Text(&options.nats_server)});
  table.Add({.name = "work-dir",
             .group = "Programs",
             .description =
                 "A folder for the data and logs of what is started, which stays; empty: "
                 "a temporary one, which goes",
             .value = base::Text(&options.work_dir),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "serve",
             .group = "Programs",
             .description =
                 "Be a peer instead, for another versus: a server of empty calls (empty), "
                 "or of one ready page (page:FILE)",
             .example = "empty",
             .value = base::Text(&options.serve),
             .scope = base::OptionScope::kFlagOnly});
  table.Add({.name = "listen",
             .group = "Programs",
             .description = "Where that peer is served",
             .example = "unix:/tmp/peer.sock",
             .value = base::Text(&options.listen),
             .scope = base::OptionScope::kFlagOnly});
}

}  // namespace

bool VersusOptions::Wants(std::string_view key) const {
  return only.empty() || std::ranges::find(only, key) != only.end();
}

base::OptionTable MakeVersusTable(VersusOptions& options) {
  base::OptionTable table(
      {.name = "klatch-load-versus",
       .version = base::kVersion,
       .usage = "klatch-load versus [options], or klatch-load versus manual",
       .summary = "Measures Klatch and its peers in the same run, on this machine, and prints what "
                  "one is to the other, whatever it is."});
  AddMeasures(table, options);
  AddPrograms(table, options);
  table.Add({.name = "json",
             .group = "Result",
             .description = "Print one JSON object with all keys on the last line",
             .value = base::Flag(&options.json)});
  return table;
}

}  // namespace klatch::versus
