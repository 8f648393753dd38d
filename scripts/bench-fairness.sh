#!/usr/bin/env bash
# npm run bench:fairness: one owner floods the server, another goes about their business. Arguments are names of floods,
# and --seconds=N for how long each is watched: see bench/fairness/main.ts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash "$LANDFALL_ROOT/scripts/bootstrap.sh" test
use_landfall_node
cd -- "$LANDFALL_ROOT"
exec node bench/fairness/main.ts "$@"
