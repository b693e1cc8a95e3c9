#include "services/klatch/text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace klatch::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Rune {
  char32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

// Decodes the first character; a malformed byte is a rune of its own that is not valid.
Rune Decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    return {first, 1, true};
  }
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < bytes) {
    return {};
  }
  char32_t code = first & (0xFF >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return {};
    }
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    return {};
  }
  return {code, bytes, true};
}

struct Range {
  char32_t first;
  char32_t last;
};

template <size_t n>
bool In(const std::array<Range, n>& ranges, char32_t code) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [code](Range r) { return code >= r.first && code <= r.last; });
}

// Marks that take no column of their own: combining, joiners, variation selectors.
constexpr std::array<Range, 8> kZeroWidth = {{{0x300, 0x36F},
                                              {0x483, 0x489},
                                              {0x591, 0x5BD},
                                              {0x64B, 0x65F},
                                              {0x200B, 0x200F},
                                              {0x20D0, 0x20FF},
                                              {0xFE00, 0xFE0F},
                                              {0xE0100, 0xE01EF}}};
constexpr std::array<Range, 9> kDoubleWidth = {{{0x1100, 0x115F},
                                                {0x2E80, 0x303E},
                                                {0x3041, 0xA4CF},
                                                {0xAC00, 0xD7A3},
                                                {0xF900, 0xFAFF},
                                                {0xFE30, 0xFE6F},
                                                {0xFF00, 0xFF60},
                                                {0x1F300, 0x1FAFF},
                                                {0x20000, 0x3FFFD}}};
// C0 and C1 controls, and the characters that turn the direction of what follows.
constexpr std::array<Range, 5> kSteering = {
    {{0x0, 0x1F}, {0x7F, 0x9F}, {0x202A, 0x202E}, {0x2066, 0x2069}, {0x2028, 0x2029}}};

int WidthOf(const Rune& rune) {
  if (!rune.valid) {
    return 1;
  }
  if (In(kZeroWidth, rune.code)) {
    return 0;
  }
  return In(kDoubleWidth, rune.code) ? 2 : 1;
}

// Bytes of the longest prefix that fits into `width` columns; at least one character.
size_t FittingBytes(std::string_view text, int width) {
  size_t bytes = 0;
  int columns = 0;
  while (bytes < text.size()) {
    const Rune rune = Decode(text.substr(bytes));
    columns += WidthOf(rune);
    if (columns > width && bytes > 0) {
      break;
    }
    bytes += rune.bytes;
  }
  return bytes;
}

void WrapParagraph(std::string_view text, int width, std::vector<std::string>& lines) {
  while (DisplayWidth(text) > width) {
    size_t cut = FittingBytes(text, width);
    size_t next = cut;
    const size_t space = text.rfind(' ', cut);
    if (space != std::string_view::npos && space > 0) {
      cut = space;
      next = space + 1;
    }
    lines.emplace_back(text.substr(0, cut));
    text.remove_prefix(next);
  }
  lines.emplace_back(text);
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Rune rune = Decode(text);
    width += WidthOf(rune);
    text.remove_prefix(rune.bytes);
  }
  return width;
}

std::string Clean(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const Rune rune = Decode(text);
    if (rune.valid && rune.code == '\n') {
      clean += '\n';
    } else if (rune.valid && rune.code == '\t') {
      clean += ' ';
    } else if (text.substr(0, 2) == "\r\n") {
      // The line feed follows.
    } else if (!rune.valid || In(kSteering, rune.code)) {
      clean += kReplacement;
    } else {
      clean += text.substr(0, rune.bytes);
    }
    text.remove_prefix(rune.bytes);
  }
  return clean;
}

std::string CleanLine(std::string_view text) {
  std::string clean = Clean(text);
  std::replace(clean.begin(), clean.end(), '\n', ' ');
  return clean;
}

std::vector<std::string> Wrap(std::string_view text, int width) {
  std::vector<std::string> lines;
  while (true) {
    const size_t end = text.find('\n');
    WrapParagraph(text.substr(0, end), width, lines);
    if (end == std::string_view::npos) {
      return lines;
    }
    text.remove_prefix(end + 1);
  }
}

std::string Shorten(std::string_view text, int width) {
  if (DisplayWidth(text) <= width) {
    return std::string(text);
  }
  if (width < 2) {
    return "…";
  }
  std::string shortened(text.substr(0, FittingBytes(text, width - 1)));
  shortened += "…";
  return shortened;
}

std::string RelativeTime(std::chrono::system_clock::time_point then,
                         std::chrono::system_clock::time_point now) {
  using std::chrono::duration_cast;
  const auto age = duration_cast<std::chrono::seconds>(now - then).count();
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 60 * kMinute;
  constexpr int64_t kDay = 24 * kHour;
  if (age < -kMinute || age >= 31 * kDay) {
    return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(then)));
  }
  if (age < 10) {
    return "just now";
  }
  if (age < kMinute) {
    return fmt::format("{} s ago", age);
  }
  if (age < kHour) {
    return fmt::format("{} min ago", age / kMinute);
  }
  if (age < kDay) {
    return fmt::format("{} h ago", age / kHour);
  }
  return age < 2 * kDay ? "1 day ago" : fmt::format("{} days ago", age / kDay);
}

std::string WithThousands(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t i = digits.size(); i > 3;) {
    i -= 3;
    digits.insert(i, 1, ',');
  }
  return digits;
}

std::string Counted(uint64_t number, std::string_view one, std::string_view several) {
  return fmt::format("{} {}", WithThousands(number), number == 1 ? one : several);
}

std::string Nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t best = std::max<size_t>(word.size() / 3, 2) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best && distance < candidate.size()) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace klatch::cli
