#!/usr/bin/env bash
# npm start: set-up, page, server. `exec` leaves the server alone with the terminal's signals.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash "$LANDFALL_ROOT/scripts/bootstrap.sh" start
use_landfall_node
cd -- "$LANDFALL_ROOT"
node scripts/build-page.ts
exec node --max-semi-space-size=4 --heap-growing-percent=20 landfall.ts serve --dev "$@"
