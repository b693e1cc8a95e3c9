#pragma once
// `klatch watch`: a home timeline as it grows.
//
// Goes on by itself from the last resume token when the connection breaks, and leaves out what it
// has printed already. Blocks until it is interrupted, has seen enough, or the server can't be
// reached for longer than a call's timeout.

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/klatch/session.h"

namespace klatch::cli {

struct WatchOptions {
  // Empty: from now on.
  std::string resume_token;
  // Ends after so many events; 0: never.
  int count = 0;
  // Ends after so long; 0: never.
  double seconds = 0;
};

struct WatchEnd {
  // Why it ended before it was to: the server's error, or that there is none. OK if it did not.
  absl::Status status;
  bool interrupted = false;
  // To go on from; empty if nothing was said.
  std::string resume_token;
};

// `print` gets what goes to stdout, an event at a time; it says whether more is wanted.
WatchEnd Watch(const Session& session, const WatchOptions& options,
               std::chrono::milliseconds patience, const std::atomic<bool>& interrupted,
               const std::function<bool(std::string_view)>& print);

// One event for people, in a line or more.
std::string PrintWatchEvent(const v1::WatchEvent& event, const Session& session);

}  // namespace klatch::cli
