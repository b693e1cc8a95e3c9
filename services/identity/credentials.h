#pragma once
// What somebody shows at the door: a token in the metadata of a call ("authorization: Bearer …"), or else
// the names in the certificate of their connection.
//
// Calls over HTTP come to the node by a channel inside the process, which has no certificate of its own. Who
// makes them adds the names that its client's has, and a secret of the process: from anywhere else such
// metadata counts for nothing.
//
// Thread safety: functions without state.

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <string>
#include <string_view>
#include <vector>

namespace klatch {

struct Credentials {
  std::string token = {};
  // Whether the connection has verified a certificate, and its DNS names and URIs.
  bool has_certificate = false;
  std::vector<std::string> certificate = {};
};

// What stands in a header "authorization"; empty if nothing does. One that is no bearer token is a token that
// nobody takes.
std::string TokenOf(std::string_view authorization);

// A header "authorization" that is there leaves the certificate out, whatever stands in it.
Credentials CredentialsOf(const grpc::ServerContextBase& context);

// Shows them for somebody else. REQUIRES: the call's channel is one inside the process; the token is printable
// ASCII, as gRPC insists.
void Show(const Credentials& credentials, grpc::ClientContext& context);

}  // namespace klatch
