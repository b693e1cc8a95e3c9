#include "tests/sim/fake_data.h"

#include <fmt/format.h>

#include <array>

namespace klatch::sim {

std::string StreamId::ToString() const { return fmt::format("{}-{}", ms, sequence); }

bool SortedSet::Put(const std::string& member, double score) {
  const auto [found, is_new] = scores_.try_emplace(member, score);
  if (!is_new && found->second == score) {
    return false;
  }
  if (!is_new) {
    by_score_.erase({found->second, member});
    found->second = score;
  }
  by_score_.emplace(score, member);
  return is_new;
}

bool SortedSet::Remove(const std::string& member) {
  const auto found = scores_.find(member);
  if (found == scores_.end()) {
    return false;
  }
  by_score_.erase({found->second, member});
  scores_.erase(found);
  return true;
}

std::optional<double> SortedSet::ScoreOf(const std::string& member) const {
  const auto found = scores_.find(member);
  return found != scores_.end() ? std::optional(found->second) : std::nullopt;
}

std::string_view Entry::type() const {
  static constexpr std::array<std::string_view, std::variant_size_v<Value>> kTypes = {
      "string", "hash", "set", "zset", "stream"};
  return kTypes[value.index()];
}

}  // namespace klatch::sim
