#!/usr/bin/env bash
# npm run landfall -- serve|worker|migrate|token|doctor|reap: stdout belongs to the command.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

case "${1:-}" in
  serve | worker) bash "$LANDFALL_ROOT/scripts/bootstrap.sh" start ;;
  *) bash "$LANDFALL_ROOT/scripts/bootstrap.sh" command ;;
esac
use_landfall_node
cd -- "$LANDFALL_ROOT"
exec node --max-semi-space-size=4 --heap-growing-percent=20 landfall.ts "$@"
