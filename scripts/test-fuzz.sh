#!/usr/bin/env bash
# npm run test:fuzz: the fuzz test alone, with many cases (LANDFALL_FUZZ_CASES, 100,000 by default; a tenth of them in a
# bucket) of a seed that is drawn, or given (LANDFALL_FUZZ_SEED).
set -euo pipefail

export LANDFALL_FUZZ_CASES="${LANDFALL_FUZZ_CASES:-100000}"
export LANDFALL_FUZZ_SEED="${LANDFALL_FUZZ_SEED:-$((RANDOM * 32768 + RANDOM))}"
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" test/fuzz.test.ts "$@"
