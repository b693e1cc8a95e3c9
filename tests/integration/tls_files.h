#pragma once
// The files with which a redis-server and who calls it know each other by TLS.
//
// Thread safety: one thread.

#include <fstream>
#include <string>
#include <vector>

#include "common/redis/address.h"
#include "tests/integration/temporary_directory.h"
#include "tests/unit/certificate_maker.h"

namespace klatch::testing {

class TlsFiles {
 public:
  TlsFiles() {
    Write("other-ca.crt", CertificateMaker().authority());
    WritePair("foreign", CertificateMaker().Make("DNS:klatch"));
    Renew();
  }

  // Another authority, and what it signs: "redis" for localhost, 127.0.0.1 and redis.example.org; "klatch"
  // for who calls it, and "expired".
  void Renew() const {
    const CertificateMaker authority;
    Write("ca.crt", authority.authority());
    WritePair("redis", authority.Make("DNS:localhost,DNS:redis.example.org,IP:127.0.0.1"));
    WritePair("klatch", authority.Make("DNS:klatch"));
    WritePair("expired", authority.Make("DNS:klatch", -60));
  }

  std::string Path(const std::string& name) const { return (directory_.path() / name).string(); }

  // What redis-server needs to serve TLS on a port, to those with a certificate.
  std::vector<std::string> ServerArguments(int port) const {
    return {"--tls-port",     std::to_string(port), "--tls-cert-file",    Path("redis.crt"),
            "--tls-key-file", Path("redis.key"),    "--tls-ca-cert-file", Path("ca.crt")};
  }
  // `ours`: the pair that is shown; empty: none.
  redis::Address AddressOf(const std::string& host, int port, const std::string& ours) const {
    redis::Address address;
    address.host = host;
    address.port = port;
    address.tls.emplace();
    address.tls->ca_file = Path("ca.crt");
    if (!ours.empty()) {
      address.tls->cert_file = Path(ours + ".crt");
      address.tls->key_file = Path(ours + ".key");
    }
    return address;
  }

 private:
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
  }
  void WritePair(const std::string& name, const CertifiedKey& pair) const {
    Write(name + ".crt", pair.certificate);
    Write(name + ".key", pair.key);
  }

  const TemporaryDirectory directory_;
};

}  // namespace klatch::testing
