#pragma once
// What a FakeRedis stores: plain values. A copy is a snapshot; assigning one restores it.
//
// Everything is kept in the order of its bytes, so that the same commands always yield the same
// replies. Unlike in Redis, the fields of a small hash have no order of their own.
//
// Thread safety: none; values without hidden sharing.

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace klatch::sim {

// The id of a stream's entry.
struct StreamId {
  uint64_t ms = 0;
  uint64_t sequence = 0;

  auto operator<=>(const StreamId&) const = default;
  std::string ToString() const;
};

struct Stream {
  // Field, value, field, value…
  using Fields = std::vector<std::string>;

  bool operator==(const Stream&) const = default;

  std::map<StreamId, Fields> entries;
  StreamId last_id;
  StreamId max_deleted_id;
  uint64_t entries_added = 0;
};

using Hash = std::map<std::string, std::string>;
using MemberSet = std::set<std::string>;

// Members and their scores, by either.
class SortedSet {
 public:
  using ByScore = std::set<std::pair<double, std::string>>;

  bool operator==(const SortedSet&) const = default;

  // True if the member is new.
  bool Put(const std::string& member, double score);
  bool Remove(const std::string& member);
  std::optional<double> ScoreOf(const std::string& member) const;
  size_t size() const { return scores_.size(); }
  bool empty() const { return scores_.empty(); }
  const ByScore& by_score() const { return by_score_; }

 private:
  std::map<std::string, double> scores_;
  ByScore by_score_;
};

struct Entry {
  using Value = std::variant<std::string, Hash, MemberSet, SortedSet, Stream>;

  bool operator==(const Entry&) const = default;
  // As TYPE names it.
  std::string_view type() const;

  Value value;
  // When it goes, in ms since 1970; nothing: never.
  std::optional<int64_t> expires_ms;
};

using Data = std::map<std::string, Entry>;

}  // namespace klatch::sim
