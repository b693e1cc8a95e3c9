#pragma once
// What a client of HTTP/2 sends, judged as it comes: frames that cost a server more than the client,
// and that no client has a use for in such numbers. gRPC 1.51 counts none of them (CVE-2023-44487,
// CVE-2023-33953).
//
//   meter.Feed(bytes, now)      of each read, in order; anything but kGood: end the connection
//
// Thread safety: one thread at a time, for one connection.
// Bounds: 80 bytes, whatever is sent. Heads of frames are looked at, never what is in them.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace klatch {

enum class FrameVerdict : uint8_t {
  kGood,
  kResets,   // most calls are taken back, and there are many
  kHead,     // a head of a call that is too large, or in too many pieces
  kControl,  // pings, settings, priorities, empty pieces
  kStreams,  // more calls whose request has not ended than the server allows
};
constexpr size_t kFrameVerdicts = 5;

// Of one connection.
struct FrameBounds {
  // In a second, of calls that were begun in it or the one before; and more than half of those. Who
  // ends a thousand watches at once does no harm.
  uint32_t resets = 500;
  // In a second.
  uint32_t control = 200;
  // Of the protocol's credit, which a reader gives for each piece that it takes.
  uint32_t windows = 50'000;
  uint32_t head_bytes = 96 << 10;
  uint32_t head_pieces = 64;
  uint32_t streams = 1'000;  // what the server announced, and as many again for what is on its way
};

class FrameMeter {
 public:
  FrameVerdict Feed(std::span<const char> bytes, std::chrono::milliseconds now,
                    const FrameBounds& bounds);

 private:
  static constexpr size_t kHeadBytes = 9;
  static constexpr uint32_t kPrefaceBytes = 24;

  FrameVerdict OnFrame(const FrameBounds& bounds);
  FrameVerdict OnCall(uint32_t stream, bool is_whole, const FrameBounds& bounds);
  FrameVerdict OnHead(uint32_t size, const FrameBounds& bounds);
  FrameVerdict OnReset(uint32_t stream, const FrameBounds& bounds);
  void OnRequestEnd() { open_ -= open_ > 0 ? 1 : 0; }
  void Turn(std::chrono::milliseconds now);

  uint32_t skip_ = kPrefaceBytes;  // bytes until the next frame
  uint32_t had_ = 0;               // bytes of its head
  std::array<uint8_t, kHeadBytes> frame_{};

  // Of the head of a call that is under way.
  uint32_t head_bytes_ = 0;
  uint32_t head_pieces_ = 0;
  // Calls whose request has neither ended nor been taken back; below what it is if some did both.
  uint32_t open_ = 0;

  uint32_t last_stream_ = 0;
  // The last ones before this second, and before the one before it.
  uint32_t last_before_ = 0;
  uint32_t last_young_before_ = 0;
  uint32_t begun_before_ = 0;
  // Of this second.
  uint32_t second_ = 0;
  uint32_t begun_ = 0;
  uint32_t resets_ = 0;
  uint32_t control_ = 0;
  uint32_t windows_ = 0;
};

}  // namespace klatch
