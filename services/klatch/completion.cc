#include "services/klatch/completion.h"

#include <fmt/format.h>

#include <algorithm>

namespace klatch::cli {
namespace {

// A command with the words that lead to it: "group add"; empty for the program itself.
struct Place {
  std::string words;
  const CommandDoc* command;
};

std::vector<Place> PlacesOf(const CommandDoc& program) {
  std::vector<Place> places = {{"", &program}};
  for (size_t i = 0; i < places.size(); ++i) {
    const Place from = places[i];
    for (const CommandDoc& command : from.command->commands) {
      places.push_back(
          {from.words.empty() ? command.name : from.words + " " + command.name, &command});
    }
  }
  return places;
}

std::string Joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : std::string(between)) + word;
  }
  return text;
}

// In single quotes, which bash, zsh and fish read alike but for what fish makes of backslashes.
std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else if (c == '\\') {
      quoted += "/";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

// What a value may be: words, "@file", "@folder", or nothing that is known.
std::string ValuesOf(const OptionDoc& option) {
  if (!option.choices.empty()) {
    return Joined(option.choices, " ");
  }
  return option.placeholder == "FILE" ? "@file" : option.placeholder == "DIR" ? "@folder" : "";
}

std::vector<std::string> NamesOf(const CommandDoc& command) {
  std::vector<std::string> names;
  for (const CommandDoc& one : command.commands) {
    names.push_back(one.name);
  }
  return names;
}

std::vector<std::string> OptionNamesOf(const CommandDoc& command, bool with_value_only) {
  std::vector<std::string> names;
  for (const OptionDoc& option : command.options) {
    if (!with_value_only || option.takes_value) {
      names.insert(names.end(), option.names.begin(), option.names.end());
    }
  }
  return names;
}

// The tables that bash and zsh look into, as functions of the command's words: _klatch_commands,
// _klatch_options, _klatch_taking (options with a value), _klatch_values (of "words|option"; of
// "words|" those of what stands by its place).
std::string Tables(const std::vector<Place>& places, const std::string& name) {
  std::string commands;
  std::string options;
  std::string taking;
  std::string values;
  for (const Place& place : places) {
    const std::string key = Quoted(place.words);
    const auto row = [&key](const std::vector<std::string>& words) {
      return words.empty() ? std::string()
                           : fmt::format("    {}) echo {} ;;\n", key, Quoted(Joined(words, " ")));
    };
    commands += row(NamesOf(*place.command));
    options += row(OptionNamesOf(*place.command, false));
    taking += row(OptionNamesOf(*place.command, true));
    for (const OptionDoc& option : place.command->options) {
      for (const std::string& word : option.names) {
        if (const std::string known = ValuesOf(option); !known.empty()) {
          values +=
              fmt::format("    {}) echo {} ;;\n", Quoted(place.words + "|" + word), Quoted(known));
        }
      }
    }
    if (!place.command->positionals.empty()) {
      if (const std::string known = ValuesOf(place.command->positionals.front()); !known.empty()) {
        values += fmt::format("    {}) echo {} ;;\n", Quoted(place.words + "|"), Quoted(known));
      }
    }
  }
  std::string text;
  const std::pair<const char*, const std::string*> tables[] = {
      {"commands", &commands}, {"options", &options}, {"taking", &taking}, {"values", &values}};
  for (const auto& [table, rows] : tables) {
    text += fmt::format("_{}_{}() {{\n  case \"$1\" in\n{}  esac\n}}\n", name, table, *rows);
  }
  return text;
}

constexpr char kBash[] = R"bash(
# What may stand at the cursor: goes along the words, as the command itself does.
_@_complete() {
  local word=${COMP_WORDS[COMP_CWORD]} path='' option='' i known
  for ((i = 1; i < COMP_CWORD; i++)); do
    local one=${COMP_WORDS[i]}
    if [[ -n $option ]]; then
      [[ $one == '=' ]] || option=''
    elif [[ $one == -* ]]; then
      [[ " $(_@_taking "$path") " == *" $one "* ]] && option=$one
    elif [[ " $(_@_commands "$path") " == *" $one "* ]]; then
      path=${path:+$path }$one
    fi
  done
  [[ $word == '=' ]] && word=''
  COMPREPLY=()
  if [[ -z $option && $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_@_options "$path")" -- "$word")
    return
  fi
  known=$(_@_values "$path|$option")
  [[ -z $option && -z $known ]] && known=$(_@_commands "$path")
  case $known in
    @file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); compopt -o filenames 2>/dev/null ;;
    @folder) mapfile -t COMPREPLY < <(compgen -d -- "$word"); compopt -o filenames 2>/dev/null ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word") ;;
  esac
}
complete -F _@_complete @
)bash";

constexpr char kZsh[] = R"zsh(
# What may stand at the cursor: goes along the words, as the command itself does.
_@_complete() {
  local here=${words[CURRENT]} at='' option='' known one i
  for ((i = 2; i < CURRENT; i++)); do
    one=${words[i]}
    if [[ -n $option ]]; then
      option=''
    elif [[ $one == -* ]]; then
      [[ " $(_@_taking "$at") " == *" $one "* ]] && option=$one
    elif [[ " $(_@_commands "$at") " == *" $one "* ]]; then
      at=${at:+$at }$one
    fi
  done
  if [[ -z $option && $here == -* ]]; then
    compadd -- ${=$(_@_options "$at")}
    return
  fi
  known=$(_@_values "$at|$option")
  [[ -z $option && -z $known ]] && known=$(_@_commands "$at")
  case $known in
    @file) _files ;;
    @folder) _files -/ ;;
    '') return 1 ;;
    *) compadd -- ${=known} ;;
  esac
}
compdef _@_complete @
)zsh";

constexpr char kFish[] = R"fish(
# The command that the words before the cursor lead to: its words are printed.
function __@_place
    set -l place ''
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$place $word")
        if contains -- "$next" $__@_places
            set place $next
        end
    end
    echo $place
end
function __@_at
    test (__@_place) = "$argv[1]"
end
)fish";

std::string WithName(std::string text, const std::string& name) {
  for (size_t at = text.find('@'); at != std::string::npos; at = text.find('@', at)) {
    // "@file" and "@folder" are values.
    if (text.compare(at, 5, "@file") == 0 || text.compare(at, 7, "@folder") == 0) {
      at += 1;
    } else {
      text.replace(at, 1, name);
    }
  }
  return text;
}

std::string FishOption(const std::string& name, const std::string& words, const OptionDoc& option) {
  std::string line = fmt::format("complete -c {} -n \"__{}_at {}\"", name, name, Quoted(words));
  for (const std::string& word : option.names) {
    line += word.starts_with("--") ? " -l " + word.substr(2) : " -s " + word.substr(1);
  }
  if (option.takes_value) {
    const std::string known = ValuesOf(option);
    line += known == "@file"     ? " -r -F"
            : known == "@folder" ? " -x -a '(__fish_complete_directories)'"
            : known.empty()      ? " -x"
                                 : " -x -a " + Quoted(known);
  }
  return line + " -d " + Quoted(option.description) + "\n";
}

std::string Fish(const std::vector<Place>& places, const std::string& name) {
  std::string text = fmt::format("set -g __{}_places", name);
  for (const Place& place : places) {
    text += place.words.empty() ? "" : " " + Quoted(place.words);
  }
  text += "\n" + WithName(kFish, name) + fmt::format("complete -c {} -f\n", name);
  for (const Place& place : places) {
    const std::string at =
        fmt::format("complete -c {} -n \"__{}_at {}\"", name, name, Quoted(place.words));
    for (const CommandDoc& command : place.command->commands) {
      text +=
          fmt::format("{} -a {} -d {}\n", at, Quoted(command.name), Quoted(command.description));
    }
    for (const OptionDoc& option : place.command->options) {
      text += FishOption(name, place.words, option);
    }
    if (place.command->positionals.empty()) {
      continue;
    }
    const std::string known = ValuesOf(place.command->positionals.front());
    if (known == "@file") {
      text += at + " -F\n";
    } else if (!known.empty()) {
      text += fmt::format("{} -a {}\n", at, Quoted(known));
    }
  }
  return text;
}

}  // namespace

const std::vector<std::string>& Shells() {
  static const std::vector<std::string> shells = {"bash", "zsh", "fish"};
  return shells;
}

std::string Completion(const CommandDoc& program, const std::string& shell) {
  const std::vector<Place> places = PlacesOf(program);
  const std::string& name = program.name;
  if (shell == "fish") {
    return Fish(places, name);
  }
  const std::string tables = Tables(places, name);
  if (shell == "zsh") {
    return fmt::format("#compdef {}\n{}{}", name, tables, WithName(kZsh, name));
  }
  return tables + WithName(kBash, name);
}

}  // namespace klatch::cli
