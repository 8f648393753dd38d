#!/usr/bin/env bash
# npm run conformance: does a server keep to its standards? Arguments go to conformance/main.ts; --help says which.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Node alone: the server it is pointed at runs elsewhere.
bash "$LANDFALL_ROOT/scripts/bootstrap.sh" command
use_landfall_node
cd -- "$LANDFALL_ROOT"
exec node conformance/main.ts "$@"
