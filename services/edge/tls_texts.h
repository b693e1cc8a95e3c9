#pragma once
// What a server shows to those who connect by TLS, and whom it believes. A value.

#include <functional>
#include <memory>
#include <string>

namespace klatch {

// All in PEM.
struct TlsTexts {
  std::string certificate;       // and those that lead to its authority
  std::string key;               // without a pass phrase
  std::string client_authority;  // empty: clients are not asked for a certificate
  friend bool operator==(const TlsTexts&, const TlsTexts&) = default;
};

// What holds now: the same pointer until something has changed.
using TlsSource = std::function<std::shared_ptr<const TlsTexts>()>;

}  // namespace klatch
