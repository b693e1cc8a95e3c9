#include "services/deliver/watch_tap.h"

namespace klatch {

WatchTap::WatchTap(size_t items_max) : items_(items_max, 1) {}

uint64_t WatchTap::Watch(std::string person) {
  Put(Order{.kind = Order::Kind::kWatch, .person = std::move(person), .number = ++last_order_});
  return last_order_;
}

void WatchTap::Unwatch(uint32_t index) {
  Put(Order{.kind = Order::Kind::kUnwatch, .person = {}, .index = index});
}

void WatchTap::Restart() { Put(Order{.kind = Order::Kind::kRestart, .person = {}}); }

void WatchTap::Put(Order order) {
  std::lock_guard lock(mutex_);
  orders_.push_back(std::move(order));
  ordered_.store(true, std::memory_order_relaxed);
}

WatchAnswer WatchTap::TakeAnswer() {
  std::lock_guard lock(mutex_);
  WatchAnswer answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

void WatchTap::AnswerOrders(const Add& add, const std::vector<Position>& applied) {
  WatchItem* slot = items_.TryClaim();
  if (slot == nullptr) {
    return;  // The live thread makes room; the orders are not lost.
  }
  *slot = WatchItem{};
  {
    std::lock_guard lock(mutex_);
    ordered_.store(false, std::memory_order_relaxed);
    WatchAnswer answer;
    answer.applied = applied;
    for (Order& order : std::exchange(orders_, {})) {
      switch (order.kind) {
        case Order::Kind::kWatch: {
          const std::optional<uint32_t> index = add(order.person);
          if (index) {
            SetWatched(*index, true);
          }
          answer.persons.push_back({std::move(order.person), order.number, index});
          break;
        }
        case Order::Kind::kUnwatch:
          SetWatched(order.index, false);
          break;
        case Order::Kind::kRestart:
          answer.restarted = true;
          break;
      }
    }
    answers_.push_back(std::move(answer));
  }
  told_ = true;
  items_.Publish();
  Ring();
}

void WatchTap::SetWatched(uint32_t index, bool watched) {
  if (IsWatched(index) == watched) {
    return;
  }
  if (index / 64 >= watched_.size()) {
    watched_.resize(index / 64 + 1);
  }
  watched_[index / 64] ^= uint64_t{1} << index % 64;
  watched ? ++watched_count_ : --watched_count_;
}

void WatchTap::TellWatched(std::span<const uint32_t> persons, WatchItem item) {
  if (!watching()) {
    return;
  }
  for (const uint32_t person : persons) {
    if (IsWatched(person)) {
      item.person = person;
      Tell(item);
    }
  }
}

void WatchTap::Tell(const WatchItem& item) {
  if (bell_ == nullptr) {
    return;
  }
  told_ = true;
  if (WatchItem* slot = items_.TryClaim()) {
    *slot = item;
  } else {
    overflow_.store(true, std::memory_order_release);
  }
}

void WatchTap::RingBell() {
  if (bell_ != nullptr) {
    bell_->Ring();
  }
}

}  // namespace klatch
