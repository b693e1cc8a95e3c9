#pragma once
// The data of a FakeRedis as its commands see it: what has expired is not there, and who watches a
// key learns of every change.
//
// Thread safety: one thread at a time.
// Lifetime: a pointer to an entry or a value holds until the next call that may remove one.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/sim/fake_data.h"

namespace klatch::sim {

// What a session watches.
struct WatchedKeys {
  // The keys that were there: one of them may expire without anybody touching it.
  std::set<std::string> live;
  bool is_dirty = false;
};

class Keyspace {
 public:
  // Before each command. Only a master removes what has expired; for a replica it is hidden.
  void Begin(int64_t now_ms, bool is_master);
  int64_t now_ms() const { return now_ms_; }

  const Data& data() const { return data_; }
  void Restore(Data data);

  // Null if it is not there.
  Entry* Find(const std::string& key);
  bool Has(const std::string& key) { return Find(key) != nullptr; }
  // REQUIRES: the key is not there.
  Entry& Add(const std::string& key, Entry::Value value);
  // False if it is not there.
  bool Remove(const std::string& key);
  // What is there now, in order.
  std::vector<std::string> Keys();

  // Every command says so of each key that it has changed; removed ones are known already.
  void Touch(const std::string& key);
  uint64_t changes() const { return changes_; }
  // The keys that were changed since the last call, in order.
  std::set<std::string> TakeChanged() { return std::exchange(changed_, {}); }

  void Watch(const std::shared_ptr<WatchedKeys>& watched, const std::string& key);
  // Whether one of them has changed, or has expired, since.
  bool HaveChanged(WatchedKeys& watched);

 private:
  bool IsExpired(const Entry& entry) const;

  Data data_;
  int64_t now_ms_ = 0;
  bool is_master_ = true;
  uint64_t changes_ = 0;
  std::set<std::string> changed_;
  std::map<std::string, std::vector<std::weak_ptr<WatchedKeys>>> watchers_;
};

}  // namespace klatch::sim
