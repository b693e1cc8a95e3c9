// klatchd's flags and variables, and the addresses in them. Not its file: what toml++ does with one that is no TOML is
// undefined here and there (3.0), and whoever writes it runs klatchd.

#include <vector>

#include "common/base/endpoint.h"
#include "common/base/option_value.h"
#include "common/base/options.h"
#include "common/redis/place.h"
#include "services/klatchd/options.h"
#include "tests/fuzz/fuzz_input.h"

namespace klatch {
namespace {

using fuzz::Require;

void Resolve(const std::vector<std::string>& arguments, const base::Environment& environment) {
  KlatchdOptions options;
  base::OptionTable table = MakeKlatchdOptionTable(options, "0");
  const auto resolved = table.Resolve(arguments, environment);
  if (resolved.ok()) {
    static_cast<void>(Validate(options));
  } else {
    Require(!base::MessageOf(resolved.status()).empty(), "a refusal says why");
  }
}

void Parse(std::string_view text) {
  static_cast<void>(base::Endpoint::Parse(text));
  static_cast<void>(base::ParseBytes(text));
  static_cast<void>(base::ParseDuration(text));
  static_cast<void>(base::ParseCount(text));
  static_cast<void>(redis::Place::Redacted(text));
  if (const auto place = redis::Place::Parse(text); place.ok()) {
    redis::Place other = *place;
    other.address.password += "x";
    Require(place->ToString() == other.ToString(), "what is told of an address has no password");
  }
}

}  // namespace
}  // namespace klatch

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  klatch::fuzz::Input input(data, size);
  switch (input.Choose(3)) {
    case 0: {
      std::vector<std::string> arguments;
      while (!input.rest().empty()) {
        arguments.emplace_back(input.Line());
      }
      klatch::Resolve(arguments, {});
      break;
    }
    case 1: {
      klatch::base::Environment environment;
      while (!input.rest().empty()) {
        const std::string name = "KLATCH_" + std::string(input.Line());
        environment[name] = std::string(input.Line());
      }
      klatch::Resolve({}, environment);
      break;
    }
    default:
      klatch::Parse(input.rest());
  }
  return 0;
}
