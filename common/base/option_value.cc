#include "common/base/option_value.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "common/base/utf8.h"

namespace klatch::base {
namespace {

using std::chrono::milliseconds;

constexpr size_t kQuotedBytesMax = 80;

struct Unit {
  std::string_view name;
  int64_t factor;
};

// From the largest that a value is printed in; those after the blank line are read only.
constexpr std::array<Unit, 10> kByteUnits = {{{"TiB", int64_t{1} << 40},
                                              {"GiB", int64_t{1} << 30},
                                              {"MiB", int64_t{1} << 20},
                                              {"KiB", int64_t{1} << 10},
                                              {"B", 1},

                                              {"TB", 1'000'000'000'000},
                                              {"GB", 1'000'000'000},
                                              {"MB", 1'000'000},
                                              {"KB", 1'000},
                                              {"kB", 1'000}}};
constexpr size_t kPrintedByteUnits = 5;
constexpr std::array<Unit, 4> kDurationUnits = {
    {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

constexpr std::string_view kBytesWanted =
    "wants a number with its unit, such as 64KiB, 512MiB or 4GiB (B, KiB, MiB, GiB, TiB, KB, MB, "
    "GB, TB)";
constexpr std::string_view kDurationWanted =
    "wants a number with its unit, such as 250ms, 3s, 10m or 24h";

absl::Status InvalidValue(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, message);
}

absl::StatusOr<int64_t> ParseWithUnit(std::string_view text, std::span<const Unit> units,
                                      std::string_view wanted) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0) {
    return InvalidValue(wanted);
  }
  const auto unit = std::ranges::find(units, text.substr(digits), &Unit::name);
  if (unit == units.end()) {
    return InvalidValue(wanted);
  }
  int64_t number = 0;
  int64_t product = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + digits, number);
  if (parsed.ec != std::errc() || __builtin_mul_overflow(number, unit->factor, &product)) {
    return InvalidValue("is more than 64 bits hold");
  }
  return product;
}

std::string PrintWithUnit(int64_t value, std::span<const Unit> units, std::string_view smallest) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) {
      return fmt::format("{}{}", value / unit.factor, unit.name);
    }
  }
  return fmt::format("{}{}", value, smallest);
}

// For a number whose text was understood: within [min, max]?
absl::Status CheckRange(int64_t value, int64_t min, int64_t max, const std::string& range) {
  if (value < min || value > max) {
    return InvalidValue(fmt::format("wants {}", range));
  }
  return absl::OkStatus();
}

absl::Status CheckText(std::string_view text) {
  if (text.size() > kOptionTextBytesMax) {
    return InvalidValue(fmt::format("has {} bytes; at most {}", text.size(), kOptionTextBytesMax));
  }
  const bool has_control = std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; });
  if (has_control || !IsValidUtf8(text)) {
    return InvalidValue("wants UTF-8 without control characters");
  }
  return absl::OkStatus();
}

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> items;
  size_t start = 0;
  while (true) {
    const size_t comma = text.find(',', start);
    items.emplace_back(text.substr(start, comma - start));
    if (comma == std::string_view::npos) {
      return items;
    }
    start = comma + 1;
  }
}

absl::Status CheckItems(const std::vector<std::string>& items, size_t count_max,
                        const TextCheck& check_item) {
  if (items.size() > count_max) {
    return InvalidValue(fmt::format("names {}; at most {}", items.size(), count_max));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].empty()) {
      return InvalidValue("has an empty name between commas");
    }
    if (std::find(items.begin(), items.begin() + static_cast<ptrdiff_t>(i), items[i]) !=
        items.begin() + static_cast<ptrdiff_t>(i)) {
      return InvalidValue(fmt::format("names {} twice", QuoteForMessage(items[i])));
    }
    if (check_item) {
      KLATCH_RETURN_IF_ERROR(Annotate(check_item(items[i]), QuoteForMessage(items[i])));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> ParseBytes(std::string_view text) {
  return ParseWithUnit(text, kByteUnits, kBytesWanted);
}

std::string PrintBytes(int64_t bytes) {
  return PrintWithUnit(bytes, std::span(kByteUnits).first(kPrintedByteUnits), "B");
}

absl::StatusOr<milliseconds> ParseDuration(std::string_view text) {
  KLATCH_ASSIGN_OR_RETURN(const int64_t count,
                          ParseWithUnit(text, kDurationUnits, kDurationWanted));
  return milliseconds(count);
}

std::string PrintDuration(milliseconds duration) {
  return PrintWithUnit(duration.count(), kDurationUnits, "s");
}

absl::StatusOr<int64_t> ParseCount(std::string_view text) {
  int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec == std::errc::result_out_of_range) {
    return InvalidValue("is more than 64 bits hold");
  }
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return InvalidValue("wants a whole number");
  }
  return number;
}

std::string QuoteForMessage(std::string_view text) {
  const bool cut = text.size() > kQuotedBytesMax;
  std::string quoted = "\"";
  std::string_view rest = text.substr(0, kQuotedBytesMax);
  while (!rest.empty()) {
    std::string_view valid = Utf8Prefix(rest, rest.size());
    for (char c : valid) {
      const bool control = static_cast<unsigned char>(c) < 0x20 || c == '\x7f';
      if (c == '"' || c == '\\') {
        quoted.push_back('\\');
      }
      quoted +=
          control ? fmt::format("\\x{:02x}", static_cast<unsigned char>(c)) : std::string(1, c);
    }
    rest.remove_prefix(valid.size());
    if (!rest.empty()) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest.front()));
      rest.remove_prefix(1);
    }
  }
  return quoted + (cut ? "…\"" : "\"");
}

OptionValue Text(std::string* field, TextCheck check) {
  auto read = [field, check = std::move(check)](std::string_view text) {
    KLATCH_RETURN_IF_ERROR(CheckText(text));
    if (check) {
      KLATCH_RETURN_IF_ERROR(check(text));
    }
    *field = text;
    return absl::OkStatus();
  };
  return {OptionKind::kText, read, [field] { return *field; }, ""};
}

OptionValue Flag(bool* field) {
  auto read = [field](std::string_view text) {
    const bool on = text == "true" || text == "1" || text == "yes" || text == "on";
    const bool off = text == "false" || text == "0" || text == "no" || text == "off";
    if (!on && !off) {
      return InvalidValue("wants true or false");
    }
    *field = on;
    return absl::OkStatus();
  };
  return {OptionKind::kFlag, read, [field] { return *field ? "true" : "false"; }, ""};
}

OptionValue Bytes(int64_t* field, int64_t min, int64_t max) {
  std::string range = fmt::format("{}..{}", PrintBytes(min), PrintBytes(max));
  auto read = [=](std::string_view text) {
    KLATCH_ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(text));
    KLATCH_RETURN_IF_ERROR(CheckRange(bytes, min, max, range));
    *field = bytes;
    return absl::OkStatus();
  };
  return {OptionKind::kBytes, read, [field] { return PrintBytes(*field); }, range};
}

OptionValue Duration(milliseconds* field, milliseconds min, milliseconds max) {
  std::string range = fmt::format("{}..{}", PrintDuration(min), PrintDuration(max));
  auto read = [=](std::string_view text) {
    KLATCH_ASSIGN_OR_RETURN(const milliseconds duration, ParseDuration(text));
    KLATCH_RETURN_IF_ERROR(CheckRange(duration.count(), min.count(), max.count(), range));
    *field = duration;
    return absl::OkStatus();
  };
  return {OptionKind::kDuration, read, [field] { return PrintDuration(*field); }, range};
}

OptionValue List(std::vector<std::string>* field, size_t count_max, TextCheck check_item) {
  auto read = [field, count_max, check_item = std::move(check_item)](std::string_view text) {
    KLATCH_RETURN_IF_ERROR(CheckText(text));
    std::vector<std::string> items;
    if (!text.empty()) {
      items = SplitAtCommas(text);
    }
    KLATCH_RETURN_IF_ERROR(CheckItems(items, count_max, check_item));
    *field = std::move(items);
    return absl::OkStatus();
  };
  auto print = [field] { return fmt::format("{}", fmt::join(*field, ",")); };
  return {OptionKind::kList, read, print, fmt::format("at most {}", count_max)};
}

namespace internal {

OptionValue CountValue(std::function<void(int64_t)> set, std::function<int64_t()> get, int64_t min,
                       int64_t max) {
  std::string range = fmt::format("{}..{}", min, max);
  auto read = [=](std::string_view text) {
    KLATCH_ASSIGN_OR_RETURN(const int64_t number, ParseCount(text));
    KLATCH_RETURN_IF_ERROR(CheckRange(number, min, max, range));
    set(number);
    return absl::OkStatus();
  };
  return {OptionKind::kCount, read, [get] { return std::to_string(get()); }, range};
}

OptionValue ChoiceValue(std::vector<std::string> names, std::function<void(size_t)> set,
                        std::function<size_t()> get) {
  std::string range = fmt::format("{}", fmt::join(names, "|"));
  auto read = [=](std::string_view text) {
    const auto name = std::ranges::find(names, text);
    if (name == names.end()) {
      return InvalidValue(fmt::format("wants {}", fmt::join(names, ", ")));
    }
    set(static_cast<size_t>(name - names.begin()));
    return absl::OkStatus();
  };
  return {OptionKind::kChoice, read, [=] { return names[get()]; }, range};
}

}  // namespace internal
}  // namespace klatch::base
