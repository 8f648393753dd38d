#!/usr/bin/env bash
# npm test: set-up, lint, types, page, tests. Arguments go to vitest. The last line is "N passed, N failed[, N skipped]";
# lint, types and page count as one each. With CI=true whatever is skipped counts as failed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

if ! bash "$LANDFALL_ROOT/scripts/bootstrap.sh" test || ! use_landfall_node; then
  echo '0 passed, 1 failed'
  exit 1
fi
cd -- "$LANDFALL_ROOT"
PATH="$LANDFALL_ROOT/node_modules/.bin:$PATH"

LANDFALL_TEST_REPORT=$(mktemp "${TMPDIR:-/tmp}/landfall-tests.XXXXXX")
export LANDFALL_TEST_REPORT
trap 'rm -f "$LANDFALL_TEST_REPORT"' EXIT

checks=()
# check NAME COMMAND…: runs it, remembers whether it failed.
check() {
  local name=$1
  shift
  echo "── $name"
  if "$@"; then checks+=("$name=passed"); else checks+=("$name=failed"); fi
}

if [ -z "${LANDFALL_ONLY_TESTS:-}" ]; then
  check lint biome check .
  check types tsc --noEmit
  check page node scripts/build-page.ts
fi
echo '── tests'
vitest_exit=0
vitest run "$@" || vitest_exit=$?
node scripts/closing-line.ts "$LANDFALL_TEST_REPORT" "$vitest_exit" ${checks[@]+"${checks[@]}"}
