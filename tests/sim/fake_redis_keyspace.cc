#include "tests/sim/fake_redis_keyspace.h"

#include <cassert>

namespace klatch::sim {

void Keyspace::Begin(int64_t now_ms, bool is_master) {
  now_ms_ = now_ms;
  is_master_ = is_master;
}

void Keyspace::Restore(Data data) {
  data_ = std::move(data);
  for (const auto& [key, sessions] : watchers_) {
    for (const std::weak_ptr<WatchedKeys>& session : sessions) {
      if (const auto watched = session.lock()) {
        watched->is_dirty = true;
      }
    }
  }
  watchers_.clear();
}

bool Keyspace::IsExpired(const Entry& entry) const {
  return entry.expires_ms && *entry.expires_ms < now_ms_;
}

Entry* Keyspace::Find(const std::string& key) {
  const auto found = data_.find(key);
  if (found == data_.end()) {
    return nullptr;
  }
  if (!IsExpired(found->second)) {
    return &found->second;
  }
  if (is_master_) {
    data_.erase(found);
    Touch(key);
  }
  return nullptr;
}

Entry& Keyspace::Add(const std::string& key, Entry::Value value) {
  const auto [added, is_new] = data_.try_emplace(key, Entry{std::move(value), std::nullopt});
  assert(is_new);
  return added->second;
}

bool Keyspace::Remove(const std::string& key) {
  if (!Has(key)) {
    return false;
  }
  data_.erase(key);
  Touch(key);
  return true;
}

std::vector<std::string> Keyspace::Keys() {
  std::vector<std::string> keys;
  for (const auto& [key, entry] : data_) {
    if (!IsExpired(entry)) {
      keys.push_back(key);
    }
  }
  return keys;
}

void Keyspace::Touch(const std::string& key) {
  ++changes_;
  changed_.insert(key);
  const auto found = watchers_.find(key);
  if (found == watchers_.end()) {
    return;
  }
  for (const std::weak_ptr<WatchedKeys>& session : found->second) {
    if (const auto watched = session.lock()) {
      watched->is_dirty = true;
    }
  }
  watchers_.erase(found);
}

void Keyspace::Watch(const std::shared_ptr<WatchedKeys>& watched, const std::string& key) {
  if (Has(key)) {
    watched->live.insert(key);
  }
  std::vector<std::weak_ptr<WatchedKeys>>& sessions = watchers_[key];
  std::erase_if(sessions, [](const auto& session) { return session.expired(); });
  sessions.push_back(watched);
}

bool Keyspace::HaveChanged(WatchedKeys& watched) {
  for (const std::string& key : watched.live) {
    watched.is_dirty = !Has(key) || watched.is_dirty;
  }
  return watched.is_dirty;
}

}  // namespace klatch::sim
