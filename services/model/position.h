#pragma once
// Positions: where a record stands in its shard's log, and, for a publish, the update's id.
//
//   63  62                    22 21         12 11        0
//   +--+------------------------+-------------+-----------+
//   | 0| milliseconds since 2024| shard       | sequence  |
//   +--+------------------------+-------------+-----------+
//
// In the stream of the shard the same position is the entry id "<milliseconds>-<sequence>".
// Positions of one shard never go back. Positions of different shards do not compare, except that
// ids sort timelines by time.

#include <charconv>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "services/model/ids.h"

namespace klatch {

constexpr int kSequenceBits = 12;
constexpr int kShardBits = 10;
constexpr uint32_t kShardCountMax = 1u << kShardBits;
// 2024-01-01T00:00:00Z in milliseconds since 1970.
constexpr int64_t kEpochUnixMs = 1704067200000;

class Position {
 public:
  constexpr Position() = default;
  constexpr explicit Position(uint64_t value) : value_(value) {}
  constexpr Position(uint64_t ms, ShardIndex shard, uint32_t sequence)
      : value_(ms << (kShardBits + kSequenceBits) |
               static_cast<uint64_t>(shard.value()) << kSequenceBits | sequence) {}

  constexpr uint64_t value() const { return value_; }
  constexpr bool is_zero() const { return value_ == 0; }
  // Milliseconds since 2024.
  constexpr uint64_t ms() const { return value_ >> (kShardBits + kSequenceBits); }
  constexpr ShardIndex shard() const {
    return ShardIndex(static_cast<uint32_t>(value_ >> kSequenceBits) & (kShardCountMax - 1));
  }
  constexpr uint32_t sequence() const {
    return static_cast<uint32_t>(value_) & ((1u << kSequenceBits) - 1);
  }
  constexpr int64_t unix_ms() const { return static_cast<int64_t>(ms()) + kEpochUnixMs; }
  constexpr auto operator<=>(const Position&) const = default;

  // "<ms>-<sequence>", the entry id in the stream.
  std::string ToStreamId() const { return std::to_string(ms()) + "-" + std::to_string(sequence()); }
  // Nothing if `id` is not of that form or its numbers don't fit.
  static std::optional<Position> FromStreamId(std::string_view id, ShardIndex shard) {
    uint64_t ms = 0;
    uint32_t sequence = 0;
    const char* end = id.data() + id.size();
    auto first = std::from_chars(id.data(), end, ms);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') {
      return std::nullopt;
    }
    auto second = std::from_chars(first.ptr + 1, end, sequence);
    if (second.ec != std::errc() || second.ptr != end || ms >> 41 != 0 ||
        sequence >> kSequenceBits != 0) {
      return std::nullopt;
    }
    return Position(ms, shard, sequence);
  }

 private:
  uint64_t value_ = 0;
};

// The position of the publish.
using UpdateId = Position;

struct Token {
  ShardIndex shard;
  Position position;
};

}  // namespace klatch
