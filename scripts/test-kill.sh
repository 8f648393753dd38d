#!/usr/bin/env bash
# npm run test:kill: the kill tests alone, for many rounds on each storage (LANDFALL_KILL_ROUNDS, 100 by default), or on
# one of them (LANDFALL_KILL_STORAGE=disk or s3).
set -euo pipefail

export LANDFALL_KILL_ROUNDS="${LANDFALL_KILL_ROUNDS:-100}"
# Four hours: a round takes some seconds, and a hang is ended by the test itself.
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" test/kill.test.ts test/kill-ways.test.ts --testTimeout=14400000 "$@"
