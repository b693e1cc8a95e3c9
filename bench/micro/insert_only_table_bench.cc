// The insert-only table beside a twin of std::shared_mutex and std::unordered_map; libraries are in
// insert_only_table_libraries.cc.

#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "bench/micro/insert_only_table_workload.h"
#include "common/lockfree/insert_only_table.h"

namespace klatch::lockfree {
namespace {

class LockFree {
 public:
  bool Insert(std::unique_ptr<Element> element) {
    return table_.Insert(std::move(element)) != nullptr;
  }
  uint64_t Find(std::string_view key) const { return table_.Find(key)->value; }

 private:
  InsertOnlyTable<Element> table_{kElementsMax};
};

class SharedMutex {
 public:
  bool Insert(std::unique_ptr<Element> element) {
    const std::unique_lock lock(mutex_);
    if (elements_.size() == kElementsMax) {
      return false;
    }
    const std::string_view key = element->key();
    return elements_.emplace(key, std::move(element)).second;
  }
  uint64_t Find(std::string_view key) const {
    const std::shared_lock lock(mutex_);
    return elements_.find(key)->second->value;
  }

 private:
  mutable std::shared_mutex mutex_;
  // Guarded by mutex_.
  std::unordered_map<std::string_view, std::unique_ptr<Element>, KeyHash> elements_;
};

void BM_InsertOnlyTable_Find(benchmark::State& state) { Find<LockFree>(state); }
void BM_InsertOnlyTable_Insert(benchmark::State& state) { Insert<LockFree>(state); }
void BM_SharedMutexMap_Find(benchmark::State& state) { Find<SharedMutex>(state); }
void BM_SharedMutexMap_Insert(benchmark::State& state) { Insert<SharedMutex>(state); }

KLATCH_BENCH_TABLE(BM_InsertOnlyTable_Find, BM_InsertOnlyTable_Insert);
KLATCH_BENCH_TABLE(BM_SharedMutexMap_Find, BM_SharedMutexMap_Insert);

}  // namespace
}  // namespace klatch::lockfree
