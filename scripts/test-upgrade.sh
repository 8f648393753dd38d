#!/usr/bin/env bash
# npm run test:upgrade -- COMMIT: servers and workers of an earlier release (a commit or tag of this repository) beside
# those of this one on one database, in a rolling upgrade and a rollback, while uploads run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

commit=${1:?'which release was before? npm run test:upgrade -- COMMIT'}
shift
LANDFALL_EARLIER_CHECKOUT=$(mktemp -d "${TMPDIR:-/tmp}/landfall-earlier.XXXXXX")
export LANDFALL_EARLIER_CHECKOUT
trap 'rm -rf "$LANDFALL_EARLIER_CHECKOUT"' EXIT
# The users that run PostgreSQL or a scanner for it enter it, too.
chmod 755 "$LANDFALL_EARLIER_CHECKOUT"
git -C "$LANDFALL_ROOT" archive "$commit" | tar -x -C "$LANDFALL_EARLIER_CHECKOUT"

lockfile() { git -C "$LANDFALL_ROOT" show "$1:package-lock.json"; }
if [ "$(lockfile "$commit")" = "$(lockfile HEAD)" ]; then
  ln -s "$LANDFALL_ROOT/node_modules" "$LANDFALL_EARLIER_CHECKOUT/node_modules"
else
  use_landfall_node && (cd "$LANDFALL_EARLIER_CHECKOUT" && npm ci --omit=dev --no-audit --no-fund --loglevel=error)
fi
bash "$LANDFALL_ROOT/scripts/test.sh" test/upgrade/upgrade.ts "$@"
