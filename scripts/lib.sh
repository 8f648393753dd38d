# shellcheck shell=bash
# Shared by the scripts beside it; sourced, never run. Works with the bash 3.2 of macOS.

LANDFALL_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
LANDFALL_RUNTIME="$LANDFALL_ROOT/.runtime"

# Everything the scripts say goes to stderr, so that a command such as `landfall token` keeps stdout for its answer.
say() { printf 'landfall: %s\n' "$*" >&2; }

# node_is_recent PROGRAM: true if PROGRAM is a Node that runs TypeScript without a flag (22.18+, 23.6+, 24+).
node_is_recent() {
  local version major minor
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  case "$major$minor" in '' | *[!0-9]*) return 1 ;; esac
  case "$major" in
    22) [ "$minor" -ge 18 ] ;;
    23) [ "$minor" -ge 6 ] ;;
    *) [ "$major" -ge 24 ] ;;
  esac
}

# node_platform: what npm calls this machine, such as linux-x64. Empty where there is no package for it.
node_platform() {
  local os arch
  case "$(uname -s)" in
    Linux) os=linux ;;
    Darwin) os=darwin ;;
    *) return 0 ;;
  esac
  case "$(uname -m)" in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    armv7l) arch=armv7l ;;
    ppc64le) arch=ppc64le ;;
    s390x) arch=s390x ;;
    *) return 0 ;;
  esac
  printf '%s-%s' "$os" "$arch"
}

# use_landfall_node: puts a recent Node first on PATH: the one already there, or the one in .runtime/.
# Returns 1, with PATH unchanged, when there is neither. What Node compiles is kept, for a start in two thirds of the
# time: in a directory of our own, because anybody who can write there can make us run any code.
use_landfall_node() {
  local program platform
  export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$LANDFALL_RUNTIME/compile-cache}"
  program=$(command -v node || true)
  if [ -n "$program" ] && node_is_recent "$program"; then return 0; fi
  platform=$(node_platform)
  for program in \
    "$LANDFALL_RUNTIME/node_modules/node/bin/node" \
    "$LANDFALL_RUNTIME/node_modules/node-$platform/bin/node" \
    "$LANDFALL_RUNTIME/node_modules/node-bin-$platform/bin/node"; do
    if [ -x "$program" ] && node_is_recent "$program"; then
      export PATH="${program%/node}:$PATH"
      return 0
    fi
  done
  return 1
}

# find_program NAME: its path. Looks beyond PATH because Debian keeps clamd in /usr/sbin and Homebrew in its own sbin.
find_program() {
  local dir
  command -v "$1" 2>/dev/null && return 0
  for dir in /usr/sbin /sbin /usr/local/sbin /usr/local/bin /opt/homebrew/sbin /opt/homebrew/bin; do
    if [ -x "$dir/$1" ]; then
      printf '%s\n' "$dir/$1"
      return 0
    fi
  done
  return 1
}

# find_browser: a Chromium or Chrome. The names are those of test/services/requirements.ts.
find_browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    find_program "$name" && return 0
  done
  for name in '/Applications/Chromium.app/Contents/MacOS/Chromium' \
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'; do
    if [ -x "$name" ]; then
      printf '%s\n' "$name"
      return 0
    fi
  done
  return 1
}

# failed_recently MARKER [KEY]: true if MARKER was written less than 12 hours ago, for the same KEY.
failed_recently() {
  [ -f "$1" ] && [ -n "$(find "$1" -mmin -720 2>/dev/null)" ] && [ "$(cat "$1")" = "${2-}" ]
}
