#include "common/redis/command.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cassert>
#include <iterator>
#include <string_view>

namespace klatch::redis {
namespace {

std::string Sha1Hex(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  [[maybe_unused]] int ok =
      EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha1(), nullptr);
  assert(ok == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
  }
  return hex;
}

// Writes "<type><number>\r\n".
void AppendHeader(char type, size_t number, std::string& out) {
  fmt::format_int digits(number);
  out.push_back(type);
  out.append(digits.data(), digits.size()).append("\r\n");
}

void AppendBulk(std::string_view bytes, std::string& out) {
  AppendHeader('$', bytes.size(), out);
  out.append(bytes).append("\r\n");
}

}  // namespace

Script::Script(std::string name, std::string source)
    : name_(std::move(name)), source_(std::move(source)), sha1_hex_(Sha1Hex(source_)) {}

Command Command::Eval(const Script& script, std::vector<std::string> keys,
                      std::vector<std::string> arguments) {
  Command command;
  command.script = &script;
  command.args.reserve(3 + keys.size() + arguments.size());
  command.args.emplace_back("EVALSHA");
  command.args.push_back(script.sha1_hex());
  command.args.push_back(std::to_string(keys.size()));
  command.args.insert(command.args.end(), std::make_move_iterator(keys.begin()),
                      std::make_move_iterator(keys.end()));
  command.args.insert(command.args.end(), std::make_move_iterator(arguments.begin()),
                      std::make_move_iterator(arguments.end()));
  return command;
}

size_t Command::bytes() const {
  // An argument's header on the wire has at most about 16 bytes.
  size_t sum = 16;
  for (const std::string& argument : args) {
    sum += argument.size() + 16;
  }
  return sum;
}

void Command::AppendTo(std::string& out) const {
  AppendHeader('*', args.size(), out);
  for (const std::string& argument : args) {
    AppendBulk(argument, out);
  }
}

void Command::AppendEvalTo(std::string& out) const {
  assert(script != nullptr && args.size() >= 3);
  AppendHeader('*', args.size(), out);
  AppendBulk("EVAL", out);
  AppendBulk(script->source(), out);
  for (size_t i = 2; i < args.size(); ++i) {
    AppendBulk(args[i], out);
  }
}

}  // namespace klatch::redis
