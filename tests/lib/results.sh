# shellcheck shell=bash
# Counts what passed, failed and was left out, and tells it. Sourced after deploy/lib/ui.sh.

passed=0 failed=0 skipped=0
failures=()

# count NAME CODE: one check more, passed if CODE is 0.
count() {
  if (($2 == 0)); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$1")
  fi
}

skip() {
  skipped=$((skipped + 1))
  say "- skipped: $*"
}

# count_ctest TITLE RESULTS CODE: counts each test of ctest's JUnit file; CODE is ctest's own. What was not
# run is no pass: it was left out on purpose, or else it failed.
count_ctest() {
  local title=$1 results=$2 code=$3 failed_before=$failed all_before=$((passed + failed + skipped))
  local name status reason
  if [[ -s $results ]]; then
    while IFS=$'\t' read -r name status reason; do
      case $status:$reason in
        run:*) count "$title: $name" 0 ;;
        fail:*) count "$title: $name" 1 ;;
        disabled:* | notrun:SKIP_*) skip "$title: $name" ;;
        *) count "$title: $name (not run: ${reason:-$status})" 1 ;;
      esac
    done < <(ctest_lines "$results")
  fi
  if ((passed + failed + skipped == all_before)); then
    count "$title (nothing ran)" 1
  elif ((code != 0 && failed == failed_before)); then
    count "$title (ctest ended with $code)" 1
  fi
}

# ctest_lines RESULTS: name, status and reason of each test, a tab between them.
ctest_lines() {
  awk -F'"' '
    function flush() { if (name != "") print name "\t" status "\t" reason }
    /^[ \t]*<testcase / {
      flush()
      name = status = reason = ""
      for (i = 1; i < NF; i += 2) {
        if ($i ~ / name=$/) name = $(i + 1)
        if ($i ~ / status=$/) status = $(i + 1)
      }
    }
    /^[ \t]*<skipped message=/ { reason = $2 }
    END { flush() }
  ' "$1"
}

# skip_inside TITLE FOLDER: tells the tests that programs skipped by themselves and that ctest takes for
# passed. FOLDER has the XML files that GoogleTest writes.
skip_inside() {
  local title=$1 folder=$2 name
  # Not there if none of the programs is GoogleTest's.
  [[ -d $folder ]] || return 0
  while IFS= read -r name; do
    skip "$title: $name"
  done < <(find "$folder" -name '*.xml' -exec \
    sed -nE 's/.*<testcase name="([^"]*)".* result="skipped".* classname="([^"]*)".*/\2.\1/p' {} +)
}

summarise() {
  local name
  for name in "${failures[@]}"; do
    echo "failed: $name"
  done
  echo "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
  echo "$passed passed, $failed failed, $skipped skipped"
}
