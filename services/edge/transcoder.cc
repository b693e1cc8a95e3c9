#include "services/edge/transcoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/base/utf8.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/type_resolver_util.h"

namespace klatch {
namespace {

using google::protobuf::DescriptorPool;

constexpr char kUrlPrefix[] = "type.googleapis.com";
constexpr std::string_view kBlanks = " \t\r\n";
constexpr size_t kFieldBytesMax = 200;
constexpr size_t kDescriptionBytesMax = 300;

std::string UrlOf(const google::protobuf::Descriptor& message) {
  return fmt::format("{}/{}", kUrlPrefix, message.full_name());
}

// The words of protobuf quote the body, line breaks and a line that marks the place included.
std::string OneLine(std::string_view text) {
  std::string line(base::Utf8Prefix(text, kDescriptionBytesMax));
  std::ranges::replace_if(
      line, [](unsigned char c) { return c < 0x20; }, ' ');
  line.erase(line.find_last_not_of(" ^") + 1);
  return line;
}

struct Complaint {
  std::string field;
  std::string description;
};

// "(path): words", "(path) name: words" or "name: words"; nothing if it has another form.
std::optional<Complaint> ReadComplaint(std::string_view message) {
  std::string path;
  if (message.starts_with('(')) {
    const size_t end = message.find(')');
    if (end == std::string_view::npos) {
      return std::nullopt;
    }
    path = message.substr(1, end - 1);
    message.remove_prefix(end + 1);
    if (message.starts_with(' ')) {
      message.remove_prefix(1);
      path += '.';
    }
  }
  const size_t colon = message.find(": ");
  if (colon == std::string_view::npos || (path.empty() && colon == 0)) {
    return std::nullopt;
  }
  path += message.substr(0, colon);
  // A key may be anything; what has blanks is a sentence, not the name of a field.
  if (path.empty() || path.find_first_of(kBlanks) != std::string::npos) {
    return std::nullopt;
  }
  return Complaint{std::string(base::Utf8Prefix(path, kFieldBytesMax)),
                   std::string(message.substr(colon + 2))};
}

}  // namespace

absl::Status JsonError(std::string_view message) {
  const std::optional<Complaint> complaint = ReadComplaint(message);
  if (!complaint) {
    return base::Error(absl::StatusCode::kInvalidArgument,
                       "the body is no JSON of this call: " + OneLine(message));
  }
  if (complaint->description.starts_with("Cannot find field")) {
    return base::FieldError(absl::StatusCode::kInvalidArgument, complaint->field,
                            "is no field of this message");
  }
  return base::FieldError(absl::StatusCode::kInvalidArgument, complaint->field,
                          "is not what this field takes: " + OneLine(complaint->description));
}

Transcoder::Transcoder()
    : resolver_(google::protobuf::util::NewTypeResolverForDescriptorPool(
          kUrlPrefix, DescriptorPool::generated_pool())) {}

absl::StatusOr<std::string> Transcoder::ToBytes(const google::protobuf::Descriptor& message,
                                                std::string_view json) const {
  if (!base::IsValidUtf8(json)) {
    return base::Error(absl::StatusCode::kInvalidArgument, "the body is not UTF-8");
  }
  google::protobuf::io::ArrayInputStream in(json.data(), static_cast<int>(json.size()));
  std::string bytes;
  google::protobuf::io::StringOutputStream out(&bytes);
  const auto status =
      google::protobuf::util::JsonToBinaryStream(resolver_.get(), UrlOf(message), &in, &out);
  if (!status.ok()) {
    return JsonError({status.message().data(), status.message().size()});
  }
  return bytes;
}

absl::StatusOr<std::string> Transcoder::ToJson(
    const google::protobuf::Descriptor& message,
    google::protobuf::io::ZeroCopyInputStream& bytes) const {
  std::string json;
  google::protobuf::io::StringOutputStream out(&json);
  const auto status =
      google::protobuf::util::BinaryToJsonStream(resolver_.get(), UrlOf(message), &bytes, &out);
  if (!status.ok()) {
    return base::Error(absl::StatusCode::kInternal,
                       fmt::format("the {} can't be told as JSON", message.full_name()));
  }
  return json;
}

std::string Transcoder::ErrorJson(const google::rpc::Status& error) const {
  const auto as_json = [this](const google::rpc::Status& status) {
    const std::string bytes = status.SerializeAsString();
    google::protobuf::io::ArrayInputStream in(bytes.data(), static_cast<int>(bytes.size()));
    return ToJson(*google::rpc::Status::descriptor(), in);
  };
  absl::StatusOr<std::string> json = as_json(error);
  if (!json.ok()) {
    google::rpc::Status bare;
    bare.set_code(error.code());
    bare.set_message(std::string(base::Utf8Prefix(error.message(), error.message().size())));
    json = as_json(bare);
  }
  return json.ok() ? *std::move(json) : fmt::format(R"({{"code":{}}})", error.code());
}

}  // namespace klatch
