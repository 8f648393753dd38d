#!/usr/bin/env bash
# npm run bench:processing: how long a video takes to be ready, and what processing does to uploads meanwhile.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

bash "$LANDFALL_ROOT/scripts/bootstrap.sh" test
use_landfall_node
cd -- "$LANDFALL_ROOT"
exec node bench/processing.ts
