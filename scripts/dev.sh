#!/usr/bin/env bash
# npm run dev: set-up, page, and a server that is restarted when its sources change. See scripts/dev.ts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash "$LANDFALL_ROOT/scripts/bootstrap.sh" start
use_landfall_node
cd -- "$LANDFALL_ROOT"
node scripts/build-page.ts
exec node scripts/dev.ts "$@"
