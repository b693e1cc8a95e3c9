#pragma once
// A command as its arguments; never a format string, so no argument can become another command.

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace klatch::redis {

// A Lua script, known to Redis by the SHA-1 of its source. Immutable; usually a constant of the
// program. A connection sends EVAL with the source at a script's first use, EVALSHA from then on,
// and falls back to EVAL once on NOSCRIPT.
class Script {
 public:
  Script(std::string name, std::string source);

  const std::string& name() const { return name_; }
  const std::string& source() const { return source_; }
  const std::string& sha1_hex() const { return sha1_hex_; }

 private:
  std::string name_;
  std::string source_;
  std::string sha1_hex_;
};

struct Command {
  Command() = default;
  Command(std::initializer_list<std::string> arguments) : args(arguments) {}
  explicit Command(std::vector<std::string> arguments) : args(std::move(arguments)) {}

  // A call of a script. `script` must outlive the command.
  static Command Eval(const Script& script, std::vector<std::string> keys,
                      std::vector<std::string> arguments);

  // What it costs in memory and on the wire, nearly.
  size_t bytes() const;

  // Appends the command as Redis's protocol wants it (RESP, an array of bulk strings).
  void AppendTo(std::string& out) const;
  // The same as EVAL with the script's source. REQUIRES: script != nullptr.
  void AppendEvalTo(std::string& out) const;

  std::vector<std::string> args;
  // Null unless made by Eval: then args are EVALSHA's, and EVAL's source is at hand for NOSCRIPT.
  const Script* script = nullptr;
};

}  // namespace klatch::redis
