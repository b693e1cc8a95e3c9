#include "services/klatchd/certificates.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

#include "common/base/whole_file.h"
#include "common/obs/log.h"

namespace klatch {
namespace {

constexpr size_t kPemBytesMax = 1 << 20;
constexpr const char* kOptions[] = {"tls-cert", "tls-key", "tls-client-ca"};
constexpr std::string TlsTexts::*kTexts[] = {&TlsTexts::certificate, &TlsTexts::key,
                                             &TlsTexts::client_authority};

using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
using PrivateKey = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Memory = std::unique_ptr<BIO, int (*)(BIO*)>;

absl::Status Invalid(std::string_view option, std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, fmt::format("--{} {}", option, message));
}

Memory MemoryOf(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

// A key with a pass phrase is refused: nobody is there to be asked.
int NoPassPhrase(char*, int, int, void*) { return -1; }

// The first certificate of the text, which holds now.
absl::StatusOr<Certificate> ParseCertificate(std::string_view option, const std::string& path,
                                             const std::string& text) {
  Certificate certificate(PEM_read_bio_X509(MemoryOf(text).get(), nullptr, NoPassPhrase, nullptr),
                          X509_free);
  if (certificate == nullptr) {
    return Invalid(option, fmt::format("{}: holds no certificate in PEM", path));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0) {
    return Invalid(option, fmt::format("{}: the certificate has expired", path));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0) {
    return Invalid(option, fmt::format("{}: the certificate is not valid yet", path));
  }
  return certificate;
}

int64_t ExpiryOf(const X509& certificate) {
  tm time{};
  return ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &time) == 1 ? timegm(&time) : 0;
}

}  // namespace

Certificates::Certificates(const KlatchdOptions& options)
    : paths_{options.tls_cert, options.tls_key, options.tls_client_ca} {}

Certificates::~Certificates() {
  reloading_.Stop();
  for (const int copy : copies_) {
    if (copy >= 0) {
      close(copy);
    }
  }
}

std::string Certificates::PathOf(File file) const {
  return copies_[file] < 0 ? "" : fmt::format("/proc/self/fd/{}", copies_[file]);
}

absl::StatusOr<TlsTexts> Certificates::Read() const {
  TlsTexts texts;
  for (size_t i = 0; i < kFiles; ++i) {
    if (paths_[i].empty()) {
      continue;
    }
    absl::StatusOr<std::string> text = base::ReadWholeFile(paths_[i], kPemBytesMax);
    if (!text.ok()) {
      return Invalid(kOptions[i], base::MessageOf(text.status()));
    }
    texts.*kTexts[i] = *std::move(text);
  }
  return texts;
}

absl::StatusOr<int64_t> Certificates::Check(const TlsTexts& texts) const {
  KLATCH_ASSIGN_OR_RETURN(
      const Certificate certificate,
      ParseCertificate(kOptions[kCertificate], paths_[kCertificate], texts.certificate));
  const PrivateKey key(
      PEM_read_bio_PrivateKey(MemoryOf(texts.key).get(), nullptr, NoPassPhrase, nullptr),
      EVP_PKEY_free);
  if (key == nullptr) {
    return Invalid(
        kOptions[kKey],
        fmt::format("{}: holds no private key in PEM without a pass phrase", paths_[kKey]));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Invalid(kOptions[kKey], fmt::format("{}: is not the key of the certificate {}",
                                               paths_[kKey], paths_[kCertificate]));
  }
  if (!paths_[kAuthority].empty()) {
    KLATCH_RETURN_IF_ERROR(
        ParseCertificate(kOptions[kAuthority], paths_[kAuthority], texts.client_authority)
            .status());
  }
  return ExpiryOf(*certificate);
}

// gRPC compares contents every second: what it reads amid this it reads once more.
absl::Status Certificates::Take(const TlsTexts& texts, int64_t expires) {
  for (size_t i = 0; i < kFiles; ++i) {
    if (paths_[i].empty()) {
      continue;
    }
    if (copies_[i] < 0) {
      copies_[i] = memfd_create(kOptions[i], MFD_CLOEXEC);
    }
    const std::string& text = texts.*kTexts[i];
    const auto size = static_cast<ssize_t>(text.size());
    if (copies_[i] < 0 || pwrite(copies_[i], text.data(), text.size(), 0) != size ||
        ftruncate(copies_[i], size) != 0) {
      return Invalid(kOptions[i], fmt::format("can't be copied: {}", std::strerror(errno)));
    }
  }
  // relaxed: a number on its own.
  expires_.store(expires, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  current_ = std::make_shared<const TlsTexts>(texts);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Certificates>> Certificates::Open(const KlatchdOptions& options) {
  std::unique_ptr<Certificates> opened(new Certificates(options));
  KLATCH_ASSIGN_OR_RETURN(const TlsTexts texts, opened->Read());
  KLATCH_ASSIGN_OR_RETURN(const int64_t expires, opened->Check(texts));
  KLATCH_RETURN_IF_ERROR(opened->Take(texts, expires));
  return opened;
}

void Certificates::Reload() {
  const absl::StatusOr<TlsTexts> texts = Read();
  if (texts.ok() && *texts == *current()) {
    error_.clear();
    return;
  }
  absl::Status status = texts.status();
  if (texts.ok()) {
    const absl::StatusOr<int64_t> expires = Check(*texts);
    status = expires.ok() ? Take(*texts, *expires) : expires.status();
  }
  if (status.ok()) {
    error_.clear();
    obs::Log(obs::Level::kInfo, "certificates", "changed", {});
    return;
  }
  // relaxed: a counter.
  failures_.fetch_add(1, std::memory_order_relaxed);
  const std::string error = base::MessageOf(status);
  if (std::exchange(error_, error) != error) {
    obs::Log(obs::Level::kError, "certificates", "can't be used; those from before hold",
             {{"error", error}});
  }
}

void Certificates::Register(obs::MetricsRegistry& metrics) const {
  // relaxed: numbers on their own.
  metrics.AddGauge("klatch_certificate_expiry_timestamp_seconds",
                   "When the certificate of the API ends, in seconds since 1970.", {}, [this] {
                     return static_cast<double>(expires_.load(std::memory_order_relaxed));
                   });
  metrics.AddCounter("klatch_certificate_reload_failures_total",
                     "Times that changed certificates could not be used.", {},
                     [this] { return failures_.load(std::memory_order_relaxed); });
}

}  // namespace klatch
