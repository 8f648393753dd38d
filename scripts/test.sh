#!/usr/bin/env bash
# npm test: set-up, lint, types, prose, page, tests. The last line is "N passed, N failed[, N skipped]"; lint, types, prose and page count
# as one each. With CI=true whatever is skipped counts as failed.
#
#   npm test -- FILE…          these tests alone, without lint, types, prose and page, and with the services that they need
#   npm run test:unit          the tests that need no services (scripts/test.sh --project unit)
#   npm run test:integration   the others
#
# Arguments go to vitest; those that are options alone, such as --maxWorkers=1, leave nothing out.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# selects_tests ARGUMENT…: true if an argument names files or a project.
selects_tests() {
  local argument
  for argument in "$@"; do
    case "$argument" in -*) ;; *) return 0 ;; esac
  done
  return 1
}

# Unit tests run none of the programs that the set-up of all tests installs.
setup=test
if [ "${1:-} ${2:-}" = '--project unit' ]; then setup=command; fi
if ! bash "$LANDFALL_ROOT/scripts/bootstrap.sh" "$setup" || ! use_landfall_node; then
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

if ! selects_tests "$@"; then
  check lint biome check .
  check types tsc --noEmit
  check prose node scripts/prose.ts
  check page node scripts/build-page.ts
fi
echo '── tests'
vitest_exit=0
vitest run "$@" || vitest_exit=$?
node scripts/closing-line.ts "$LANDFALL_TEST_REPORT" "$vitest_exit" ${checks[@]+"${checks[@]}"}
