#!/usr/bin/env bash
# npm run test:lossy: uploads over networks that lose packets and connections, many of them (LANDFALL_LOSSY_UPLOADS, 100
# by default, for each network and storage).
set -euo pipefail

export LANDFALL_LOSSY_UPLOADS="${LANDFALL_LOSSY_UPLOADS:-100}"
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" test/lossy-network.test.ts "$@"
