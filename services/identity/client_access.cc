#include "services/identity/client_access.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/whole_file.h"

namespace klatch {
namespace {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::ClientRpcInfo;
using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;

constexpr size_t kFileBytesMax = 1 << 20;
constexpr size_t kTokenBytesMax = 8 * 1024;
// After what kind of certificate, or key, it is.
constexpr std::string_view kCertificateMark = "CERTIFICATE-----";
constexpr std::string_view kKeyMark = "PRIVATE KEY-----";

absl::Status Invalid(std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, message);
}

// INVALID_ARGUMENT, whatever is wrong with it: somebody has named it.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  absl::StatusOr<std::string> text = base::ReadWholeFile(path, bytes_max);
  return text.ok() ? std::move(text) : Invalid(base::MessageOf(text.status()));
}

// gRPC takes a file without any for one that trusts nobody, and says only that nobody answers.
absl::StatusOr<std::string> ReadPem(const std::string& path, std::string_view what,
                                    std::string_view end_of_mark) {
  KLATCH_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kFileBytesMax));
  if (text.find("-----BEGIN ") == std::string::npos ||
      text.find(end_of_mark) == std::string::npos) {
    return Invalid(fmt::format("{}: holds no {} in PEM", path, what));
  }
  return text;
}

// What a header takes: printable, without blanks.
absl::StatusOr<std::string> ReadToken(const std::string& path) {
  KLATCH_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kTokenBytesMax));
  constexpr char kBlanks[] = " \t\r\n";
  text.erase(0, text.find_first_not_of(kBlanks));
  text.erase(text.find_last_not_of(kBlanks) + 1);
  if (text.empty() || !std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; })) {
    return Invalid(fmt::format("{}: holds no token", path));
  }
  return text;
}

// The token of a file, read again now and then; if that fails, the last that was good.
class TokenFile {
 public:
  TokenFile(std::string path, std::string token)
      : path_(std::move(path)), token_(std::move(token)) {}

  std::string Token() {
    std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - read_ >= kTokenReadEvery) {
      read_ = now;
      if (absl::StatusOr<std::string> token = ReadToken(path_); token.ok()) {
        token_ = *std::move(token);
      }
    }
    return token_;
  }

 private:
  const std::string path_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::string token_;
  std::chrono::steady_clock::time_point read_ = std::chrono::steady_clock::now();
};

// gRPC's own credentials of calls refuse plain text; hence an interceptor.
class TokenInterceptor final : public Interceptor {
 public:
  explicit TokenInterceptor(TokenFile& file) : file_(file) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", "Bearer " + file_.Token());
    }
    methods->Proceed();
  }

 private:
  TokenFile& file_;
};

class TokenInterceptors final : public ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptors(std::unique_ptr<TokenFile> file) : file_(std::move(file)) {}

  Interceptor* CreateClientInterceptor(ClientRpcInfo*) override {
    return new TokenInterceptor(*file_);
  }

 private:
  const std::unique_ptr<TokenFile> file_;
};

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(
    const ClientAccess& access) {
  if (access.cert_file.empty() != access.key_file.empty()) {
    return Invalid("a certificate needs its key, and a key its certificate");
  }
  if (access.ca_file.empty()) {
    if (!access.cert_file.empty() || !access.server_name.empty()) {
      return Invalid("TLS needs to know whom to trust: a file with those who sign certificates");
    }
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions options;
  KLATCH_ASSIGN_OR_RETURN(options.pem_root_certs,
                          ReadPem(access.ca_file, "certificate", kCertificateMark));
  if (!access.cert_file.empty()) {
    KLATCH_ASSIGN_OR_RETURN(options.pem_cert_chain,
                            ReadPem(access.cert_file, "certificate", kCertificateMark));
    KLATCH_ASSIGN_OR_RETURN(options.pem_private_key,
                            ReadPem(access.key_file, "private key", kKeyMark));
  }
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(
    const std::string& target, const ClientAccess& access,
    const grpc::ChannelArguments& arguments) {
  KLATCH_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                          CredentialsOf(access));
  grpc::ChannelArguments own = arguments;
  if (!access.server_name.empty()) {
    own.SetSslTargetNameOverride(access.server_name);
  }
  std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> interceptors;
  if (!access.token_file.empty()) {
    const absl::StatusOr<base::Endpoint> endpoint = base::Endpoint::Parse(target);
    if (access.ca_file.empty() && !(endpoint.ok() && endpoint->is_loopback())) {
      return Invalid(fmt::format(
          "a token would go to {} in plain text: name a file with those who sign its certificate",
          target));
    }
    KLATCH_ASSIGN_OR_RETURN(std::string token, ReadToken(access.token_file));
    interceptors.push_back(std::make_unique<TokenInterceptors>(
        std::make_unique<TokenFile>(access.token_file, std::move(token))));
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(target, credentials, own,
                                                                 std::move(interceptors));
}

}  // namespace klatch
