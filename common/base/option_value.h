#pragma once
// The kinds of values that an option of a command can have: text, flag, count, bytes, duration,
// choice, list. Each binds a field of a plain struct and knows how to read it from text and to
// print it, with its unit, so that print → read is the identity.
//
// Thread safety: none; options are read before threads start.
// Lifetime: the bound field outlives the value.
// Bounds: a text is at most kOptionTextBytesMax long; numbers fit in 64 bits, else an error.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace klatch::base {

constexpr size_t kOptionTextBytesMax = 4096;

enum class OptionKind { kText, kFlag, kCount, kBytes, kDuration, kChoice, kList };

// What is wrong with a text, in words that read after "<option> is <text>, "; OK if nothing.
using TextCheck = std::function<absl::Status(std::string_view)>;

// A number of bytes: "64KiB", "4GiB", "10MB", "512B". A plain number is an error: the unit is part
// of the value.
absl::StatusOr<int64_t> ParseBytes(std::string_view text);
std::string PrintBytes(int64_t bytes);

// A duration: "250ms", "3s", "10m", "24h".
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);
std::string PrintDuration(std::chrono::milliseconds duration);

// A decimal number with an optional minus.
absl::StatusOr<int64_t> ParseCount(std::string_view text);

// For a message: quoted, on one line, shortened when long.
std::string QuoteForMessage(std::string_view text);

struct OptionValue {
  OptionKind kind = OptionKind::kText;
  // Sets the field, or leaves it and says what is wrong.
  std::function<absl::Status(std::string_view)> read;
  std::function<std::string()> print;
  // For people: "10ms..60s", "debug|info|warn|error"; empty: anything.
  std::string range;
};

OptionValue Text(std::string* field, TextCheck check = nullptr);
OptionValue Flag(bool* field);
OptionValue Bytes(int64_t* field, int64_t min, int64_t max);
OptionValue Duration(std::chrono::milliseconds* field, std::chrono::milliseconds min,
                     std::chrono::milliseconds max);

// Names separated by commas, none empty, none twice, at most count_max.
OptionValue List(std::vector<std::string>* field, size_t count_max, TextCheck check_item = nullptr);

namespace internal {
OptionValue CountValue(std::function<void(int64_t)> set, std::function<int64_t()> get, int64_t min,
                       int64_t max);
OptionValue ChoiceValue(std::vector<std::string> names, std::function<void(size_t)> set,
                        std::function<size_t()> get);
}  // namespace internal

// REQUIRES: [min, max] fits in Integer.
template <std::integral Integer>
OptionValue Count(Integer* field, int64_t min, int64_t max) {
  return internal::CountValue([field](int64_t value) { *field = static_cast<Integer>(value); },
                              [field] { return static_cast<int64_t>(*field); }, min, max);
}

// REQUIRES: the field's value is among `choices`.
template <typename Enum>
OptionValue Choice(Enum* field, std::vector<std::pair<std::string, Enum>> choices) {
  std::vector<std::string> names;
  for (const auto& choice : choices) {
    names.push_back(choice.first);
  }
  auto set = [field, choices](size_t index) { *field = choices[index].second; };
  auto get = [field, choices] {
    size_t index = 0;
    while (index + 1 < choices.size() && choices[index].second != *field) {
      ++index;
    }
    return index;
  };
  return internal::ChoiceValue(std::move(names), set, get);
}

}  // namespace klatch::base
