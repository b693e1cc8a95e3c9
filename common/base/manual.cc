#include "common/base/manual.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace klatch::base {
namespace {

std::string Upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

}  // namespace

std::string Roff(const std::string& text) {
  std::string out;
  bool at_begin = true;
  for (const char c : text) {
    if (at_begin && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    at_begin = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string ManualHeader(const std::string& name, int section, const std::string& version,
                         const std::string& summary) {
  std::string about = summary;
  while (about.ends_with('.')) {
    about.pop_back();
  }
  return fmt::format(".TH {} {} \"\" \"klatch {}\"\n.SH NAME\n{} \\- {}\n", Upper(Roff(name)),
                     section, Roff(version), Roff(name), Roff(about));
}

// Help has its summary, usage and remarks first; then headings at the left margin, options and rows of
// lists behind two spaces, what options are behind eight.
std::string ManualOfHelp(const std::string& name, int section, const std::string& version,
                         const std::string& help) {
  std::string text;
  std::string summary;
  bool in_options = false;
  for (size_t begin = 0; begin < help.size();) {
    const size_t end = std::min(help.find('\n', begin), help.size());
    const std::string line = help.substr(begin, end - begin);
    begin = end + 1;
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::string rest = line.substr(indent);
    if (summary.empty()) {
      summary = rest.starts_with(name + " ") ? rest.substr(name.size() + 1) : rest;
      text = ManualHeader(name, section, version, summary) + ".SH DESCRIPTION\n";
    } else if (rest.empty()) {
      text += in_options ? "" : ".PP\n";
    } else if (indent == 2 && rest.front() == '-') {
      const size_t space = std::min(rest.find(' '), rest.size());
      text += fmt::format(".TP\n\\fB{}\\fR\\fI{}\\fR\n", Roff(rest.substr(0, space)),
                          Roff(rest.substr(space)));
      in_options = true;
    } else if (indent == 0 && text.ends_with("\n") && begin < help.size() && help[begin] == ' ') {
      text += fmt::format(".SH {}\n", Upper(Roff(rest)));
      in_options = false;
    } else {
      // A row of a list stays a line of its own.
      text += indent == 2 ? ".br\n" : "";
      text += Roff(rest) + "\n";
    }
  }
  return text;
}

}  // namespace klatch::base
