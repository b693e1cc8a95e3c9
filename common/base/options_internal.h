#pragma once
// What the sources of options.h share. Not for others.

#include <string>
#include <vector>

#include "common/base/options.h"

namespace klatch::base {

struct OptionTable::Arguments {
  ResolvedOptions::Action action = ResolvedOptions::Action::kRun;
  std::vector<Given> flags;
  std::vector<std::string> positionals;
};

inline absl::Status InvalidOption(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, message);
}

}  // namespace klatch::base
