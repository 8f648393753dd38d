#!/usr/bin/env bash
# npm run bench:ledger: what the statements of the ledger take, and by which plan, when it is large.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash "$LANDFALL_ROOT/scripts/bootstrap.sh" test
use_landfall_node
cd -- "$LANDFALL_ROOT"
exec node bench/ledger/main.ts "$@"
