#pragma once
// Stands between the kernel and gRPC: decides which connections gRPC gets, and meters what comes on
// them as gRPC reads it. gRPC 1.51 takes any number of connections, never accepts again once
// descriptors have run out (CVE-2023-4785), and does all that is asked of it by frames that cost it
// more than the client (frame_meter.h). It has no place for such decisions; so the program has an
// accept4, a recvmsg and an SSL_read of its own (transport_hooks.cc), which libgrpc.so is bound to before the C
// library's, as with LD_PRELOAD, and which ask here.
//
//   accept4 ──▶ OnAccepted ──▶ gRPC ──▶ recvmsg or SSL_read ──▶ OnRead ──▶ gRPC parses
//                   └ full, or a punished address: reset           └ abused: fails, gRPC closes it
//
// gRPC's acceptor for connections from outside would do for the first half. But who hands one over
// is then kept by gRPC to serve it, as long as it has something to say: others waited a second to
// be accepted.
//
// An address of which kCutsPerSecond connections a second have been reset is refused for a second:
// else what is counted by connection would begin anew with each.
//
// Thread safety: any thread. A connection is read by one thread at a time; that is gRPC's own rule.
// Lifetime: the process's, since recvmsg is.
// Bounds: Limits; 104 bytes for each descriptor up to the highest that was accepted, and a million
// descriptors, which is what klatchd gives itself; kPenaltiesMax addresses.
// Not promised: that an address is punished for connections with TLS, of which SSL_read knows none,
// or over a Unix socket, which have none. In builds with a sanitizer, which has functions of these
// names itself, nothing is asked.

#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/clock.h"
#include "common/obs/log.h"
#include "common/obs/metrics.h"
#include "services/klatchd/connection_table.h"
#include "services/klatchd/frame_meter.h"

namespace klatch {

class TransportGuard {
 public:
  static constexpr uint32_t kCutsPerSecond = 10;
  static constexpr size_t kPenaltiesMax = 4'096;

  struct Limits {
    size_t connections = 0;
    uint32_t streams = 0;  // of one, as the server announces
    bool has_tls = false;  // then OnRead is told nothing, and OnDecrypted all
  };

  // There is one accept4, and so there is one of these.
  static TransportGuard& OfProcess();
  // For tests.
  TransportGuard();
  ~TransportGuard();

  // Until then it lets everything pass. Once more: connections of before are not counted any more.
  void Arm(const Limits& limits);

  // Of a connection that gRPC has accepted. False: it was reset, and closed.
  bool OnAccepted(int fd, const sockaddr_storage& from);
  // There is no descriptor to accept with. True: whoever waited longest at `listener` was reset in
  // the place of a spare one, and another try may be worth it.
  bool OnOutOfDescriptors(int listener);
  // What has been read of `fd`. True: the read is to fail, as if the client had reset the connection.
  bool OnRead(int fd, std::span<const char> bytes);

  // The same of what TLS has decrypted. `meter` is the connection's.
  bool OnDecrypted(FrameMeter& meter, std::span<const char> bytes);

  // What is added outlives the registry's last scrape, as this does.
  void Register(obs::MetricsRegistry& metrics);

 private:
  static constexpr size_t kPageConnections = 1'024;
  static constexpr size_t kPages = 1'024;
  struct Watched;
  struct Page;
  struct Penalty {
    int64_t second = 0;
    uint32_t cuts = 0;
    base::MonotonicTime until{};
  };

  Watched* Find(int fd);
  void Count(FrameVerdict verdict, base::MonotonicTime now);
  void Punish(const Watched& watched, base::MonotonicTime now);
  // REQUIRES, for these: mutex_.
  bool IsPunished(const std::string& network) const;
  void Watch(int fd, ino_t socket, const std::string& network);
  void SweepIfOlder(std::chrono::milliseconds age);

  size_t CountConnections();
  void Refuse(int fd, std::string_view why);

  // By descriptor. A page is made by Watch, and stays: release there, acquire in Find, which may be
  // any thread's that calls recvmsg.
  std::array<std::atomic<Page*>, kPages> pages_{};
  const base::SystemClock clock_;
  std::atomic<uint32_t> streams_max_{0};  // Limits'; 0: not armed
  obs::ShardedCounter refused_;
  std::array<obs::ShardedCounter, kFrameVerdicts> cut_;
  obs::LogLimiter refused_lines_{1};
  obs::LogLimiter cut_lines_{1};

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Limits limits_;
  std::unique_ptr<ConnectionTable> table_;  // null: not armed
  base::MonotonicTime swept_{};
  int spare_ = -1;  // a descriptor
  std::unordered_map<std::string, Penalty> penalties_;
};

}  // namespace klatch
