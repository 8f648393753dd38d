#!/usr/bin/env bash
# npm run test:steps: workers are killed in every step of the pipeline (LANDFALL_STEPS_KILLS, ten times each by default),
# and clamd, Postgres and S3 go away in every step (LANDFALL_STEPS_OUTAGES rounds of all, two by default, for
# LANDFALL_STEPS_AWAY_SECONDS, ten by default); on each storage, or on one (LANDFALL_STEPS_STORAGE=disk or s3).
set -euo pipefail

export LANDFALL_STEPS_KILLS="${LANDFALL_STEPS_KILLS:-10}"
export LANDFALL_STEPS_OUTAGES="${LANDFALL_STEPS_OUTAGES:-2}"
export LANDFALL_STEPS_AWAY_SECONDS="${LANDFALL_STEPS_AWAY_SECONDS:-10}"
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" test/steps.test.ts "$@"
