#pragma once
// How klatch-load ends: DESIGN "Contracts".

namespace klatch::load {

enum class ExitCode : int {
  kGood = 0,
  kPromiseMissed = 1,
  kUsage = 2,
  kPrerequisiteMissing = 3,
  kUnreachable = 4,
  kInterrupted = 130,
};

}  // namespace klatch::load
