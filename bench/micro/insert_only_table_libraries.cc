// oneTBB's two tables on the same job. Both allow several writers, and concurrent_hash_map also
// removal, for which its finds lock the element; neither gives elements a dense index.

#include <oneapi/tbb/concurrent_hash_map.h>
#include <oneapi/tbb/concurrent_unordered_map.h>

#include "bench/micro/insert_only_table_workload.h"

namespace klatch::lockfree {
namespace {

class TbbUnorderedMap {
 public:
  bool Insert(std::unique_ptr<Element> element) {
    if (elements_.size() == kElementsMax) {
      return false;
    }
    const std::string_view key = element->key();
    return elements_.emplace(key, std::move(element)).second;
  }
  uint64_t Find(std::string_view key) const { return elements_.find(key)->second->value; }

 private:
  tbb::concurrent_unordered_map<std::string_view, std::unique_ptr<Element>, KeyHash> elements_;
};

struct HashCompare {
  size_t hash(std::string_view key) const { return KeyHash()(key); }
  bool equal(std::string_view a, std::string_view b) const { return a == b; }
};

class TbbHashMap {
 public:
  bool Insert(std::unique_ptr<Element> element) {
    if (elements_.size() == kElementsMax) {
      return false;
    }
    const std::string_view key = element->key();
    return elements_.emplace(key, std::move(element));
  }
  uint64_t Find(std::string_view key) const {
    Elements::const_accessor found;
    return elements_.find(found, key) ? found->second->value : UINT64_MAX;
  }

 private:
  using Elements =
      tbb::concurrent_hash_map<std::string_view, std::unique_ptr<Element>, HashCompare>;
  Elements elements_;
};

void BM_TbbUnorderedMap_Find(benchmark::State& state) { Find<TbbUnorderedMap>(state); }
void BM_TbbUnorderedMap_Insert(benchmark::State& state) { Insert<TbbUnorderedMap>(state); }
void BM_TbbHashMap_Find(benchmark::State& state) { Find<TbbHashMap>(state); }
void BM_TbbHashMap_Insert(benchmark::State& state) { Insert<TbbHashMap>(state); }

KLATCH_BENCH_TABLE(BM_TbbUnorderedMap_Find, BM_TbbUnorderedMap_Insert);
KLATCH_BENCH_TABLE(BM_TbbHashMap_Find, BM_TbbHashMap_Insert);

}  // namespace
}  // namespace klatch::lockfree
