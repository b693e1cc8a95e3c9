#pragma once
// What an operator can set of klatchd, with the defaults. A plain struct; the table in options.cc
// gives names, ranges and descriptions, and `klatchd --help` prints them.
//
// Bounds that nobody should change live in services/model/limits.h.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/options.h"
#include "common/base/status.h"
#include "common/obs/log.h"
#include "common/redis/tls.h"
#include "services/model/ack.h"
#include "services/model/limits.h"

namespace klatch {

struct KlatchdOptions {
  // Addresses.
  std::string listen = "127.0.0.1:7420";          // or unix:/path
  std::string metrics_listen = "127.0.0.1:7421";  // empty: off
  std::string http_listen;                        // empty: off
  bool insecure = false;                          // plain text away from loopback

  // Who gets in. Files; empty: not asked for.
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  std::string policy;
  std::string token_keys;  // a folder
  bool audit = false;

  // Redis.
  std::string redis;  // empty: one of our own under data_dir
  redis::TlsOptions redis_tls;
  std::string redis_server = "redis-server";
  std::string data_dir = "data";
  std::chrono::milliseconds redis_call_timeout{5'000};
  AckClass ack = AckClass::kLocal;
  std::chrono::milliseconds ack_timeout{2'000};
  uint32_t strict_replicas = 0;

  // Layout, fixed when a namespace is made.
  std::vector<std::string> namespaces = {"default"};
  uint32_t shards = 64;
  uint32_t partitions = 256;

  // Threads. 0: one worker per core, at most kWorkersAutoMax.
  uint32_t workers = 0;
  uint32_t call_threads = 2;

  // Delivery.
  std::chrono::milliseconds flush_interval{1'000};
  std::chrono::milliseconds lease_duration{limits::kLeaseDuration};
  std::chrono::milliseconds stale_after{2'000};

  uint32_t pull_above = limits::kPullAbove;  // members; 0: no group is pulled

  std::chrono::milliseconds quiet_after{limits::kQuietAfter};  // 0: nobody falls quiet

  // Admission.
  std::chrono::milliseconds admission_queue_time{500};
  std::chrono::milliseconds admission_flush_age{8'000};
  uint32_t actor_posts_max = 0;  // a second; 0: no bound
  uint32_t actor_posts_burst = 200;
  uint32_t person_groups_max = 0;  // 0: no bound
  uint32_t calls_max = 20'000;
  uint32_t streams_max = 1'000;  // per connection
  uint32_t connections_max = limits::kConnectionsMax;
  std::chrono::milliseconds connection_age_max{limits::kConnectionAge};  // 0: none
  int64_t message_bytes_max = limits::kMessageBytesMax;
  uint32_t http_connections_max = limits::kHttpConnectionsMax;
  uint32_t watches_max = limits::kWatchesMax;
  std::chrono::milliseconds watch_stall_max{limits::kWatchStallMax};
  uint32_t watched_persons_max = limits::kWatchedPersonsMax;

  // Memory.
  int64_t timeline_memory_bytes = int64_t{4} << 30;
  int64_t body_cache_bytes = int64_t{512} << 20;
  uint32_t persons_max = 4'000'000;
  uint32_t groups_max = 1'000'000;

  // Retention.
  std::chrono::milliseconds once_retention{limits::kOnceRetention};
  std::chrono::milliseconds body_retention{limits::kBodyRetention};
  std::chrono::milliseconds expire_min{limits::kExpireMin};
  uint32_t group_updates_max = 0;  // 0: no bound of the namespace's
  int64_t group_bytes_max = 0;     // likewise
  std::chrono::milliseconds log_retention{limits::kLogKept};
  int64_t log_bytes_max = limits::kLogShardBytesMax;  // per shard

  // The process.
  std::chrono::milliseconds drain_timeout{10'000};
  obs::Level log_level = obs::Level::kInfo;
  bool core_dumps = false;  // with what is in memory
  bool check_config = false;
  bool print_config = false;
};

constexpr uint32_t kWorkersAutoMax = 32;

// The table over `options`, which outlives it.
base::OptionTable MakeKlatchdOptionTable(KlatchdOptions& options, std::string version);

// What no single option can say: INVALID_ARGUMENT with one line that names the options that clash.
absl::Status Validate(const KlatchdOptions& options);

// The number of workers that `options.workers` means on a machine with `cores`.
uint32_t WorkerCount(const KlatchdOptions& options, uint32_t cores);

}  // namespace klatch
