# shellcheck shell=bash
# What a result says about where it was measured. Sourced; names no host.

cpu_model() {
  local model
  model=$(LC_ALL=C lscpu | sed -nE 's/^Model name: +(.*)$/\1/p' | head -n 1)
  echo "${model:-unknown}"
}

# machine_name MODEL CORES: for a file's name, such as intel-xeon-gold-6448y-2-cores.
machine_name() {
  local model
  model=$(sed -E 's/\((R|r|TM|tm)\)//g; s/ @ .*//; s/\b(CPU|Processor)\b//g' <<<"$1")
  model=$(sed -E 's/[^A-Za-z0-9]+/-/g; s/^-+|-+$//g' <<<"${model,,}")
  echo "${model:0:40}-$2-cores"
}

load_average() {
  local load
  read -r load _ </proc/loadavg
  echo "$load"
}

# The packages of the distribution that bench/micro compares with.
library_versions() {
  # shellcheck disable=SC2016  # dpkg-query's own placeholders.
  dpkg-query -W -f '${Package} ${Version}, ' libboost-dev libtbb-dev libatomic-queue-dev libconcurrentqueue-dev \
    libreaderwriterqueue-dev liburcu-dev 2>/dev/null | sed 's/, $//'
}

# commit_name ROOT: the short commit, with -dirty behind it if a file that git knows, other than a result, has changed.
commit_name() {
  local commit
  commit=$(git -C "$1" rev-parse --short HEAD 2>/dev/null) || {
    echo unknown
    return
  }
  if ! git -C "$1" diff --quiet HEAD -- . ':!bench/results'; then
    commit+=-dirty
  fi
  echo "$commit"
}
