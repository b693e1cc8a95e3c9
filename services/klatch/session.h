#pragma once
// What every command of `klatch` works with, and how it shows results.

#include <google/protobuf/message.h>

#include <chrono>
#include <string>

#include "services/klatch/client.h"
#include "services/klatch/table.h"

namespace klatch::cli {

enum class Format { kTables, kJson };

// Who calls, on which server, and who reads the result. Lives as long as the command.
struct Session {
  Client& client;
  // Empty: the server's default.
  std::string name_space;
  // The person who acts.
  std::string actor;
  Format format = Format::kTables;
  Screen screen;
  std::chrono::system_clock::time_point now;
  // Where progress goes; it is drawn with control codes, so only where colours are on.
  Screen progress = {};
};

// `message` by protobuf's JSON mapping, one line with its line feed; fields without a value are
// written too, so that the shape is always the same. 64-bit numbers are strings there.
std::string ToJson(const google::protobuf::Message& message);

// The fields that each request has.
template <typename Request>
Request NewRequest(const Session& session) {
  Request request;
  request.set_namespace_(session.name_space);
  request.set_actor(session.actor);
  return request;
}

}  // namespace klatch::cli
