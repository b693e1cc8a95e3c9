// Pages of sets and hashes.

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "tests/sim/fake_redis_commands.h"

namespace klatch::sim {
namespace {

constexpr int64_t kCountByDefault = 10;
constexpr uint64_t kPlaceMask = (uint64_t{1} << 48) - 1;

// Where a name stands in a scan, whatever else is there: never 0.
uint64_t PlaceOf(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return std::max<uint64_t>((hash ^ (hash >> 32)) & kPlaceMask, 1);
}

std::optional<size_t> ReadCount(Call& call) {
  int64_t count = kCountByDefault;
  for (size_t i = 3; i < call.args.size(); i += 2) {
    if (!call.Is(i, "COUNT") || i + 1 == call.args.size()) {
      call.out.Error(kSyntaxError);
      return std::nullopt;
    }
    const std::optional<int64_t> given = call.Integer(i + 1);
    if (!given) {
      return std::nullopt;
    }
    if (*given < 1) {
      call.out.Error(kSyntaxError);
      return std::nullopt;
    }
    count = *given;
  }
  return static_cast<size_t>(count);
}

}  // namespace

// As Redis reads them: "" is 0.
std::optional<uint64_t> ScanCursor(Call& call) {
  const std::string& text = call.arg(2);
  char* end = nullptr;
  errno = 0;
  const uint64_t cursor = std::strtoull(text.c_str(), &end, 10);
  if ((!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) ||
      *end != '\0' || errno == ERANGE) {
    call.out.Error("ERR invalid cursor");
    return std::nullopt;
  }
  return cursor;
}

void AnswerEmptyScan(Call& call) {
  call.out.Array(2);
  call.out.Bulk("0");
  call.out.Array(0);
}

// Names at the same place stay on one page: a cursor can't stand between them.
std::optional<ScanPage> Scan(Call& call, uint64_t cursor,
                             const std::vector<std::string_view>& names) {
  const std::optional<size_t> count = ReadCount(call);
  if (!count) {
    return std::nullopt;
  }
  std::vector<std::pair<uint64_t, std::string_view>> left;
  for (const std::string_view name : names) {
    const uint64_t place = PlaceOf(name);
    if (place >= cursor) {
      left.emplace_back(place, name);
    }
  }
  std::ranges::sort(left);
  ScanPage page;
  size_t i = 0;
  while (i < left.size() && (i < *count || left[i].first == left[i - 1].first)) {
    page.names.push_back(left[i++].second);
  }
  page.next = i < left.size() ? left[i].first : 0;
  return page;
}

}  // namespace klatch::sim
