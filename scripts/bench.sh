#!/usr/bin/env bash
# npm run bench: Landfall beside the stock tus server, a bare server and tusd. Arguments go to bench/main.ts; --help says which.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# The set-up of the tests: it brings the S3 gateway as well.
bash "$LANDFALL_ROOT/scripts/bootstrap.sh" test
use_landfall_node
cd -- "$LANDFALL_ROOT"
exec node bench/main.ts "$@"
