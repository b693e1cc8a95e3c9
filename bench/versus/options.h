#pragma once
// What `klatch-load versus` can be told.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/options.h"

namespace klatch::versus {

struct VersusOptions {
  bool quick = false;
  std::vector<std::string> only;       // keys; empty: all
  std::chrono::milliseconds timed{0};  // each side of a ratio; 0: as quick says
  uint32_t persons = 0;                // 0: as quick says
  uint64_t seed = 1;
  bool json = false;

  std::string klatchd;  // empty: beside this program, then in PATH
  std::string redis_server = "redis-server";
  std::string nats_server = "nats-server";
  std::string work_dir;  // empty: a temporary one

  // Of a process that versus starts of this same program: a peer to measure against.
  std::string serve;
  std::string listen;

  uint32_t PersonCount() const { return persons != 0 ? persons : quick ? 10'000 : 100'000; }
  std::chrono::duration<double> Timed() const {
    return timed.count() != 0 ? timed : std::chrono::milliseconds(quick ? 8'000 : 60'000);
  }
  // Slices of each side, which alternate.
  uint32_t SliceCount() const { return quick ? 2 : 3; }
  std::chrono::duration<double> Slice() const { return Timed() / SliceCount(); }
  bool Wants(std::string_view key) const;
};

// The table that reads into `options`, which must outlive it.
base::OptionTable MakeVersusTable(VersusOptions& options);

}  // namespace klatch::versus
