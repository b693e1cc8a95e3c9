#include "services/klatchd/transport_guard.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::string_view, kFrameVerdicts> kReasons = {"", "resets", "head", "control",
                                                                   "streams"};
constexpr std::chrono::seconds kRefusal{1};
// How old the count of connections may be where there is no room for one more, and elsewhere.
constexpr milliseconds kSweptWhenFull{100};
constexpr milliseconds kSwept{1'000};

milliseconds SinceEver(base::MonotonicTime now) {
  return std::chrono::duration_cast<milliseconds>(now.time_since_epoch());
}

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

// At once, and without a state of it that the kernel would keep for a minute.
void Reset(int fd) {
  const linger none{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
  close(fd);
}

}  // namespace

struct TransportGuard::Watched {
  // 0: nobody's. Written by Watch before gRPC has the descriptor, which is what orders the rest; a
  // thread that reads another file which has the number by now goes by this alone.
  std::atomic<ino_t> socket{0};
  uint32_t streams_max = 0;
  uint32_t network_bytes = 0;
  std::array<char, 8> network{};
  FrameMeter meter;

  std::string its_network() const { return {network.data(), network_bytes}; }
};

struct TransportGuard::Page {
  std::array<Watched, kPageConnections> connections;
};

TransportGuard& TransportGuard::OfProcess() {
  // Never destroyed: gRPC's threads read until the process ends.
  static TransportGuard* const guard = new TransportGuard();
  return *guard;
}

TransportGuard::TransportGuard() = default;

TransportGuard::~TransportGuard() {
  for (const auto& page : pages_) {
    delete page.load(std::memory_order_relaxed);
  }
  if (spare_ >= 0) {
    close(spare_);
  }
}

void TransportGuard::Arm(const Limits& limits) {
  std::lock_guard lock(mutex_);
  limits_ = limits;
  // Relaxed: a number that publishes nothing else.
  streams_max_.store(limits.streams, std::memory_order_relaxed);
  table_ = std::make_unique<ConnectionTable>(limits.connections);
  if (spare_ < 0) {
    spare_ = OpenSpare();
  }
}

bool TransportGuard::OnAccepted(int fd, const sockaddr_storage& from) {
  const std::string network = PeerNetwork(from);
  {
    std::lock_guard lock(mutex_);
    if (table_ == nullptr) {
      return true;
    }
    if (spare_ < 0) {
      spare_ = OpenSpare();
    }
    if (!IsPunished(network)) {
      SweepIfOlder(table_->HasRoom(network) ? kSwept : kSweptWhenFull);
      if (table_->HasRoom(network)) {
        // With TLS there is nothing to meter here; and who had the number before is forgotten.
        const ino_t socket = table_->Add(fd, network);
        Watch(fd, limits_.has_tls ? 0 : socket, network);
        return true;
      }
    }
  }
  Refuse(fd, "too many connections, or from where others were abused");
  return false;
}

bool TransportGuard::OnOutOfDescriptors(int listener) {
  std::unique_lock lock(mutex_);
  if (spare_ < 0) {
    return false;
  }
  // Whoever waits is told at once. Else they would be forgotten in the queue, which in the end is
  // full of them and keeps others out when there are descriptors again.
  close(std::exchange(spare_, -1));
  const int fd = accept(listener, nullptr, nullptr);
  if (fd >= 0) {
    Refuse(fd, "out of descriptors");
  }
  spare_ = OpenSpare();
  return fd >= 0;
}

bool TransportGuard::OnRead(int fd, std::span<const char> bytes) {
  Watched* const watched = Find(fd);
  if (watched == nullptr || watched->socket.load(std::memory_order_relaxed) == 0) {
    return false;
  }
  const FrameVerdict verdict =
      watched->meter.Feed(bytes, SinceEver(clock_.Monotonic()), {.streams = watched->streams_max});
  if (verdict == FrameVerdict::kGood) {
    return false;
  }
  // Once: gRPC closes it now, and what has the number next is none of ours until Watch says so.
  const ino_t socket = watched->socket.exchange(0, std::memory_order_relaxed);
  struct stat status {};
  if (fstat(fd, &status) != 0 || status.st_ino != socket) {
    return false;  // another file by now, such as one of HTTP's
  }
  const base::MonotonicTime now = clock_.Monotonic();
  Count(verdict, now);
  Punish(*watched, now);
  return true;
}

bool TransportGuard::OnDecrypted(FrameMeter& meter, std::span<const char> bytes) {
  const uint32_t streams_max = streams_max_.load(std::memory_order_relaxed);
  const base::MonotonicTime now = clock_.Monotonic();
  const FrameVerdict verdict = streams_max == 0
                                   ? FrameVerdict::kGood
                                   : meter.Feed(bytes, SinceEver(now), {.streams = streams_max});
  if (verdict == FrameVerdict::kGood) {
    return false;
  }
  Count(verdict, now);
  return true;
}

TransportGuard::Watched* TransportGuard::Find(int fd) {
  const auto at = static_cast<size_t>(fd);
  if (fd < 0 || at / kPageConnections >= kPages) {
    return nullptr;
  }
  // Acquire: with Watch's release, so that the page is seen as it was made.
  Page* const page = pages_[at / kPageConnections].load(std::memory_order_acquire);
  return page == nullptr ? nullptr : &page->connections[at % kPageConnections];
}

void TransportGuard::Watch(int fd, ino_t socket, const std::string& network) {
  const auto at = static_cast<size_t>(fd);
  if (fd < 0 || at / kPageConnections >= kPages) {
    return;
  }
  std::atomic<Page*>& page = pages_[at / kPageConnections];
  if (page.load(std::memory_order_relaxed) == nullptr) {
    // Release: with Find's acquire. Pages are made under the mutex.
    page.store(new Page(), std::memory_order_release);
  }
  Watched& watched = *Find(fd);
  watched.streams_max = limits_.streams;
  watched.network_bytes = static_cast<uint32_t>(std::min(network.size(), watched.network.size()));
  std::copy_n(network.begin(), watched.network_bytes, watched.network.begin());
  watched.meter = FrameMeter();
  // Relaxed: gRPC's taking over the descriptor orders it before what its threads read.
  watched.socket.store(socket, std::memory_order_relaxed);
}

void TransportGuard::Count(FrameVerdict verdict, base::MonotonicTime now) {
  const auto reason = static_cast<size_t>(verdict);
  cut_[reason].Add();
  if (const auto suppressed = cut_lines_.Admit(now)) {
    obs::Log(obs::Level::kWarn, "grpc", "reset a connection that was abused",
             {{"reason", kReasons[reason]}, {"suppressed", *suppressed}});
  }
}

void TransportGuard::Punish(const Watched& watched, base::MonotonicTime now) {
  if (watched.network_bytes == 0) {
    return;
  }
  std::lock_guard lock(mutex_);
  if (penalties_.size() >= kPenaltiesMax) {
    std::erase_if(penalties_, [now](const auto& one) { return one.second.until < now; });
  }
  if (penalties_.size() >= kPenaltiesMax) {
    return;
  }
  Penalty& penalty = penalties_[watched.its_network()];
  const int64_t second = SinceEver(now).count() / 1'000;
  penalty.cuts = second == penalty.second ? penalty.cuts + 1 : 1;
  penalty.second = second;
  if (penalty.cuts >= kCutsPerSecond) {
    penalty.until = now + kRefusal;
  }
}

bool TransportGuard::IsPunished(const std::string& network) const {
  const auto found = penalties_.find(network);
  return found != penalties_.end() && clock_.Monotonic() < found->second.until;
}

void TransportGuard::SweepIfOlder(milliseconds age) {
  const base::MonotonicTime now = clock_.Monotonic();
  if (now - swept_ >= age) {
    table_->Sweep();
    swept_ = now;
  }
}

size_t TransportGuard::CountConnections() {
  std::lock_guard lock(mutex_);
  if (table_ == nullptr) {
    return 0;
  }
  SweepIfOlder(kSweptWhenFull);
  return table_->size();
}

void TransportGuard::Refuse(int fd, std::string_view why) {
  Reset(fd);
  refused_.Add();
  if (const auto suppressed = refused_lines_.Admit(clock_.Monotonic())) {
    obs::Log(obs::Level::kWarn, "grpc", "refused a connection",
             {{"error", why}, {"suppressed", *suppressed}});
  }
}

void TransportGuard::Register(obs::MetricsRegistry& metrics) {
  metrics.AddGauge("klatch_grpc_connections", "Connections over gRPC.", {},
                   [this] { return static_cast<double>(CountConnections()); });
  metrics.Add("klatch_grpc_connections_refused_total",
              "Connections that were reset when they came: too many, or a punished address.", {},
              refused_);
  for (size_t i = 1; i < kFrameVerdicts; ++i) {
    metrics.Add("klatch_grpc_connections_cut_total",
                "Connections that were reset because they were abused, by reason.",
                {{"reason", std::string(kReasons[i])}}, cut_[i]);
  }
}

}  // namespace klatch
