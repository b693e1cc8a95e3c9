#pragma once
// The nouns of Klatch as types, so that a person is never passed for a group nor a shard for a
// partition. Ids from outside are opaque UTF-8 of 1 to 128 bytes; they are checked once, where they
// come in (accept/validate.h), and trusted from there.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace klatch {

template <typename Tag>
class StringId {
 public:
  StringId() = default;
  explicit StringId(std::string value) : value_(std::move(value)) {}
  explicit StringId(std::string_view value) : value_(value) {}
  explicit StringId(const char* value) : value_(value) {}

  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const StringId&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const StringId& id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  std::string value_;
};

using PersonId = StringId<struct PersonTag>;
using GroupId = StringId<struct GroupTag>;

template <typename Tag>
class Index {
 public:
  constexpr Index() = default;
  constexpr explicit Index(uint32_t value) : value_(value) {}
  constexpr uint32_t value() const { return value_; }
  constexpr auto operator<=>(const Index&) const = default;

 private:
  uint32_t value_ = 0;
};

// Which log shard; which slice of the persons; which group of this process's group table (given out
// in the order of first sight, never stored).
using ShardIndex = Index<struct ShardTag>;
using PartitionIndex = Index<struct PartitionTag>;
using GroupIndex = Index<struct GroupIndexTag>;

constexpr size_t kIdBytesMax = 128;

}  // namespace klatch
