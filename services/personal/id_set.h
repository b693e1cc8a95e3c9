#pragma once
// A set of ids for states that are replaced whole: a copy shares what it holds with its original,
// and a change to one copies only a small part of it.
//
//   buckets:  [ * | * | * | * ]     a power of two; an id's hash says which
//               │   └─▶ { "bob", "eve" }       sorted, shared by all copies, never changed
//               └─────▶ { "ann" }
//
// For sets of which there are thousands with few ids and few with very many: somebody whom a
// hundred thousand have blocked costs a change 4,096 pointers and 25 strings, not all of them.
//
// Thread safety: const methods from any thread; a copy may be changed while others read the
// original.
// Bound: none of its own.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace klatch {

class IdSet {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  bool Contains(std::string_view id) const;

  // No effect if it is there, or isn't.
  void Add(std::string_view id);
  void Remove(std::string_view id);

  // Ids greater than `after`, in order, at most `count`.
  std::vector<std::string> Above(std::string_view after, size_t count) const;

 private:
  using Bucket = std::vector<std::string>;

  // REQUIRES: there are buckets.
  size_t BucketOf(std::string_view id) const;
  void Spread(size_t bucket_count);

  std::vector<std::shared_ptr<const Bucket>> buckets_;  // null: empty
  size_t size_ = 0;
};

}  // namespace klatch
