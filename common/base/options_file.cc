// The source of options that is a TOML file.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/options_internal.h"
#include "common/base/toml.h"
#include "common/base/utf8.h"

namespace klatch::base {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) {
      ::close(value_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  const int value_;
};

absl::Status CannotRead(const std::string& path, int error) {
  return InvalidOption(
      fmt::format("--config {}: cannot be read: {}", QuoteForMessage(path), std::strerror(error)));
}

// Reads one byte more than allowed at most, so a file's size needn't be known before.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (file.value() < 0 || ::fstat(file.value(), &status) != 0) {
    return CannotRead(path, errno);
  }
  if (S_ISDIR(status.st_mode)) {
    return CannotRead(path, EISDIR);
  }
  std::string content(kConfigFileBytesMax + 1, '\0');
  size_t size = 0;
  while (size < content.size()) {
    const ssize_t got = ::read(file.value(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return CannotRead(path, errno);
    }
    if (got == 0) {
      break;
    }
    size += static_cast<size_t>(got);
  }
  if (size > kConfigFileBytesMax) {
    return InvalidOption(fmt::format("--config {}: has more than {}", QuoteForMessage(path),
                                     PrintBytes(kConfigFileBytesMax)));
  }
  content.resize(size);
  return content;
}

std::string_view WantedWords(OptionKind kind) {
  switch (kind) {
    case OptionKind::kFlag:
      return "true or false";
    case OptionKind::kCount:
      return "a whole number";
    case OptionKind::kBytes:
      return "a string with a number and its unit, such as \"64MiB\"";
    case OptionKind::kDuration:
      return "a string with a number and its unit, such as \"3s\"";
    case OptionKind::kList:
      return "an array of strings";
    case OptionKind::kText:
    case OptionKind::kChoice:
      break;
  }
  return "a string";
}

std::optional<std::string> ListText(const toml::array& array) {
  std::string text;
  for (const toml::node& item : array) {
    const auto name = item.value_exact<std::string>();
    if (!name || name->empty() || name->find(',') != std::string::npos) {
      return std::nullopt;
    }
    text += (text.empty() ? "" : ",") + *name;
  }
  return text;
}

// The value as a flag would give it; nothing if its type is not the option's.
std::optional<std::string> TextOf(const toml::node& node, OptionKind kind) {
  switch (kind) {
    case OptionKind::kFlag:
      if (const auto flag = node.value_exact<bool>()) {
        return *flag ? "true" : "false";
      }
      return std::nullopt;
    case OptionKind::kCount:
      if (const auto number = node.value_exact<int64_t>()) {
        return std::to_string(*number);
      }
      return std::nullopt;
    case OptionKind::kList:
      if (const toml::array* array = node.as_array()) {
        return ListText(*array);
      }
      return std::nullopt;
    default:
      return node.value_exact<std::string>();
  }
}

}  // namespace

absl::Status OptionTable::ApplyFile(const std::string& path, ResolvedOptions& resolved) const {
  KLATCH_ASSIGN_OR_RETURN(const std::string content, ReadSmallFile(path));
  if (!IsValidUtf8(content)) {
    return InvalidOption(fmt::format("--config {}: is not UTF-8 text", QuoteForMessage(path)));
  }
  KLATCH_ASSIGN_OR_RETURN(const toml::table table, ParseToml(path, content));
  for (const auto& [toml_key, node] : table) {
    const std::string key(toml_key.str());
    const std::string place = fmt::format("{}:{}", path, toml_key.source().begin.line);
    const Row* row = Find(key);
    if (row == nullptr) {
      return InvalidOption(
          fmt::format("{}: unknown key {}{}", place, QuoteForMessage(key), Suggestion(key, "")));
    }
    if (row->option.scope != OptionScope::kAnywhere) {
      return InvalidOption(fmt::format("{}: {} cannot be set in a file", place, key));
    }
    const std::string label = fmt::format("{}: {}", place, key);
    const OptionKind kind = row->option.value.kind;
    const std::optional<std::string> text = TextOf(node, kind);
    if (!text) {
      return FieldError(absl::StatusCode::kInvalidArgument, label,
                        fmt::format("is {}, wants {}", TomlTypeWords(node), WantedWords(kind)));
    }
    KLATCH_RETURN_IF_ERROR(Apply({row, OptionSource::kFile, place, label, *text}, resolved));
  }
  return absl::OkStatus();
}

}  // namespace klatch::base
