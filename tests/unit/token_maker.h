#pragma once
// Makes keys and signs tokens with them, for tests; good ones, and such as no honest issuer makes.
//
// One thread.

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <string_view>

namespace klatch {

inline std::string Base64Url(std::string_view bytes) {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(byte);
    count += 8;
    for (; count >= 6; count -= 6) {
      text += kLetters[bits >> (count - 6) & 63];
    }
  }
  if (count > 0) {
    text += kLetters[bits << (6 - count) & 63];
  }
  return text;
}

class TokenMaker {
 public:
  enum class Kind { kRsa, kShortRsa, kP256, kP384 };

  explicit TokenMaker(Kind kind) : key_(Make(kind), EVP_PKEY_free) {}

  std::string PublicPem() const {
    const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PUBKEY(bio.get(), key_.get());
    return TextOf(bio.get());
  }
  std::string PrivatePem() const {
    const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return TextOf(bio.get());
  }

  // Header and claims are JSON. Signed by SHA-256 with the key, whatever the header says.
  std::string Sign(std::string_view header, std::string_view claims) const {
    const std::string content = Base64Url(header) + "." + Base64Url(claims);
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                     EVP_MD_CTX_free);
    EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get());
    const auto* bytes = reinterpret_cast<const unsigned char*>(content.data());
    size_t size = 0;
    EVP_DigestSign(context.get(), nullptr, &size, bytes, content.size());
    std::string signature(size, '\0');
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                   content.size());
    signature.resize(size);
    return content + "." +
           Base64Url(EVP_PKEY_is_a(key_.get(), "EC") != 0 ? Raw(signature) : signature);
  }

  // Signed by HMAC with the text of the public key: what a verifier takes that believes the header.
  std::string SignWithPublicKey(std::string_view header, std::string_view claims) const {
    const std::string content = Base64Url(header) + "." + Base64Url(claims);
    const std::string secret = PublicPem();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest, &size);
    return content + "." + Base64Url({reinterpret_cast<const char*>(digest), size});
  }

 private:
  static EVP_PKEY* Make(Kind kind) {
    switch (kind) {
      case Kind::kRsa:
        return EVP_RSA_gen(2'048);
      case Kind::kShortRsa:
        return EVP_RSA_gen(1'024);
      case Kind::kP256:
        return EVP_EC_gen("P-256");
      case Kind::kP384:
        return EVP_EC_gen("P-384");
    }
    return nullptr;
  }
  static std::string TextOf(BIO* bio) {
    char* begin = nullptr;
    const long size = BIO_get_mem_data(bio, &begin);
    return {begin, static_cast<size_t>(size)};
  }
  // The two numbers of a signature by P-256, each in 32 bytes.
  static std::string Raw(const std::string& der) {
    const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> parsed(
        d2i_ECDSA_SIG(nullptr, &begin, static_cast<long>(der.size())), ECDSA_SIG_free);
    std::string raw(64, '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), bytes, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), bytes + 32, 32);
    return raw;
  }

  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
};

}  // namespace klatch
