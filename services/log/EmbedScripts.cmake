# cmake -D NAMES=a;b -D FOLDER=scripts -D OUTPUT=scripts.cc -P EmbedScripts.cmake
# Writes the definitions of services/log/scripts.h: for each name a function that returns its script.
file(READ ${FOLDER}/append.lua prelude)
file(READ ${FOLDER}/posting.lua posting)
set(code "// Generated from services/log/scripts by EmbedScripts.cmake.\n#include \"services/log/scripts.h\"\n\n")
string(APPEND code "namespace klatch::scripts {\n")
foreach(name ${NAMES})
  file(READ ${FOLDER}/${name}.lua body)
  string(REGEX REPLACE "_" ";" words ${name})
  set(function "")
  foreach(word ${words})
    string(SUBSTRING ${word} 0 1 first)
    string(SUBSTRING ${word} 1 -1 rest)
    string(TOUPPER ${first} first)
    string(APPEND function "${first}${rest}")
  endforeach()
  set(source "${prelude}\n${body}")
  if(name MATCHES "^(publish|publish_several|add_members|carry|settle|edit_several|delete_several|remove_update)$")
    set(source "${prelude}\n${posting}\n${body}")
  endif()
  if(name STREQUAL "open_namespace")
    set(source "${body}")  # appends nothing
  endif()
  string(APPEND code "\nconst redis::Script& ${function}() {\n"
         "  static const redis::Script script(\"${name}\", R\"lua(${source})lua\");\n"
         "  return script;\n}\n")
endforeach()
string(APPEND code "\n}  // namespace klatch::scripts\n")
file(WRITE ${OUTPUT} "${code}")
