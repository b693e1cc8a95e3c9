#pragma once
// Makes certificates for tests: an authority, and certificates that it signs.
//
// One thread.

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace klatch {

// A certificate and its private key, in PEM.
struct CertifiedKey {
  std::string certificate;
  std::string key;
};

class CertificateMaker {
 public:
  // A new authority.
  CertificateMaker() : key_(EVP_EC_gen("P-256"), EVP_PKEY_free) {
    own_.reset(New("test authority", key_.get(), kDay));
    Extend(own_.get(), NID_basic_constraints, "critical,CA:TRUE");
    X509_set_issuer_name(own_.get(), X509_get_subject_name(own_.get()));
    X509_sign(own_.get(), key_.get(), EVP_sha256());
  }

  std::string authority() const { return PemOf(own_.get()); }

  // `names` as openssl writes them, such as "DNS:localhost,IP:127.0.0.1". A time that is past makes one
  // that has expired.
  CertifiedKey Make(const std::string& names, long seconds = kDay) const {
    const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Certificate certificate(New("test", key.get(), seconds), X509_free);
    Extend(certificate.get(), NID_subject_alt_name, names);
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(own_.get()));
    X509_sign(certificate.get(), key_.get(), EVP_sha256());
    const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return {PemOf(certificate.get()), TextOf(bio.get())};
  }

 private:
  using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
  using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
  static constexpr long kDay = 86'400;

  static X509* New(const std::string& name, EVP_PKEY* key, long seconds) {
    static long serial = 0;
    X509* certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -kDay);
    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_pubkey(certificate, key);
    return certificate;
  }
  static void Extend(X509* certificate, int what, const std::string& value) {
    const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str()), X509_EXTENSION_free);
    X509_add_ext(certificate, extension.get(), -1);
  }
  static std::string TextOf(BIO* bio) {
    char* begin = nullptr;
    const long size = BIO_get_mem_data(bio, &begin);
    return {begin, static_cast<size_t>(size)};
  }
  static std::string PemOf(X509* certificate) {
    const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
    PEM_write_bio_X509(bio.get(), certificate);
    return TextOf(bio.get());
  }

  const Key key_;
  Certificate own_{nullptr, X509_free};
};

}  // namespace klatch
