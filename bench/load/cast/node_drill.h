#pragma once
// What may befall a node during a load. The kill: SIGKILL at a point of the load, wait until it is
// gone, start it again. The pause: SIGSTOP, and SIGCONT after a while.
//
// The node may be nobody's child here; its process id comes from an option or a file. The new node
// is a child of this process and outlives it; its id is written to the file, so that whoever
// started the first one finds the second.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace klatch::load {

struct NodeDrillOptions {
  pid_t pid = 0;         // 0: read it from the file
  std::string pid_file;  // may be empty
  std::vector<std::string> restart_command;
};

// Splits a command line as a shell does, with '…', "…" and \ but nothing else. INVALID_ARGUMENT: a
// quote that isn't closed, or no words.
absl::StatusOr<std::vector<std::string>> SplitCommand(std::string_view line);

// The id of the node that is to be killed, and whether it runs. NOT_FOUND: it doesn't, or the file
// names none.
absl::StatusOr<pid_t> FindNode(const NodeDrillOptions& options);

// Stops the node for so long. NOT_FOUND: it doesn't run.
absl::Status PauseNode(const NodeDrillOptions& options, std::chrono::milliseconds time);

// Kills, waits until the process is gone, starts the command with stdout joined to stderr. Returns
// the new process id. DEADLINE_EXCEEDED: it would not die.
absl::StatusOr<pid_t> KillAndRestart(const NodeDrillOptions& options,
                                     std::chrono::milliseconds timeout);

}  // namespace klatch::load
