# shellcheck shell=bash
# Configures and builds. Sourced after ui.sh; the sourcing script sets `root`.

# Compiler results are shared between checkouts of one machine: paths below the root count as relative.
export CCACHE_BASEDIR=${root:?} CCACHE_NOHASHDIR=1

# build PRESET [TARGET…]: everything without targets. Two builds of one preset wait for each other.
build() {
  local preset=$1
  shift
  mkdir -p "${root:?}/build"
  phase "Building $preset" "$root/build/$preset.log" locked_build "$preset" "$@"
}

locked_build() {
  local preset=$1
  shift
  # Opened for the build only, so that nothing that it leaves running holds the lock.
  (
    flock 7
    cd "$root" && cmake --preset "$preset" 7>&- && ninja -C "build/$preset" -j"$(nproc)" "$@" 7>&-
  ) 7>"$root/build/$preset.lock"
}
