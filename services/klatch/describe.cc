#include "services/klatch/describe.h"

#include <algorithm>
#include <utility>

namespace klatch::cli {
namespace {

// The parser writes a set of values as "{a,b,c}" behind the placeholder.
std::vector<std::string> ChoicesIn(const std::string& type) {
  std::vector<std::string> choices;
  const size_t begin = type.find('{');
  const size_t end = type.find('}', begin == std::string::npos ? 0 : begin);
  if (begin == std::string::npos || end == std::string::npos) {
    return choices;
  }
  for (size_t from = begin + 1; from < end;) {
    const size_t to = std::min(type.find(',', from), end);
    choices.push_back(type.substr(from, to - from));
    from = to + 1;
  }
  return choices;
}

OptionDoc DescribeOption(const CLI::Option& option) {
  OptionDoc doc;
  for (const std::string& name : option.get_lnames()) {
    doc.names.push_back("--" + name);
  }
  for (const std::string& name : option.get_snames()) {
    doc.names.push_back("-" + name);
  }
  const std::string type = option.get_type_name();
  doc.takes_value = option.get_items_expected_max() > 0;
  doc.placeholder = doc.takes_value ? type.substr(0, type.find_first_of(":{ ")) : "";
  doc.choices = ChoicesIn(type);
  if (doc.takes_value && doc.placeholder.empty() && doc.choices.empty()) {
    // Only a check says what it takes.
    doc.placeholder = type.starts_with(":") ? type.substr(1) : "VALUE";
  }
  doc.description = option.get_description();
  doc.default_text = option.get_default_str();
  doc.is_repeatable = option.get_items_expected_max() > 1;
  doc.is_required = option.get_required();
  return doc;
}

}  // namespace

CommandDoc Describe(const CLI::App& app) {
  CommandDoc doc;
  doc.name = app.get_name();
  doc.description = app.get_description();
  doc.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    OptionDoc described = DescribeOption(*option);
    if (option->get_positional() && described.names.empty()) {
      described.names = {option->get_name()};
      doc.positionals.push_back(std::move(described));
    } else {
      doc.options.push_back(std::move(described));
    }
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    doc.commands.push_back(Describe(*command));
  }
  return doc;
}

}  // namespace klatch::cli
