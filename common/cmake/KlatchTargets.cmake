# How Klatch declares its targets: one line per library, with warnings as errors everywhere but in
# generated code.
include_guard(GLOBAL)

add_library(klatch_options INTERFACE)
target_compile_options(klatch_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                       -Werror -fno-omit-frame-pointer)
target_include_directories(klatch_options INTERFACE ${CMAKE_SOURCE_DIR})

if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # To GCC what is in an included file's anonymous namespace looks as if others could include it, too.
  add_compile_options(-Wno-subobject-linkage)
endif()
if(KLATCH_FAILPOINTS)
  add_compile_definitions(KLATCH_FAILPOINTS)
endif()
if(NOT KLATCH_SANITIZER)
  # So that an error in memory ends the program rather than serves somebody. A sanitizer looks for the error itself.
  add_compile_options(-fstack-protector-strong -fstack-clash-protection
                      $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(KLATCH_FUZZERS)
  # Names as the distribution's g++ gives them to Abseil's templates; and what clang says of that g++'s headers.
  add_compile_options(-fsanitize=fuzzer-no-link -fclang-abi-compat=17 -Wno-deprecated-declarations)
endif()
if(KLATCH_SANITIZER)
  add_compile_options(-fsanitize=${KLATCH_SANITIZER} -g)
  add_link_options(-fsanitize=${KLATCH_SANITIZER})
  if(KLATCH_SANITIZER MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# klatch_library(name SOURCES a.cc … DEPS target … [APART]). Without SOURCES: header-only. APART: its files use the
# same names for things of their own, so that builds which compile several files at once compile these one by one.
function(klatch_library name)
  cmake_parse_arguments(ARG "APART" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE klatch_options PUBLIC ${ARG_DEPS})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    if(ARG_APART)
      set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
    endif()
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# klatch_executable(name SOURCES a.cc … DEPS target …)
function(klatch_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE klatch_options ${ARG_DEPS})
endfunction()

# klatch_test(name [ONE_THREAD] SOURCES a.cc … DEPS target … [LABELS l …] [TIMEOUT seconds])
# One GoogleTest program, one ctest entry. Names end in _test, _redis_test or _stress_test. ONE_THREAD: neither it nor
# what it tests starts a thread, and so the thread sanitizer has no business there.
function(klatch_test name)
  cmake_parse_arguments(ARG "ONE_THREAD" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(ARG_ONE_THREAD AND KLATCH_SANITIZER STREQUAL "thread")
    return()
  endif()
  find_package(GTest REQUIRED)
  klatch_executable(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# klatch_document(name program argument…)
# A file of the binary folder that one of our programs prints, made with everything else, whatever the environment
# of the build says. `documents` grows by it, for a custom target that the folder makes of them all.
function(klatch_document name program)
  set(file ${CMAKE_CURRENT_BINARY_DIR}/${name})
  add_custom_command(
    OUTPUT ${file}
    COMMAND ${CMAKE_COMMAND} -E env --unset=KLATCH_TARGET --unset=KLATCH_NAMESPACE --unset=KLATCH_AS
            $<TARGET_FILE:${program}> ${ARGN} > ${file}
    DEPENDS ${program}
    COMMENT "Printing ${name}"
    VERBATIM)
  set(documents ${documents} ${file} PARENT_SCOPE)
endfunction()
