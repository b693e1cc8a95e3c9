#include "services/identity/policy.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <utility>

#include "common/base/option_value.h"
#include "common/base/toml.h"
#include "common/base/utf8.h"

namespace klatch {
namespace {

constexpr char kAnySubject[] = "*";
constexpr int64_t kRateMax = 1'000'000;

constexpr std::string_view kFileKeys[] = {"audience", "issuer", "identity"};
constexpr std::string_view kIdentityKeys[] = {
    "name",  "certificates", "subjects",         "namespaces",
    "calls", "act_for",      "calls_per_second", "burst"};

absl::Status Invalid(std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, message);
}

}  // namespace

// One reading of a file; errors begin with its path, line and identity.
class PolicyReader {
 public:
  explicit PolicyReader(std::string_view path) : path_(path) {}

  absl::StatusOr<Policy> Read(std::string_view text);

 private:
  absl::Status ReadIdentities(const toml::table& file);
  absl::Status ReadIdentity(const toml::table& table);
  absl::Status ReadRights(const toml::table& table, Identity& identity);
  absl::Status ReadRate(const toml::table& table, Identity& identity);
  absl::Status Index(const toml::table& table, std::string_view key,
                     std::unordered_map<std::string, size_t>& by_name);
  absl::Status CheckSubjects(const toml::table& table, const Identity& identity);

  // What stands at `key`: INVALID_ARGUMENT if it is missing, of another type, empty or too long.
  absl::StatusOr<std::string> Text(const toml::table& table, std::string_view key);
  absl::StatusOr<std::vector<std::string>> Names(const toml::table& table, std::string_view key);
  absl::StatusOr<uint32_t> Count(const toml::table& table, std::string_view key, uint32_t missing);

  template <size_t N>
  absl::Status CheckKeys(const toml::table& table, const std::string_view (&known)[N]);
  absl::Status At(const toml::node& node, std::string_view what) const;

  const std::string_view path_;
  std::string identity_;  // that is being read, for messages
  Policy policy_;
  std::set<std::string> names_;
};

absl::Status PolicyReader::At(const toml::node& node, std::string_view what) const {
  const std::string whose =
      identity_.empty() ? "" : fmt::format("identity {}: ", base::QuoteForMessage(identity_));
  return Invalid(fmt::format("{}:{}: {}{}", path_, node.source().begin.line, whose, what));
}

template <size_t N>
absl::Status PolicyReader::CheckKeys(const toml::table& table, const std::string_view (&known)[N]) {
  for (const auto& [key, node] : table) {
    if (std::find(std::begin(known), std::end(known), std::string_view(key.str())) ==
        std::end(known)) {
      return At(node, fmt::format("unknown key {}; there are {}", base::QuoteForMessage(key.str()),
                                  fmt::join(known, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PolicyReader::Text(const toml::table& table, std::string_view key) {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return At(table, fmt::format("{} is missing", key));
  }
  const auto text = node->value_exact<std::string>();
  if (!text) {
    return At(*node, fmt::format("{} is {}, wants a string", key, base::TomlTypeWords(*node)));
  }
  if (text->empty() || text->size() > Policy::kNameBytesMax) {
    return At(*node, fmt::format("{} has {} bytes; 1 to {} are allowed", key, text->size(),
                                 Policy::kNameBytesMax));
  }
  return *text;
}

absl::StatusOr<std::vector<std::string>> PolicyReader::Names(const toml::table& table,
                                                             std::string_view key) {
  std::vector<std::string> names;
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return names;
  }
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    return At(*node,
              fmt::format("{} is {}, wants an array of strings", key, base::TomlTypeWords(*node)));
  }
  if (array->empty() || array->size() > Policy::kNamesMax) {
    return At(*node, fmt::format("{} has {} names; 1 to {} are allowed", key, array->size(),
                                 Policy::kNamesMax));
  }
  for (const toml::node& item : *array) {
    const auto name = item.value_exact<std::string>();
    if (!name || name->empty() || name->size() > Policy::kNameBytesMax) {
      return At(item, fmt::format("{} wants strings of 1 to {} bytes", key, Policy::kNameBytesMax));
    }
    names.push_back(*name);
  }
  return names;
}

absl::StatusOr<uint32_t> PolicyReader::Count(const toml::table& table, std::string_view key,
                                             uint32_t missing) {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    return missing;
  }
  const auto count = node->value_exact<int64_t>();
  if (!count || *count < 1 || *count > kRateMax) {
    return At(*node, fmt::format("{} wants a whole number from 1 to {}", key, kRateMax));
  }
  return static_cast<uint32_t>(*count);
}

absl::StatusOr<Policy> PolicyReader::Read(std::string_view text) {
  if (text.size() > Policy::kFileBytesMax) {
    return Invalid(fmt::format("{}: has more than {} bytes", path_, Policy::kFileBytesMax));
  }
  if (!base::IsValidUtf8(text)) {
    return Invalid(fmt::format("{}: is not UTF-8 text", path_));
  }
  KLATCH_ASSIGN_OR_RETURN(const toml::table file, base::ParseToml(path_, text));
  KLATCH_RETURN_IF_ERROR(CheckKeys(file, kFileKeys));
  KLATCH_RETURN_IF_ERROR(ReadIdentities(file));
  identity_.clear();
  if (policy_.knows_tokens()) {
    KLATCH_ASSIGN_OR_RETURN(policy_.audience_, Text(file, "audience"));
    KLATCH_ASSIGN_OR_RETURN(policy_.issuer_, Text(file, "issuer"));
  }
  return std::move(policy_);
}

absl::Status PolicyReader::ReadIdentities(const toml::table& file) {
  const toml::node* node = file.get("identity");
  const toml::array* identities = node == nullptr ? nullptr : node->as_array();
  if (identities == nullptr || !identities->is_homogeneous<toml::table>()) {
    return Invalid(fmt::format("{}: has no [[identity]]: nobody could call", path_));
  }
  if (identities->size() > Policy::kIdentitiesMax) {
    return At(*node, fmt::format("more than {} identities", Policy::kIdentitiesMax));
  }
  for (const toml::node& identity : *identities) {
    identity_.clear();
    KLATCH_RETURN_IF_ERROR(ReadIdentity(*identity.as_table()));
  }
  return absl::OkStatus();
}

absl::Status PolicyReader::ReadIdentity(const toml::table& table) {
  Identity identity;
  KLATCH_ASSIGN_OR_RETURN(identity.name, Text(table, "name"));
  identity_ = identity.name;
  KLATCH_RETURN_IF_ERROR(CheckKeys(table, kIdentityKeys));
  if (!names_.insert(identity.name).second) {
    return At(table, "there is another of this name");
  }
  KLATCH_RETURN_IF_ERROR(ReadRights(table, identity));
  KLATCH_RETURN_IF_ERROR(ReadRate(table, identity));
  KLATCH_RETURN_IF_ERROR(CheckSubjects(table, identity));
  KLATCH_RETURN_IF_ERROR(Index(table, "certificates", policy_.by_certificate_));
  KLATCH_RETURN_IF_ERROR(Index(table, "subjects", policy_.by_subject_));
  policy_.identities_.push_back(std::move(identity));
  return absl::OkStatus();
}

absl::Status PolicyReader::ReadRights(const toml::table& table, Identity& identity) {
  KLATCH_ASSIGN_OR_RETURN(identity.namespaces, Names(table, "namespaces"));
  if (identity.namespaces.empty()) {
    return At(table, "namespaces is missing");
  }
  KLATCH_ASSIGN_OR_RETURN(const std::vector<std::string> calls, Names(table, "calls"));
  if (calls.empty()) {
    return At(table, "calls is missing");
  }
  for (const std::string& name : calls) {
    const absl::StatusOr<CallSet> named = CallsNamed(name);
    if (!named.ok()) {
      return At(*table.get("calls"), "calls " + base::MessageOf(named.status()));
    }
    identity.calls |= *named;
  }
  KLATCH_ASSIGN_OR_RETURN(const std::string act_for, Text(table, "act_for"));
  if (act_for != "anybody" && act_for != "subject") {
    return At(*table.get("act_for"), fmt::format("act_for is {}; wants \"anybody\" or \"subject\"",
                                                 base::QuoteForMessage(act_for)));
  }
  identity.acts_for_anybody = act_for == "anybody";
  if (const std::string call = FirstForAnybody(identity.calls);
      !identity.acts_for_anybody && !call.empty()) {
    return At(table,
              fmt::format("{} acts for anybody, so that act_for \"subject\" can't have it", call));
  }
  return absl::OkStatus();
}

absl::Status PolicyReader::ReadRate(const toml::table& table, Identity& identity) {
  KLATCH_ASSIGN_OR_RETURN(identity.rate.per_second, Count(table, "calls_per_second", 0));
  KLATCH_ASSIGN_OR_RETURN(identity.rate.burst, Count(table, "burst", identity.rate.per_second));
  if (identity.rate.per_second == 0 && table.contains("burst")) {
    return At(table, "burst goes with calls_per_second");
  }
  return absl::OkStatus();
}

absl::Status PolicyReader::CheckSubjects(const toml::table& table, const Identity& identity) {
  if (!table.contains("certificates") && !table.contains("subjects")) {
    return At(table, "neither certificates nor subjects: nobody could be it");
  }
  if (identity.acts_for_anybody) {
    KLATCH_ASSIGN_OR_RETURN(const std::vector<std::string> subjects, Names(table, "subjects"));
    for (const std::string& subject : subjects) {
      if (subject == kAnySubject) {
        return At(table, "subjects \"*\" is everybody with a token: act_for must be \"subject\"");
      }
    }
  } else if (table.contains("certificates")) {
    return At(table, "a certificate has no subject to act for: act_for must be \"anybody\"");
  }
  return absl::OkStatus();
}

absl::Status PolicyReader::Index(const toml::table& table, std::string_view key,
                                 std::unordered_map<std::string, size_t>& by_name) {
  KLATCH_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(table, key));
  for (const std::string& name : names) {
    if (!by_name.emplace(name, policy_.identities_.size()).second) {
      return At(*table.get(key), fmt::format("{} has {}, which stands there twice or is another's",
                                             key, base::QuoteForMessage(name)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Policy> Policy::Parse(std::string_view path, std::string_view text) {
  return PolicyReader(path).Read(text);
}

const Identity* Policy::OfCertificate(const std::string& name) const {
  const auto found = by_certificate_.find(name);
  return found == by_certificate_.end() ? nullptr : &identities_[found->second];
}

const Identity* Policy::OfSubject(const std::string& subject) const {
  auto found = by_subject_.find(subject);
  if (found == by_subject_.end()) {
    found = by_subject_.find(kAnySubject);
  }
  return found == by_subject_.end() ? nullptr : &identities_[found->second];
}

}  // namespace klatch
