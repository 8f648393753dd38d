#!/usr/bin/env bash
# npm run test:silence: the network to the database swallows everything for a minute (LANDFALL_SILENCE_SECONDS).
set -euo pipefail

export LANDFALL_SILENCE_SECONDS="${LANDFALL_SILENCE_SECONDS:-60}"
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" test/silent-network.test.ts "$@"
