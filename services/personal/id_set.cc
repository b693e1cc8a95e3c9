#include "services/personal/id_set.h"

#include <algorithm>
#include <utility>

#include "common/base/hash.h"

namespace klatch {
namespace {

constexpr size_t kIdsPerBucket = 64;
constexpr size_t kGrowth = 4;

}  // namespace

size_t IdSet::BucketOf(std::string_view id) const {
  // Persons of one partition agree in the low bits.
  constexpr int kShift = 32;
  return (base::StableHash64(id) >> kShift) & (buckets_.size() - 1);
}

bool IdSet::Contains(std::string_view id) const {
  if (size_ == 0) {
    return false;
  }
  const Bucket* bucket = buckets_[BucketOf(id)].get();
  return bucket != nullptr && std::ranges::binary_search(*bucket, id);
}

void IdSet::Add(std::string_view id) {
  if (Contains(id)) {
    return;
  }
  if (size_ >= buckets_.size() * kIdsPerBucket) {
    Spread(std::max<size_t>(1, buckets_.size() * kGrowth));
  }
  std::shared_ptr<const Bucket>& bucket = buckets_[BucketOf(id)];
  auto changed = bucket == nullptr ? std::make_shared<Bucket>() : std::make_shared<Bucket>(*bucket);
  changed->insert(std::ranges::lower_bound(*changed, id), std::string(id));
  bucket = std::move(changed);
  ++size_;
}

void IdSet::Remove(std::string_view id) {
  if (!Contains(id)) {
    return;
  }
  std::shared_ptr<const Bucket>& bucket = buckets_[BucketOf(id)];
  auto changed = std::make_shared<Bucket>(*bucket);
  changed->erase(std::ranges::lower_bound(*changed, id));
  bucket = changed->empty() ? nullptr : std::move(changed);
  if (--size_ == 0) {
    buckets_.clear();
  }
}

std::vector<std::string> IdSet::Above(std::string_view after, size_t count) const {
  std::vector<const std::string*> found;
  for (const auto& bucket : buckets_) {
    if (bucket != nullptr) {
      for (auto id = std::ranges::upper_bound(*bucket, after); id != bucket->end(); ++id) {
        found.push_back(&*id);
      }
    }
  }
  const size_t shown = std::min(count, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(shown), found.end(),
                    [](const std::string* a, const std::string* b) { return *a < *b; });
  std::vector<std::string> ids;
  ids.reserve(shown);
  for (size_t i = 0; i < shown; ++i) {
    ids.push_back(*found[i]);
  }
  return ids;
}

void IdSet::Spread(size_t bucket_count) {
  const auto former = std::exchange(buckets_, {});
  buckets_.resize(bucket_count);
  std::vector<std::shared_ptr<Bucket>> filling(bucket_count);
  for (const auto& bucket : former) {
    if (bucket == nullptr) {
      continue;
    }
    // In order, so that what arrives in a new bucket from this one is sorted.
    for (const std::string& id : *bucket) {
      std::shared_ptr<Bucket>& to = filling[BucketOf(id)];
      if (to == nullptr) {
        to = std::make_shared<Bucket>();
      }
      to->push_back(id);
    }
  }
  // A new bucket has all its ids from one former bucket, whose number is the low bits of its own.
  std::ranges::move(filling, buckets_.begin());
}

}  // namespace klatch
