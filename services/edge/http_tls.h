#pragma once
// The certificate of the edge, read again when its files change. New connections get the new one; those
// that are there go on.
//
// Threads: any; "edge-tls" reads, every kReloadEvery. What can't be read again is logged once, and what was
// good before holds.

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/periodic_thread.h"
#include "common/base/status.h"

namespace klatch {

class HttpTls {
 public:
  static constexpr std::chrono::milliseconds kReloadEvery{5'000};

  // Both in PEM. INVALID_ARGUMENT if they can't be used.
  static absl::StatusOr<std::unique_ptr<HttpTls>> Open(std::string cert_file, std::string key_file);

  std::shared_ptr<boost::asio::ssl::context> context() const {
    std::lock_guard lock(mutex_);
    return context_;
  }

 private:
  // What the files hold, one behind the other.
  struct Pair {
    std::string certificate;
    std::string key;
    friend bool operator==(const Pair&, const Pair&) = default;
  };

  HttpTls(std::string cert_file, std::string key_file);
  absl::StatusOr<Pair> Read() const;
  static absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> Use(const Pair& pair);
  void Reload();

  const std::string cert_file_;
  const std::string key_file_;
  // Of who reloads.
  Pair pair_;
  std::string error_;

  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;  // guarded by mutex_

  // Last: it reloads.
  base::PeriodicThread reloading_{"edge-tls", kReloadEvery, [this] { Reload(); }};
};

}  // namespace klatch
