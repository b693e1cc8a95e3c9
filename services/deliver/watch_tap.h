#pragma once
// What one worker tells the live thread: what reaches persons who are watched, and, watched or not,
// who left which group and what was edited or deleted, since resumed watches ask for that later.
//
//   live thread ── orders: watch, watch no more ──▶ worker     (mailbox, looked at between batches)
//   live thread ◀── items, in the order of the log ── worker   (ring of one producer and consumer)
//
// Items of a record stand in the ring before the worker counts the record as applied. Whoever reads
// Progress first and then polls has every item up to the positions it read, unless TakeOverflow
// says that some were dropped.
//
// An order to watch is answered by a kStarted item: what reaches the person and is applied later
// comes behind it, what was applied before (up to WatchAnswer::applied) is in the timeline.
//
// Thread safety: Connect before the worker starts; the methods of each side by its thread only;
// active from any thread. Lifetime: the bell outlives the worker.
// Bound: limits::kWatchItemsMax items. When full, items are dropped and the overflow is marked,
// before the record counts as applied; orders wait until there is room again. What is
// ordered during one step of the worker waits in the mailbox; that has no bound of its own.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/lockfree/broadcast_ring.h"
#include "common/lockfree/doorbell.h"
#include "services/model/ids.h"
#include "services/model/position.h"

namespace klatch {

struct WatchItem {
  enum class Kind : uint8_t {
    kPublished,
    kEdited,
    kDeleted,
    kTakenOut,
    kJoined,
    kLeft,
    kGroupDeleted,  // nobody's: who left by it was perhaps no longer known when this was replayed
    kStarted,       // nobody's: see TakeAnswer
  };
  static constexpr uint32_t kNobody = UINT32_MAX;

  Kind kind = Kind::kStarted;
  uint32_t person = kNobody;  // index within the worker; nobody: for the history
  GroupIndex group;
  UpdateId update;
  Position position;  // of the record
};

// The answer to orders that were taken together.
struct WatchAnswer {
  struct Started {
    std::string person;
    uint64_t order;                 // as Watch returned it
    std::optional<uint32_t> index;  // none: the worker can hold no more persons
  };
  std::vector<Started> persons;
  // The live thread had asked to begin anew after an overflow.
  bool restarted = false;
  // How far the worker had applied each shard.
  std::vector<Position> applied;
};

class WatchTap {
 public:
  explicit WatchTap(size_t items_max);

  // Whoever listens; without one, nothing is told.
  void Connect(lockfree::Doorbell& bell) { bell_ = &bell; }

  // ---- The live thread's side.

  // Returns the order's number, which its answer names: the person may have been watched no more and
  // watched again meanwhile, and then only the last answer says that the worker tells of them.
  uint64_t Watch(std::string person);
  void Unwatch(uint32_t index);
  // Asks for a kStarted item: what comes behind it is whole again.
  void Restart();
  // Whether it watches anything: the bell then rings after every batch, because an item may wait
  // for this worker to catch up.
  void SetActive(bool active) { active_.store(active, std::memory_order_relaxed); }
  // Calls f(const WatchItem&) for what is there.
  template <typename F>
  size_t Poll(F&& f) {
    return items_.Poll(0, std::forward<F>(f), items_.slots());
  }
  // For a kStarted item, in their order.
  WatchAnswer TakeAnswer();
  // Whether items were dropped since the last call.
  bool TakeOverflow() { return overflow_.exchange(false, std::memory_order_acq_rel); }

  // ---- The worker's side.

  // Between batches. Calls add(name), which returns the person's index if there is room.
  using Add = std::function<std::optional<uint32_t>(std::string_view)>;
  void TakeOrders(const Add& add, const std::vector<Position>& applied) {
    if (ordered_.load(std::memory_order_relaxed)) {  // a hint; the mutex publishes the orders
      AnswerOrders(add, applied);
    }
  }
  // Whether anybody is watched here.
  bool watching() const { return watched_count_ != 0; }
  bool IsWatched(uint32_t index) const {
    return index / 64 < watched_.size() && (watched_[index / 64] >> index % 64 & 1) != 0;
  }
  // To those of `persons` who are watched.
  void TellWatched(std::span<const uint32_t> persons, WatchItem item);
  // Whoever it is about.
  void Tell(const WatchItem& item);
  // Makes visible what was told. Before the record counts as applied.
  void Publish() {
    if (told_) {
      items_.Publish();
    }
  }
  // After a batch.
  void Ring() {
    if (std::exchange(told_, false) || active_.load(std::memory_order_relaxed)) {
      RingBell();
    }
  }

 private:
  struct Order {
    enum class Kind { kWatch, kUnwatch, kRestart };
    Kind kind;
    std::string person;
    uint32_t index = 0;
    uint64_t number = 0;
  };

  void Put(Order order);
  void AnswerOrders(const Add& add, const std::vector<Position>& applied);
  void SetWatched(uint32_t index, bool watched);
  void RingBell();

  // The live thread's own.
  uint64_t last_order_ = 0;

  // Immutable once the worker has started.
  lockfree::Doorbell* bell_ = nullptr;

  lockfree::BroadcastRing<WatchItem> items_;
  // Set by the worker before a record with a dropped item counts as applied (release, and Advance
  // of Progress behind it); who reads the position sees the mark.
  std::atomic<bool> overflow_{false};
  // A flag of the live thread; it publishes nothing.
  std::atomic<bool> active_{false};

  // The worker's own. One bit per person of the worker.
  std::vector<uint64_t> watched_;
  size_t watched_count_ = 0;
  bool told_ = false;

  // Whether there are orders; what they are is guarded by mutex_.
  std::atomic<bool> ordered_{false};
  std::mutex mutex_;
  std::deque<Order> orders_;
  std::deque<WatchAnswer> answers_;
};

}  // namespace klatch
