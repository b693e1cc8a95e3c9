// What the kernel says to a program that it is preloaded into, changed while it runs: the time of day, and
// whether its append-only file can be written. The file that FAULT_SHIM names says how; a test
// writes to it.
//
// Waits until a time of day (Abseil's, and with them gRPC's) end when the changed clock says so, also
// those that are under way when it changes, as the kernel's do.
//
//   bytes 0 to 7   seconds that clocks of the day are ahead, little-endian, may be negative
//   byte 8         1: no space is left for files whose name has "appendonly" in it; 2: they can't be synced
//   bytes 16 to 23 written by the shim: how long the last of them was that was synced, when its sync began
//
// Thread safety: any thread; a change is seen at the next call.

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

struct Faults {
  std::atomic<int64_t> seconds_ahead;
  std::atomic<uint8_t> disk;
  std::atomic<int64_t> synced_bytes;
};
static_assert(sizeof(Faults) == 24);

enum Disk : uint8_t { kGood = 0, kFull = 1, kUnsynced = 2 };

// Null where nothing is to be changed.
Faults* Shared() {
  static Faults* const faults = []() -> Faults* {
    const char* path = getenv("FAULT_SHIM");
    const int file = path == nullptr ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) {
      return nullptr;
    }
    void* memory = mmap(nullptr, sizeof(Faults), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<Faults*>(memory);
  }();
  return faults;
}

int64_t SecondsAhead() {
  const Faults* faults = Shared();
  return faults == nullptr ? 0 : faults->seconds_ahead.load(std::memory_order_relaxed);
}

bool IsAppendOnlyFile(int fd) {
  char link[64];
  char name[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, name, sizeof name - 1);
  if (size < 0) {
    return false;
  }
  name[size] = '\0';
  return strstr(name, "appendonly.aof.") != nullptr;
}

bool Fails(int fd, Disk how) {
  const Faults* faults = Shared();
  return faults != nullptr && faults->disk.load(std::memory_order_relaxed) == how &&
         IsAppendOnlyFile(fd);
}

using SystemCall = long (*)(long, ...);

// No static: what guards those waits by this very call.
SystemCall Kernel() {
  static std::atomic<SystemCall> kernel;
  SystemCall found = kernel.load(std::memory_order_relaxed);
  if (found == nullptr) {
    found = reinterpret_cast<SystemCall>(dlsym(RTLD_NEXT, "syscall"));
    kernel.store(found, std::memory_order_relaxed);
  }
  return found;
}

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

// Waits until a time of day by the clock that is moved, as the kernel does by its own: one that is
// set back meanwhile makes the wait longer, one that is set ahead ends it.
long WaitByTheClock(long (&arguments)[6]) {
  constexpr int64_t kLookAgain = 20'000'000;  // ns
  const int64_t end = Nanoseconds(*reinterpret_cast<const timespec*>(arguments[3]));
  while (true) {
    timespec now{};
    Kernel()(SYS_clock_gettime, CLOCK_REALTIME, &now);
    const int64_t left = end - Nanoseconds(now) - int64_t{SecondsAhead()} * 1'000'000'000;
    const int64_t until = Nanoseconds(now) + std::min(left, kLookAgain);
    const timespec look{until / 1'000'000'000, until % 1'000'000'000};
    const long code = Kernel()(SYS_futex, arguments[0], arguments[1], arguments[2], &look,
                               arguments[4], arguments[5]);
    if (code == 0 || errno != ETIMEDOUT || left <= kLookAgain) {
      return code;
    }
  }
}

int Sync(int fd, long call) {
  if (Fails(fd, kUnsynced)) {
    errno = EIO;
    return -1;
  }
  struct stat before {};
  const bool counts = Shared() != nullptr && IsAppendOnlyFile(fd) && fstat(fd, &before) == 0;
  const int code = static_cast<int>(syscall(call, fd));
  if (counts && code == 0) {
    Shared()->synced_bytes.store(before.st_size, std::memory_order_relaxed);
  }
  return code;
}

}  // namespace

extern "C" {

long syscall(long number, ...) {
  long arguments[6];
  va_list list;
  va_start(list, number);
  for (long& argument : arguments) {
    argument = va_arg(list, long);
  }
  va_end(list);
  if (number == SYS_futex && (arguments[1] & FUTEX_CLOCK_REALTIME) != 0 && arguments[3] != 0 &&
      Shared() != nullptr) {
    return WaitByTheClock(arguments);
  }
  return Kernel()(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                  arguments[5]);
}

int clock_gettime(clockid_t clock, timespec* time) {
  const int code = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    time->tv_sec += SecondsAhead();
  }
  return code;
}

int gettimeofday(timeval* time, void*) {
  timespec now{};
  const int code = clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return code;
}

time_t time(time_t* out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) {
    *out = now.tv_sec;
  }
  return now.tv_sec;
}

ssize_t write(int fd, const void* bytes, size_t size) {
  if (Fails(fd, kFull)) {
    errno = ENOSPC;
    return -1;
  }
  return syscall(SYS_write, fd, bytes, size);
}

int fdatasync(int fd) { return Sync(fd, SYS_fdatasync); }
int fsync(int fd) { return Sync(fd, SYS_fsync); }

}  // extern "C"
