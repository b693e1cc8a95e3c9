#pragma once
// Looks at one update as one reader, on all four paths (home, group and profile timelines, single
// update), and reports every path that shows it and must not, or must and does not, or shows another
// text.
//
// Threads: belongs to one thread, as its client does.

#include <span>
#include <string_view>

#include "bench/load/cast/player.h"

namespace klatch::load {

// On which paths an update must be shown. Where it must not, it is a leak.
struct ShownOn {
  bool home = true;
  bool group = true;
  bool profile = true;
  bool single = true;

  static ShownOn Everywhere() { return {}; }
  static ShownOn Nowhere() { return {false, false, false, false}; }
};

struct Look {
  PersonNumber reader = 0;
  PersonNumber author = 0;
  GroupNumber group = 0;
  uint64_t update = 0;
  std::string_view text;
  // Of what must be applied before the answer.
  std::span<const klatch::v1::Token> tokens = {};
  // "after its edit", for messages.
  std::string_view when;
};

class Onlooker {
 public:
  Onlooker(const Stage& stage, Client& client) : stage_(stage), client_(client) {}

  void LookEverywhere(const Look& look, const ShownOn& expected);

 private:
  void JudgePage(const Look& look, Surface surface, bool expected, const TimelineRead& read);
  void Judge(const Look& look, Surface surface, bool expected, const klatch::v1::Update* shown);
  void Failed(const Look& look, Surface surface, const grpc::Status& status);

  const Stage stage_;
  Client& client_;
};

}  // namespace klatch::load
