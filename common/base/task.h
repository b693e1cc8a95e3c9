#pragma once
// Task<T>: a lazily started coroutine that yields one T. It lets a call that waits (for Redis, for
// records to be applied) read from top to bottom without holding a thread.
//
//   Task<absl::StatusOr<Page>> ReadPage(Request request) {
//     auto stored = co_await redis.Call(...);       // continues where the reply arrives
//     co_return Assemble(stored);
//   }
//   Spawn(Handle(reactor));                          // Task<void>, fire and forget
//
// Threads: a task continues on whichever thread completed what it awaited; `co_await
// executor.Schedule()` moves it. One thread runs it at a time.
// Lifetime: the Task owns the coroutine's frame; awaiting consumes the Task. A spawned task owns
// itself until it ends. Parameters that the body uses after its first co_await must be values or
// outlive the task.
// Exceptions do not cross our functions: one that escapes a task ends the process.
// Caveat: g++ 12 destroys temporaries in a co_await expression wrongly in some cases; name
// arguments before awaiting.

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace klatch::base {

template <typename T>
class [[nodiscard]] Task;

namespace internal {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      return handle.promise().continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
 public:
  struct promise_type : internal::PromiseBase {
    std::optional<T> value;
    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    template <typename U>
    void return_value(U&& u) {
      value.emplace(std::forward<U>(u));
    }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) {
      handle_.destroy();
    }
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().continuation = caller;
    return handle_;
  }
  T await_resume() { return std::move(*handle_.promise().value); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

template <>
class [[nodiscard]] Task<void> {
 public:
  struct promise_type : internal::PromiseBase {
    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    void return_void() const noexcept {}
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) {
      handle_.destroy();
    }
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().continuation = caller;
    return handle_;
  }
  void await_resume() const noexcept {}

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

namespace internal {

// A coroutine that starts at once and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

inline Detached RunDetached(Task<void> task) { co_await std::move(task); }

}  // namespace internal

// Runs `task` from here to its first wait; it goes on by itself.
inline void Spawn(Task<void> task) { internal::RunDetached(std::move(task)); }

}  // namespace klatch::base
