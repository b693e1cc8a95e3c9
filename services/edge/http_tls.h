#pragma once
// TLS of the edge: what its connections show, made anew when that changes. New connections get the new one;
// those that are there go on. And what the certificates of clients say.
//
// Threads: one at a time. What can't be used is logged once, and what was good before holds.

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "services/edge/tls_texts.h"

namespace klatch {

class HttpTls {
 public:
  using Context = boost::asio::ssl::context;

  // `requires_client`: nobody is let in without a certificate, where clients are asked for one.
  // INVALID_ARGUMENT if what the source has can't be used.
  static absl::StatusOr<std::unique_ptr<HttpTls>> Open(TlsSource source, bool requires_client);

  // For the next connection.
  std::shared_ptr<Context> Current();

 private:
  HttpTls(TlsSource source, bool requires_client)
      : source_(std::move(source)), requires_client_(requires_client) {}
  absl::Status Take(std::shared_ptr<const TlsTexts> texts);

  const TlsSource source_;
  const bool requires_client_;
  std::shared_ptr<const TlsTexts> seen_;
  std::shared_ptr<Context> context_;
};

// The DNS names and URIs of the certificate that a connection has verified, as the door knows them. False if
// there is none.
bool ReadClientNames(const SSL& connection, std::vector<std::string>& names);

}  // namespace klatch
