#include "common/base/periodic_thread.h"

#include <pthread.h>

#include <utility>

namespace klatch::base {

PeriodicThread::PeriodicThread(std::string name, std::chrono::milliseconds pause,
                               std::function<void()> step)
    : name_(std::move(name)), pause_(pause), step_(std::move(step)) {}

void PeriodicThread::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), name_.c_str());
    Run();
  });
}

void PeriodicThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

bool PeriodicThread::stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

void PeriodicThread::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, pause_, [this] { return stopping_; })) {
    lock.unlock();
    step_();
    lock.lock();
  }
}

}  // namespace klatch::base
