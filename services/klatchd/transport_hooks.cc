// accept4, recvmsg and SSL_read for the whole program: see transport_guard.h. Linked into klatchd
// itself, since what a program defines goes before what its libraries do. Each does what the
// library's does, and then asks.
//
// gRPC is the one who accepts without blocking by accept4, and who agrees on HTTP/2. What HTTP and
// the metrics accept and read passes.

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "services/klatchd/transport_guard.h"

#define KLATCH_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using klatch::TransportGuard;

using Accept = int (*)(int, sockaddr*, socklen_t*, int);
using ReceiveMessage = ssize_t (*)(int, msghdr*, int);
using ReadDecrypted = int (*)(SSL*, void*, int);

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// Errors with which gRPC would stop to accept for ever; the rest says to come again.
bool IsOfOneConnection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

// What gRPC is told when nothing can be accepted: to wait for the next who connects, which wakes it
// for all who wait. Descriptors, buffers and memory run out and come back.
int TellLater(int error) {
  const bool is_shortage =
      error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
  errno = is_shortage ? EAGAIN : error;
  return -1;
}

int AcceptGuarded(Accept next, int listener, sockaddr* address, socklen_t* size, int flags) {
  TransportGuard& guard = TransportGuard::OfProcess();
  // Ends with the queue: whoever is refused has left it.
  while (true) {
    sockaddr_storage from{};
    socklen_t from_size = sizeof(from);
    const int fd = next(listener, reinterpret_cast<sockaddr*>(&from), &from_size, flags);
    if (fd < 0) {
      const int error = errno;
      const bool is_out = error == EMFILE || error == ENFILE;
      if (IsOfOneConnection(error) || (is_out && guard.OnOutOfDescriptors(listener))) {
        continue;
      }
      return TellLater(error);
    }
    if (guard.OnAccepted(fd, from)) {
      if (address != nullptr && size != nullptr) {
        std::memcpy(address, &from, std::min(*size, from_size));
        *size = from_size;
      }
      return fd;
    }
  }
}

void DeleteMeter(void*, void* meter, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<klatch::FrameMeter*>(meter);
}

// Of a connection on which HTTP/2 was agreed; it is gone with the connection. Null: none can be had.
klatch::FrameMeter* MeterOf(SSL* connection) {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, DeleteMeter);
  auto* meter = static_cast<klatch::FrameMeter*>(SSL_get_ex_data(connection, index));
  if (meter == nullptr) {
    meter = new klatch::FrameMeter();
    if (SSL_set_ex_data(connection, index, meter) != 1) {
      delete meter;
      return nullptr;
    }
  }
  return meter;
}

bool SpeaksHttp2(SSL* connection) {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(connection, &name, &size);
  return std::string_view(reinterpret_cast<const char*>(name), size) == "h2";
}

}  // namespace

KLATCH_EXPORT int accept4(int listener, sockaddr* address, socklen_t* size, int flags) {
  static const auto next = Next<Accept>("accept4");
  return (flags & SOCK_NONBLOCK) != 0 ? AcceptGuarded(next, listener, address, size, flags)
                                      : next(listener, address, size, flags);
}

KLATCH_EXPORT ssize_t recvmsg(int fd, msghdr* message, int flags) {
  static const auto next = Next<ReceiveMessage>("recvmsg");
  const ssize_t received = next(fd, message, flags);
  if (received <= 0 || (flags & (MSG_PEEK | MSG_ERRQUEUE)) != 0) {
    return received;
  }
  TransportGuard& guard = TransportGuard::OfProcess();
  auto left = static_cast<size_t>(received);
  for (size_t i = 0; i < message->msg_iovlen && left > 0; ++i) {
    const iovec& part = message->msg_iov[i];
    const size_t bytes = std::min(part.iov_len, left);
    left -= bytes;
    if (guard.OnRead(fd, {static_cast<const char*>(part.iov_base), bytes})) {
      errno = ECONNRESET;
      return -1;
    }
  }
  return received;
}

KLATCH_EXPORT int SSL_read(SSL* connection, void* bytes, int size) {
  static const auto next = Next<ReadDecrypted>("SSL_read");
  const int read = next(connection, bytes, size);
  if (read <= 0 || SSL_is_server(connection) == 0 || !SpeaksHttp2(connection)) {
    return read;
  }
  klatch::FrameMeter* const meter = MeterOf(connection);
  if (meter != nullptr &&
      TransportGuard::OfProcess().OnDecrypted(
          *meter, {static_cast<const char*>(bytes), static_cast<size_t>(read)})) {
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
    return -1;
  }
  return read;
}
