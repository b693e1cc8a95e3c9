#include "services/accept/when_all.h"

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <utility>

namespace klatch {
namespace {

struct Join {
  std::vector<base::Task<void>> tasks;
  // Tasks that have not ended, and one for the start itself, so that the waiter isn't resumed
  // before it is suspended.
  std::atomic<size_t> left{0};
  std::coroutine_handle<> waiter;

  explicit Join(std::vector<base::Task<void>> all)
      : tasks(std::move(all)), left(tasks.size() + 1) {}

  // True for whoever comes last. acq_rel: the last one's caller sees what all the others have
  // written before they ended.
  bool End() { return left.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  static base::Task<void> Run(base::Task<void> task, Join* join) {
    co_await std::move(task);
    if (join->End()) {
      join->waiter.resume();
    }
  }

  bool await_ready() const noexcept { return tasks.empty(); }
  bool await_suspend(std::coroutine_handle<> handle) {
    waiter = handle;
    // Off this object, which may be gone once the last task has ended.
    std::vector<base::Task<void>> starting = std::move(tasks);
    for (base::Task<void>& task : starting) {
      base::Spawn(Run(std::move(task), this));
    }
    return !End();
  }
  void await_resume() const noexcept {}
};

}  // namespace

base::Task<void> WhenAll(std::vector<base::Task<void>> tasks) {
  Join join(std::move(tasks));
  co_await join;
}

}  // namespace klatch
