#pragma once
// liburcu, whose readers write to a word of their own and whose writers make all of them visible by a
// system call: what epochs and published pointers are compared with.
//
// Thread safety: a thread makes an UrcuThread before it pins for the first time. A limbo has one
// writer.

#define _LGPL_SOURCE  // the reader's calls inline, as ours are
#include <urcu/urcu-memb.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace klatch::lockfree {

class UrcuThread {
 public:
  UrcuThread() { urcu_memb_register_thread(); }
  ~UrcuThread() { urcu_memb_unregister_thread(); }
  UrcuThread(const UrcuThread&) = delete;
  UrcuThread& operator=(const UrcuThread&) = delete;
};

class UrcuGuard {
 public:
  UrcuGuard() { urcu_memb_read_lock(); }
  ~UrcuGuard() { urcu_memb_read_unlock(); }
  UrcuGuard(const UrcuGuard&) = delete;
  UrcuGuard& operator=(const UrcuGuard&) = delete;
};

// What is retired is deleted by the thousand, as EpochReclaimer does; its one wait for all readers is
// then shared by as many.
template <typename T>
class UrcuLimbo {
 public:
  ~UrcuLimbo() { Reclaim(); }

  void Retire(std::unique_ptr<const T> object) {
    limbo_.push_back(std::move(object));
    if (limbo_.size() > kBatch) {
      Reclaim();
    }
  }
  void Reclaim() {
    urcu_memb_synchronize_rcu();
    limbo_.clear();
  }

 private:
  static constexpr size_t kBatch = 1024;  // EpochReclaimer::kLimboBatch

  std::vector<std::unique_ptr<const T>> limbo_;
};

}  // namespace klatch::lockfree
