#pragma once
// The other side of the door: how a client's channel shows who it is. With TLS, if it names whom to trust;
// with a certificate of its own; with a token, which goes with every call: in plain text only to a
// Unix socket or loopback.
//
// Thread safety: the channel, as any. Files are read when the channel is made; that of the token again every
// kTokenReadEvery, so that one that is renewed goes on.

#include <grpcpp/channel.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <memory>
#include <string>

#include "common/base/status.h"

namespace klatch {

struct ClientAccess {
  std::string ca_file = {};      // in PEM; empty: plain text
  std::string cert_file = {};    // in PEM, with key_file
  std::string key_file = {};     // in PEM
  std::string server_name = {};  // that the server's certificate must have; empty: the target's
  std::string token_file = {};   // a token and white space
};

constexpr std::chrono::seconds kTokenReadEvery{5};

// INVALID_ARGUMENT names what is missing or the file that can't be read.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& target,
                                                           const ClientAccess& access,
                                                           const grpc::ChannelArguments& arguments);

}  // namespace klatch
