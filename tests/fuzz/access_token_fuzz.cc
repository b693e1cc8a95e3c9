// Tokens that say who calls. The key is made here, so that inputs can be genuine: nothing is let in that it has not
// signed, and of what it has signed only what says whose it is, for whom, and until when.

#include "services/identity/token_keys.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/token_maker.h"

namespace klatch {
namespace {

using fuzz::Require;

constexpr char kKid[] = "k";

struct Issuer {
  Issuer() { Require(keys.Add(kKid, maker.PublicPem()).ok(), "a key is taken"); }

  const TokenMaker maker{TokenMaker::Kind::kP256};
  TokenKeys keys;
};

void Try(const Issuer& issuer, const std::string& token, bool may_pass) {
  const base::WallTime now = base::SystemClock().Wall();
  const absl::StatusOr<VerifiedToken> verified = issuer.keys.Verify(token, "klatch", "issuer", now);
  if (!verified.ok()) {
    Require(absl::IsUnauthenticated(verified.status()), "a bad token is unauthenticated");
    return;
  }
  Require(may_pass, "nobody else's token passes");
  Require(!verified->subject.empty() && verified->expires > now,
          "a token says whose it is and until when");
}

}  // namespace
}  // namespace klatch

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const klatch::Issuer issuer;
  klatch::fuzz::Input input(data, size);
  switch (input.Choose(3)) {
    case 0:
      Try(issuer, std::string(input.rest()), /*may_pass=*/false);
      break;
    case 1:
      Try(issuer, issuer.maker.Sign(R"({"alg": "ES256", "kid": "k"})", input.rest()),
          /*may_pass=*/true);
      break;
    default: {
      // The header is the input's, too.
      const std::string_view header = input.Line();
      Try(issuer, issuer.maker.Sign(header, input.rest()), /*may_pass=*/true);
      Try(issuer, issuer.maker.SignWithPublicKey(header, input.rest()), /*may_pass=*/false);
    }
  }
  return 0;
}
