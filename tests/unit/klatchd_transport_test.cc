// What stands between the kernel and gRPC: frames that are metered, connections that are counted,
// descriptors that have run out.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "services/klatchd/connection_table.h"
#include "services/klatchd/frame_meter.h"
#include "services/klatchd/transport_guard.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;

constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kSettings = 4, kPing = 6,
                  kWindowUpdate = 8, kContinuation = 9;
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, size_t size) {
  std::string frame;
  for (const size_t byte :
       {size >> 16, size >> 8, size, size_t{type}, size_t{flags}, size_t{stream >> 24},
        size_t{stream >> 16}, size_t{stream >> 8}, size_t{stream}}) {
    frame.push_back(static_cast<char>(byte & 0xff));
  }
  return frame + std::string(size, 'x');
}

std::string Call(uint32_t stream) {
  return Frame(kHeaders, kEndHeaders, stream, 60) + Frame(kData, kEndStream, stream, 20);
}

class FrameMeterTest : public ::testing::Test {
 protected:
  FrameMeterTest() { Feed(kPreface); }
  FrameVerdict Feed(std::string_view bytes) {
    return meter_.Feed({bytes.data(), bytes.size()}, now_, bounds_);
  }
  // Of the first `count`, or of one before them that was not good.
  template <typename Make>
  FrameVerdict FeedMany(int count, Make make) {
    for (int i = 0; i < count; ++i) {
      if (const FrameVerdict verdict = Feed(make(NextStream())); verdict != FrameVerdict::kGood) {
        return verdict;
      }
    }
    return FrameVerdict::kGood;
  }
  uint32_t NextStream() { return std::exchange(stream_, stream_ + 2); }

  FrameMeter meter_;
  FrameBounds bounds_;
  milliseconds now_{5'000};
  uint32_t stream_ = 1;
};

TEST_F(FrameMeterTest, AnyNumberOfCallsIsGood) {
  EXPECT_EQ(FeedMany(100'000, Call), FrameVerdict::kGood);
}

TEST_F(FrameMeterTest, FramesAreFoundHoweverTheyAreCut) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    bytes += Call(NextStream()) + Frame(kPing, 0, 0, 8);
  }
  for (size_t size = 1; size < 40; ++size) {
    FrameMeter meter;
    FrameVerdict verdict = FrameVerdict::kGood;
    size_t fed = 0;
    const std::string all = std::string(kPreface) + bytes;
    for (; fed < all.size() && verdict == FrameVerdict::kGood; fed += size) {
      const std::string_view part = std::string_view(all).substr(fed, size);
      verdict = meter.Feed({part.data(), part.size()}, now_, bounds_);
    }
    // The 201st ping is too much.
    EXPECT_EQ(verdict, FrameVerdict::kControl) << size;
    EXPECT_NEAR(static_cast<double>(fed), 24 + 200 * (69 + 29 + 17) + 107, 40) << size;
  }
}

TEST_F(FrameMeterTest, CallsThatAreTakenBackAtOnceAreAbuse) {
  const auto taken_back = [](uint32_t stream) {
    return Frame(kHeaders, kEndHeaders, stream, 6) + Frame(kReset, 0, stream, 4);
  };
  EXPECT_EQ(FeedMany(500, taken_back), FrameVerdict::kGood);
  EXPECT_EQ(FeedMany(1, taken_back), FrameVerdict::kResets);
}

TEST_F(FrameMeterTest, AThirdOfTheCallsMayBeTakenBack) {
  EXPECT_EQ(FeedMany(3'000,
                     [this](uint32_t stream) {
                       return Call(stream) + Call(NextStream()) + Call(NextStream()) +
                              Frame(kReset, 0, stream, 4);
                     }),
            FrameVerdict::kGood);
}

TEST_F(FrameMeterTest, ManyThatHaveLastedMayEndAtOnce) {
  EXPECT_EQ(FeedMany(1'000, [](uint32_t stream) { return Call(stream); }), FrameVerdict::kGood);
  now_ += milliseconds(2'000);
  for (uint32_t stream = 1; stream < 2'000; stream += 2) {
    ASSERT_EQ(Feed(Frame(kReset, 0, stream, 4)), FrameVerdict::kGood) << stream;
  }
}

TEST_F(FrameMeterTest, AHeadWithoutAnEndIsAbuse) {
  EXPECT_EQ(Feed(Frame(kHeaders, 0, 1, 16'000)), FrameVerdict::kGood);
  FrameVerdict verdict = FrameVerdict::kGood;
  int pieces = 0;
  for (; verdict == FrameVerdict::kGood && pieces < 10; ++pieces) {
    verdict = Feed(Frame(kContinuation, 0, 1, 16'000));
  }
  EXPECT_EQ(verdict, FrameVerdict::kHead);
  EXPECT_EQ(pieces, 6);
}

TEST_F(FrameMeterTest, AHeadInManyPiecesIsAbuse) {
  Feed(Frame(kHeaders, 0, 1, 1));
  FrameVerdict verdict = FrameVerdict::kGood;
  for (int i = 0; verdict == FrameVerdict::kGood && i < 100; ++i) {
    verdict = Feed(Frame(kContinuation, 0, 1, 1));
  }
  EXPECT_EQ(verdict, FrameVerdict::kHead);
}

TEST_F(FrameMeterTest, WhatNobodyNeedsSoOftenIsAbuse) {
  for (const std::string& frame :
       {Frame(kPing, 0, 0, 8), Frame(kSettings, 0, 0, 6), Frame(kPriority, 0, 1, 5),
        Frame(kData, 0, 1, 0), Frame(77, 0, 1, 3)}) {
    meter_ = FrameMeter();
    Feed(kPreface);
    EXPECT_EQ(FeedMany(200, [&](uint32_t) { return frame; }), FrameVerdict::kGood);
    EXPECT_EQ(Feed(frame), FrameVerdict::kControl);
  }
}

TEST_F(FrameMeterTest, WhatAReaderNeedsIsGood) {
  EXPECT_EQ(FeedMany(20'000,
                     [](uint32_t) {
                       return Frame(kWindowUpdate, 0, 0, 4) + Frame(kPing, kAck, 0, 8) +
                              Frame(kSettings, kAck, 0, 0);
                     }),
            FrameVerdict::kGood);
  for (int second = 0; second < 60; ++second) {
    now_ += milliseconds(1'000);
    EXPECT_EQ(FeedMany(150, [](uint32_t) { return Frame(kPing, 0, 0, 8); }), FrameVerdict::kGood);
  }
}

TEST_F(FrameMeterTest, MoreCallsThanTheServerAllowsAreAbuse) {
  const auto unfinished = [](uint32_t stream) { return Frame(kHeaders, kEndHeaders, stream, 6); };
  EXPECT_EQ(FeedMany(2'000, unfinished), FrameVerdict::kGood);
  EXPECT_EQ(FeedMany(1, unfinished), FrameVerdict::kStreams);
}

// Two ends of a connection.
std::pair<int, int> Connected() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return {ends[0], ends[1]};
}

sockaddr_storage From(uint32_t address) {
  sockaddr_storage from{};
  auto& ipv4 = reinterpret_cast<sockaddr_in&>(from);
  ipv4.sin_family = AF_INET;
  ipv4.sin_addr.s_addr = htonl(address);
  return from;
}

sockaddr_storage FromIpv6(std::initializer_list<uint8_t> first) {
  sockaddr_storage from{};
  auto& ipv6 = reinterpret_cast<sockaddr_in6&>(from);
  ipv6.sin6_family = AF_INET6;
  std::copy(first.begin(), first.end(), ipv6.sin6_addr.s6_addr);
  return from;
}

TEST(PeerNetworkTest, IsWhatOneHostIsGiven) {
  EXPECT_EQ(PeerNetwork(From(0x7f000001)), PeerNetwork(From(0x7f000001)));
  EXPECT_NE(PeerNetwork(From(0x7f000001)), PeerNetwork(From(0x7f000002)));
  EXPECT_EQ(PeerNetwork(FromIpv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1})),
            PeerNetwork(From(0x7f000001)));
  EXPECT_EQ(PeerNetwork(FromIpv6({1, 2, 3, 4, 5, 6, 7, 8, 9})),
            PeerNetwork(FromIpv6({1, 2, 3, 4, 5, 6, 7, 8, 10})));
  EXPECT_NE(PeerNetwork(FromIpv6({1, 2, 3, 4, 5, 6, 7, 8})),
            PeerNetwork(FromIpv6({1, 2, 3, 4, 5, 6, 7, 9})));
  EXPECT_EQ(PeerNetwork(sockaddr_storage{}), "");
}

TEST(ConnectionTableTest, ForgetsWhatIsClosedOrAnother) {
  ConnectionTable table(4);
  auto [first, first_end] = Connected();
  auto [second, second_end] = Connected();
  table.Add(first, "");
  table.Add(second, "");
  EXPECT_EQ(table.size(), 2U);
  close(second);
  table.Sweep();
  EXPECT_EQ(table.size(), 1U);
  // Another socket under the same number.
  EXPECT_EQ(dup2(first_end, first), first);
  table.Sweep();
  EXPECT_EQ(table.size(), 0U);
  close(first);
  close(first_end);
  close(second_end);
}

TEST(ConnectionTableTest, OneAddressHasHalf) {
  ConnectionTable table(4);
  std::vector<std::pair<int, int>> all;
  const auto add = [&](const std::string& network) {
    all.push_back(Connected());
    table.Add(all.back().first, network);
  };
  add("a");
  EXPECT_TRUE(table.HasRoom("a"));
  add("a");
  EXPECT_FALSE(table.HasRoom("a"));
  EXPECT_TRUE(table.HasRoom("b"));
  EXPECT_TRUE(table.HasRoom(""));
  add("");
  add("");
  EXPECT_FALSE(table.HasRoom("b"));
  EXPECT_FALSE(table.HasRoom(""));
  for (const auto& [one, other] : all) {
    close(one);
    close(other);
  }
  table.Sweep();
  EXPECT_EQ(table.size(), 0U);
  EXPECT_TRUE(table.HasRoom("a"));
}

class TransportGuardTest : public ::testing::Test {
 protected:
  ~TransportGuardTest() override {
    for (const int fd : open_) {
      close(fd);
    }
  }
  // The descriptor if it was let in; -1: it was closed.
  int Accept(uint32_t address) {
    const auto [ours, theirs] = Connected();
    open_.push_back(theirs);
    if (!guard_.OnAccepted(ours, From(address))) {
      EXPECT_EQ(fcntl(ours, F_GETFD), -1);
      return -1;
    }
    open_.push_back(ours);
    return ours;
  }
  bool Read(int fd, std::string_view bytes) {
    return guard_.OnRead(fd, {bytes.data(), bytes.size()});
  }
  bool Abuse(int fd) {
    std::string pings(kPreface);
    for (int i = 0; i < 1'000; ++i) {
      pings += Frame(kPing, 0, 0, 8);
    }
    return Read(fd, pings);
  }

  TransportGuard guard_;
  std::vector<int> open_;
};

TEST_F(TransportGuardTest, LetsEverythingPassUntilItIsArmed) {
  const int fd = Accept(1);
  ASSERT_GE(fd, 0);
  EXPECT_FALSE(Abuse(fd));
}

TEST_F(TransportGuardTest, RefusesWhatIsTooMuchUntilSomeHaveEnded) {
  guard_.Arm({.connections = 2, .streams = 10});
  const int first = Accept(1);
  ASSERT_GE(first, 0);
  EXPECT_LT(Accept(1), 0);  // half of them
  EXPECT_GE(Accept(2), 0);
  EXPECT_LT(Accept(3), 0);
  shutdown(first, SHUT_RDWR);
  close(first);
  std::erase(open_, first);
  std::this_thread::sleep_for(milliseconds(150));  // the count may be 100 ms old
  EXPECT_GE(Accept(3), 0);
}

TEST_F(TransportGuardTest, EndsAnAbusedConnectionAndNoOther) {
  guard_.Arm({.connections = 100, .streams = 10});
  const int abused = Accept(1);
  const int other = Accept(1);
  EXPECT_FALSE(Read(other, kPreface));
  EXPECT_TRUE(Abuse(abused));
  EXPECT_FALSE(Read(other, Call(1)));
  EXPECT_GE(Accept(1), 0);
}

TEST_F(TransportGuardTest, NeverEndsAnotherFileThatHasTheNumberByNow) {
  guard_.Arm({.connections = 100, .streams = 10});
  const int fd = Accept(1);
  const auto [reused, end] = Connected();
  ASSERT_EQ(dup2(reused, fd), fd);
  EXPECT_FALSE(Abuse(fd));
  close(reused);
  close(end);
}

TEST_F(TransportGuardTest, RefusesAnAddressWhoseConnectionsWereAbused) {
  guard_.Arm({.connections = 100, .streams = 10});
  for (uint32_t i = 0; i < 2 * TransportGuard::kCutsPerSecond; ++i) {
    if (const int fd = Accept(1); fd >= 0) {
      EXPECT_TRUE(Abuse(fd));
    }
  }
  EXPECT_LT(Accept(1), 0);
  EXPECT_GE(Accept(2), 0);
}

TEST_F(TransportGuardTest, TellsWhoWaitsThatDescriptorsHaveRunOut) {
  guard_.Arm({.connections = 100, .streams = 10});
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  open_ = {listener, client};
  sockaddr_storage name = From(INADDR_LOOPBACK);
  socklen_t size = sizeof(sockaddr_in);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size), 0);
  EXPECT_FALSE(guard_.OnOutOfDescriptors(listener));  // nobody waits
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&name), size), 0);
  EXPECT_TRUE(guard_.OnOutOfDescriptors(listener));
  char byte;
  EXPECT_EQ(recv(client, &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

}  // namespace
}  // namespace klatch
