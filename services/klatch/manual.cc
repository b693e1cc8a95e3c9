#include "services/klatch/manual.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace klatch::cli {
namespace {

// Text as roff prints it: backslashes and hyphens as they are, no line taken for a request.
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

std::string Upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string Header(const std::string& name, int section, const std::string& version,
                   const std::string& summary) {
  std::string about = summary;
  while (about.ends_with('.')) {
    about.pop_back();
  }
  return fmt::format(".TH {} {} \"\" \"klatch {}\"\n.SH NAME\n{} \\- {}\n", Upper(Roff(name)),
                     section, Roff(version), Roff(name), Roff(about));
}

std::string ValueOf(const OptionDoc& option) {
  std::string choices;
  for (const std::string& choice : option.choices) {
    choices += (choices.empty() ? "" : "|") + choice;
  }
  return choices.empty() ? option.placeholder : choices;
}

// ".TP", the option in bold, its value in italics, then what it is.
std::string Entry(const OptionDoc& option, bool is_positional) {
  std::string term;
  for (const std::string& name : option.names) {
    term += fmt::format("{}\\fB{}\\fR", term.empty() ? "" : ", ", Roff(name));
  }
  const std::string value = ValueOf(option);
  if (is_positional) {
    term = fmt::format("\\fI{}\\fR", Roff(value.empty() ? option.names.front() : value));
  } else if (!value.empty()) {
    term += fmt::format(" \\fI{}\\fR", Roff(value));
  }
  std::string text = option.description;
  if (option.is_required) {
    text += "; required";
  }
  if (!option.default_text.empty()) {
    text += fmt::format("; {} if not given", option.default_text);
  }
  return fmt::format(".TP\n{}\n{}.\n", term, Roff(text));
}

std::string Literal(const std::string& text) {
  return text.empty() ? "" : fmt::format(".PP\n.nf\n{}\n.fi\n", Roff(text));
}

bool IsCommon(const OptionDoc& option, const CommandDoc& program) {
  return std::ranges::any_of(program.options,
                             [&](const OptionDoc& other) { return other.names == option.names; });
}

std::string Command(const CommandDoc& command, const std::string& words,
                    const CommandDoc& program) {
  std::string text;
  if (command.commands.empty()) {
    std::string usage = fmt::format("\\fB{}\\fR", Roff(words));
    for (const OptionDoc& positional : command.positionals) {
      const std::string value = ValueOf(positional);
      usage += fmt::format(" \\fI{}\\fR", Roff(value.empty() ? positional.names.front() : value));
    }
    text += fmt::format(".SS {}\n{}\n.PP\n{}.\n", Roff(words), usage, Roff(command.description));
    for (const OptionDoc& positional : command.positionals) {
      text += Entry(positional, true);
    }
    for (const OptionDoc& option : command.options) {
      text += IsCommon(option, program) ? "" : Entry(option, false);
    }
    text += Literal(command.footer);
  }
  for (const CommandDoc& one : command.commands) {
    text += Command(one, words + " " + one.name, program);
  }
  return text;
}

}  // namespace

std::string Manual(const CommandDoc& program, const std::string& version) {
  std::string text = Header(program.name, 1, version, program.description);
  text += fmt::format(".SH SYNOPSIS\n\\fB{}\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]...\n",
                      Roff(program.name));
  text += ".SH OPTIONS\nOf all commands.\n";
  for (const OptionDoc& option : program.options) {
    text += Entry(option, false);
  }
  text += ".SH COMMANDS\n";
  for (const CommandDoc& command : program.commands) {
    text += Command(command, program.name + " " + command.name, program);
  }
  text += ".SH NOTES" + std::string("\n") + Literal(program.footer);
  return text;
}

// Help has its summary, usage and remarks first; then headings at the left margin, options behind two
// spaces, what they are behind eight.
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
      text = Header(name, section, version, summary) + ".SH DESCRIPTION\n";
    } else if (rest.empty()) {
      text += in_options ? "" : ".PP\n";
    } else if (indent == 2 && rest.front() == '-') {
      const size_t space = std::min(rest.find(' '), rest.size());
      text += fmt::format(".TP\n\\fB{}\\fR\\fI{}\\fR\n", Roff(rest.substr(0, space)),
                          Roff(rest.substr(space)));
      in_options = true;
    } else if (indent == 0 && text.ends_with("\n") && begin < help.size() && help[begin] == ' ') {
      text += fmt::format(".SH {}\n", Upper(Roff(rest)));
    } else {
      text += Roff(rest) + "\n";
    }
  }
  return text;
}

}  // namespace klatch::cli
