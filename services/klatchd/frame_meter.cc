#include "services/klatchd/frame_meter.h"

#include <algorithm>

namespace klatch {
namespace {

// RFC 9113, section 6.
enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kAck = 0x1;
constexpr uint32_t kMsPerSecond = 1'000;

}  // namespace

FrameVerdict FrameMeter::Feed(std::span<const char> bytes, std::chrono::milliseconds now,
                              const FrameBounds& bounds) {
  Turn(now);
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const size_t skipped = std::min<size_t>(skip_, bytes.size());
      skip_ -= static_cast<uint32_t>(skipped);
      bytes = bytes.subspan(skipped);
      continue;
    }
    const size_t taken = std::min(kHeadBytes - had_, bytes.size());
    std::copy_n(bytes.begin(), taken, frame_.begin() + had_);
    had_ += static_cast<uint32_t>(taken);
    bytes = bytes.subspan(taken);
    if (had_ == kHeadBytes) {
      had_ = 0;
      if (const FrameVerdict verdict = OnFrame(bounds); verdict != FrameVerdict::kGood) {
        return verdict;
      }
    }
  }
  return FrameVerdict::kGood;
}

FrameVerdict FrameMeter::OnFrame(const FrameBounds& bounds) {
  const uint32_t size = uint32_t{frame_[0]} << 16 | uint32_t{frame_[1]} << 8 | frame_[2];
  const uint32_t stream =
      uint32_t{frame_[5]} << 24 | uint32_t{frame_[6]} << 16 | uint32_t{frame_[7]} << 8 | frame_[8];
  const uint8_t flags = frame_[4];
  const bool is_end = (flags & kEndStream) != 0;
  skip_ = size;
  bool is_control = false;
  switch (frame_[3]) {
    case kHeaders: {
      head_bytes_ = head_pieces_ = 0;
      const FrameVerdict verdict = OnCall(stream, is_end, bounds);
      return verdict == FrameVerdict::kGood ? OnHead(size, bounds) : verdict;
    }
    case kContinuation:
      return OnHead(size, bounds);
    case kData:
      if (is_end) {
        OnRequestEnd();
      }
      is_control = size == 0 && !is_end;
      break;
    case kRstStream:
      OnRequestEnd();
      return OnReset(stream, bounds);
    case kSettings:
    case kPing:
      is_control = (flags & kAck) == 0;
      break;
    case kWindowUpdate:
      return ++windows_ > bounds.windows ? FrameVerdict::kControl : FrameVerdict::kGood;
    default:
      // Priorities, and what nobody knows.
      is_control = true;
  }
  control_ += is_control ? 1 : 0;
  return control_ > bounds.control ? FrameVerdict::kControl : FrameVerdict::kGood;
}

FrameVerdict FrameMeter::OnCall(uint32_t stream, bool is_whole, const FrameBounds& bounds) {
  last_stream_ = std::max(last_stream_, stream);
  ++begun_;
  open_ += is_whole ? 0 : 1;
  return open_ > 2 * bounds.streams ? FrameVerdict::kStreams : FrameVerdict::kGood;
}

FrameVerdict FrameMeter::OnHead(uint32_t size, const FrameBounds& bounds) {
  head_bytes_ += size;
  ++head_pieces_;
  return head_bytes_ > bounds.head_bytes || head_pieces_ > bounds.head_pieces ? FrameVerdict::kHead
                                                                              : FrameVerdict::kGood;
}

FrameVerdict FrameMeter::OnReset(uint32_t stream, const FrameBounds& bounds) {
  if (stream <= last_young_before_) {
    return FrameVerdict::kGood;
  }
  return ++resets_ > bounds.resets && resets_ > (begun_before_ + begun_) / 2 ? FrameVerdict::kResets
                                                                             : FrameVerdict::kGood;
}

void FrameMeter::Turn(std::chrono::milliseconds now) {
  const auto second = static_cast<uint32_t>(now.count() / kMsPerSecond);
  if (second == second_) {
    return;
  }
  const bool is_next = second == second_ + 1;
  last_young_before_ = is_next ? last_before_ : last_stream_;
  last_before_ = last_stream_;
  begun_before_ = is_next ? begun_ : 0;
  second_ = second;
  begun_ = resets_ = control_ = windows_ = 0;
}

}  // namespace klatch
