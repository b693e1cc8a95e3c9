// Sets and sorted sets.

#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "tests/sim/fake_redis_commands.h"

namespace klatch::sim::commands {
namespace {

bool Contains(const MemberSet* set, const std::string& member) {
  return set != nullptr && set->contains(member);
}

// The whole text as strtod reads it; not a NaN.
std::optional<double> ParseDouble(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const double number = std::strtod(text.c_str(), &end);
  const bool is_whole = end == text.c_str() + text.size();
  return is_whole && !std::isnan(number) ? std::optional(number) : std::nullopt;
}

// A score is never empty, has no space in front and doesn't overflow.
std::optional<double> ParseScore(const std::string& text) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    return std::nullopt;
  }
  const std::optional<double> score = ParseDouble(text);
  const bool is_out_of_range =
      errno == ERANGE && score && (std::isinf(*score) || std::fpclassify(*score) == FP_ZERO);
  return is_out_of_range ? std::nullopt : score;
}

// An end of a range of scores.
struct Bound {
  double score = 0;
  bool is_exclusive = false;
};

std::optional<Bound> ParseBound(const std::string& text) {
  const bool is_exclusive = text.starts_with('(');
  const std::optional<double> score = ParseDouble(is_exclusive ? text.substr(1) : text);
  return score ? std::optional(Bound{*score, is_exclusive}) : std::nullopt;
}

struct ScoreRange {
  Bound first;
  Bound last;
  bool with_scores = false;
  int64_t offset = 0;
  // Below zero: all.
  int64_t count = -1;

  bool IsBefore(double score) const {
    return score < first.score || (first.is_exclusive && score == first.score);
  }
  bool IsBehind(double score) const {
    return score > last.score || (last.is_exclusive && score == last.score);
  }
};

std::optional<ScoreRange> ReadScoreRange(Call& call) {
  ScoreRange range;
  for (size_t i = 4; i < call.args.size(); ++i) {
    if (call.Is(i, "WITHSCORES")) {
      range.with_scores = true;
    } else if (call.Is(i, "LIMIT") && i + 2 < call.args.size()) {
      const std::optional<int64_t> offset = call.Integer(i + 1);
      const std::optional<int64_t> count = offset ? call.Integer(i + 2) : std::nullopt;
      if (!count) {
        return std::nullopt;
      }
      range.offset = *offset;
      range.count = *count;
      i += 2;
    } else {
      call.out.Error(kSyntaxError);
      return std::nullopt;
    }
  }
  const std::optional<Bound> first = ParseBound(call.arg(2));
  const std::optional<Bound> last = ParseBound(call.arg(3));
  if (!first || !last) {
    call.out.Error("ERR min or max is not a float");
    return std::nullopt;
  }
  range.first = *first;
  range.last = *last;
  return range;
}

}  // namespace

void SAdd(Call& call) {
  const auto found = call.Find<MemberSet>(call.key());
  if (!found.is_right) {
    return;
  }
  MemberSet& set = call.Make(found);
  int64_t added = 0;
  for (size_t i = 2; i < call.args.size(); ++i) {
    added += set.insert(call.arg(i)).second ? 1 : 0;
  }
  if (added > 0) {
    call.keys.Touch(call.key());
  }
  call.out.Integer(added);
}

void SRem(Call& call) {
  const auto found = call.Find<MemberSet>(call.key());
  if (!found.is_right) {
    return;
  }
  int64_t removed = 0;
  for (size_t i = 2; found.value != nullptr && i < call.args.size(); ++i) {
    removed += static_cast<int64_t>(found.value->erase(call.arg(i)));
  }
  call.Removed(found, removed);
}

void SIsMember(Call& call) {
  const auto found = call.Find<MemberSet>(call.key());
  if (found.is_right) {
    call.out.Integer(Contains(found.value, call.arg(2)) ? 1 : 0);
  }
}

void SMIsMember(Call& call) {
  const auto found = call.Find<MemberSet>(call.key());
  if (!found.is_right) {
    return;
  }
  call.out.Array(call.args.size() - 2);
  for (size_t i = 2; i < call.args.size(); ++i) {
    call.out.Integer(Contains(found.value, call.arg(i)) ? 1 : 0);
  }
}

void SCard(Call& call) {
  const auto found = call.Find<MemberSet>(call.key());
  if (found.is_right) {
    call.out.Integer(found.value != nullptr ? static_cast<int64_t>(found.value->size()) : 0);
  }
}

void SMembers(Call& call) {
  const auto found = call.Find<MemberSet>(call.key());
  if (!found.is_right) {
    return;
  }
  call.out.Array(found.value != nullptr ? found.value->size() : 0);
  if (found.value != nullptr) {
    for (const std::string& member : *found.value) {
      call.out.Bulk(member);
    }
  }
}

void SScan(Call& call) {
  const std::optional<uint64_t> cursor = ScanCursor(call);
  if (!cursor) {
    return;
  }
  const auto found = call.Find<MemberSet>(call.key());
  if (found.value == nullptr) {
    if (found.is_right) {
      AnswerEmptyScan(call);
    }
    return;
  }
  const std::vector<std::string_view> names(found.value->begin(), found.value->end());
  const std::optional<ScanPage> page = Scan(call, *cursor, names);
  if (!page) {
    return;
  }
  call.out.Array(2);
  call.out.Bulk(std::to_string(page->next));
  call.out.Array(page->names.size());
  for (const std::string_view name : page->names) {
    call.out.Bulk(name);
  }
}

void ZAdd(Call& call) {
  if (call.args.size() % 2 != 0) {
    call.out.Error(kSyntaxError);
    return;
  }
  std::vector<double> scores;
  for (size_t i = 2; i < call.args.size(); i += 2) {
    const std::optional<double> score = ParseScore(call.arg(i));
    if (!score) {
      call.out.Error("ERR value is not a valid float");
      return;
    }
    scores.push_back(*score);
  }
  const auto found = call.Find<SortedSet>(call.key());
  if (!found.is_right) {
    return;
  }
  SortedSet& set = call.Make(found);
  int64_t added = 0;
  bool has_changed = false;
  for (size_t i = 0; i < scores.size(); ++i) {
    const std::string& member = call.arg(2 * i + 3);
    has_changed = has_changed || set.ScoreOf(member) != scores[i];
    added += set.Put(member, scores[i]) ? 1 : 0;
  }
  if (has_changed) {
    call.keys.Touch(call.key());
  }
  call.out.Integer(added);
}

void ZRem(Call& call) {
  const auto found = call.Find<SortedSet>(call.key());
  if (!found.is_right) {
    return;
  }
  int64_t removed = 0;
  for (size_t i = 2; found.value != nullptr && i < call.args.size(); ++i) {
    removed += found.value->Remove(call.arg(i)) ? 1 : 0;
  }
  call.Removed(found, removed);
}

void ZCard(Call& call) {
  const auto found = call.Find<SortedSet>(call.key());
  if (found.is_right) {
    call.out.Integer(found.value != nullptr ? static_cast<int64_t>(found.value->size()) : 0);
  }
}

void ZScore(Call& call) {
  const auto found = call.Find<SortedSet>(call.key());
  if (!found.is_right) {
    return;
  }
  const std::optional<double> score =
      found.value != nullptr ? found.value->ScoreOf(call.arg(2)) : std::nullopt;
  if (score) {
    call.out.Double(*score);
  } else {
    call.out.Nil();
  }
}

void ZRangeByScore(Call& call) {
  const std::optional<ScoreRange> range = ReadScoreRange(call);
  if (!range) {
    return;
  }
  const auto found = call.Find<SortedSet>(call.key());
  if (!found.is_right) {
    return;
  }
  std::vector<std::pair<double, std::string_view>> members;
  if (found.value != nullptr && range->offset >= 0) {
    int64_t skipped = 0;
    const SortedSet::ByScore& all = found.value->by_score();
    for (auto it = all.lower_bound({range->first.score, std::string()}); it != all.end(); ++it) {
      if (range->IsBehind(it->first) || static_cast<int64_t>(members.size()) == range->count) {
        break;
      }
      if (!range->IsBefore(it->first) && skipped++ >= range->offset) {
        members.emplace_back(it->first, it->second);
      }
    }
  }
  call.out.Array(range->with_scores ? 2 * members.size() : members.size());
  for (const auto& [score, member] : members) {
    call.out.Bulk(member);
    if (range->with_scores) {
      call.out.Double(score);
    }
  }
}

}  // namespace klatch::sim::commands
