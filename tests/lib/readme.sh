# shellcheck shell=bash
# Runs the calls that README.md and docs/API.md show, as they stand there, against a klatchd of its own; but
# for the addresses, which are free ports'. Sourced after ui.sh, build.sh, node.sh and results.sh; the sourcing
# script sets `root`.

# The folder of the klatchd that runs, for whoever cleans up.
readme_run=""

# code_block FILE HEADING LANGUAGE NUMBER: the lines of that fenced block below the heading.
code_block() {
  awk -v heading="$2" -v fence="\`\`\`$3" -v number="$4" '
    $0 == heading { below = 1 }
    inside && /^```$/ { exit }
    inside
    below && $0 == fence && ++count == number { inside = 1 }
  ' "$1"
}

# runnable FILE HEADING LANGUAGE NUMBER: the same with the address of our klatchd. Fails if there is none.
runnable() {
  local text
  text=$(code_block "$@")
  if [[ -z $text ]]; then
    echo "no block of $3, number $4, below '$2' in $1" >&2
    return 1
  fi
  text=${text//127.0.0.1:7420/$(serving_field "$readme_run" listen)}
  printf '%s\n' "${text//127.0.0.1:7422/$(serving_field "$readme_run" http_listen)}"
}

# expect TEXT COMMAND…: runs the command, whose output must have the text.
expect() {
  local wanted=$1 output
  shift
  output=$("$@") || return
  printf '%s\n' "$output"
  if [[ $output != *"$wanted"* ]]; then
    echo "the output does not say: $wanted" >&2
    return 1
  fi
}

readme_klatch() {
  local script
  script=$(runnable "${root:?}/README.md" "## Five calls" sh 1) || return
  KLATCH_TARGET=$(serving_field "$readme_run" listen) PATH=$root/build/release/services/klatch:$PATH \
    expect "Up to the hut on Saturday?" bash -euxo pipefail -c "$script"
}

readme_buf() {
  local script
  script=$(runnable "$root/README.md" "## Five calls" sh 2) || return
  PATH=$root/build/node/node_modules/.bin:$PATH \
    expect "Knights at eight?" bash -euxo pipefail -c "$script"
}

# Calls over HTTP, then a watch, which curl ends after its seconds.
readme_curl() {
  local script
  script=$(runnable "$root/docs/API.md" "## Over HTTP" sh 1) || return
  expect "Over the pass at nine?" bash -euxo pipefail -c "$script" || return
  script=$(runnable "$root/docs/API.md" "## Over HTTP" sh 2) || return
  expect "Who brings the rope?" bash -euxo pipefail -c "$script"
}

# In a folder that looks like the root of the checkout, since the example makes files.
readme_python() {
  local script client=$readme_run/checkout
  mkdir -p "$client" && ln -s "$root/proto" "$root/tests" "$client/" || return
  code_block "$root/docs/API.md" "## From Python" python 1 >"$client/hello.py"
  script=$(runnable "$root/docs/API.md" "## From Python" bash 1) || return
  # The distribution's Python is the one that the packages are for.
  cd "$client" && PATH=/usr/bin:$PATH \
    expect "PERMISSION_DENIED" bash -euxo pipefail -c "$script"
}

# The same with Node's.
readme_node() {
  local script client=$readme_run/node
  mkdir -p "$client" && ln -s "$root/proto" "$root/tests" "$client/" || return
  code_block "$root/docs/API.md" "## From Node" js 1 >"$client/hello.js"
  script=$(runnable "$root/docs/API.md" "## From Node" bash 1) || return
  cd "$client" && expect "PERMISSION_DENIED" bash -euxo pipefail -c "$script"
}

# And C++'s.
readme_cpp() {
  local script client=$readme_run/cpp
  mkdir -p "$client/hello" && ln -s "$root/build" "$client/build" || return
  code_block "$root/docs/API.md" "## From C++" cmake 1 >"$client/hello/CMakeLists.txt"
  code_block "$root/docs/API.md" "## From C++" cpp 1 >"$client/hello/hello.cc"
  script=$(runnable "$root/docs/API.md" "## From C++" bash 1) || return
  cd "$client" && expect "PERMISSION_DENIED" bash -euxo pipefail -c "$script"
}

run_readme() {
  local code check
  build release klatchd klatch || {
    count "building release" 1
    return
  }
  readme_run=$(mktemp -d "${TMPDIR:-/tmp}/klatch-readme.XXXXXX") || return
  write_start_script "$readme_run" "$root/build/release/services/klatchd/klatchd" --data-dir \
    "$readme_run/data" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --http-listen 127.0.0.1:0
  # A subshell, since the wait may end the shell.
  if ! (start_node "$readme_run" && wait_ready "$readme_run" 60); then
    count "readme: klatchd serves" 1
    end_readme
    return
  fi
  for check in klatch buf curl python node cpp; do
    if [[ $check == buf && ${KLATCH_SKIP_BUF:-} == 1 ]]; then
      skip "readme: buf (KLATCH_SKIP_BUF=1)"
      continue
    fi
    if [[ $check == node && ${KLATCH_SKIP_NODE:-} == 1 ]]; then
      skip "readme: node (KLATCH_SKIP_NODE=1)"
      continue
    fi
    if [[ $check == buf ]]; then
      phase "Installing buf" "$root/build/npm.log" install_buf
    fi
    code=0
    phase "README's calls: $check" "$root/build/readme-$check.log" "readme_$check" || code=$?
    count "readme: $check" "$code"
  done
  code=0
  stop_node "$readme_run" 30 && ended_well "$readme_run" || code=$?
  count "readme: klatchd drains" "$code"
  end_readme
}

# Ends what run_readme started.
end_readme() {
  if [[ -n $readme_run ]]; then
    stop_node "$readme_run" 30
    rm -rf "$readme_run"
    readme_run=""
  fi
}
