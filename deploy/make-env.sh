#!/bin/sh
# Writes .env with new secrets for docker-compose.yml, beside it and once: with other secrets the data in the volumes
# could no longer be reached.
set -eu
cd -- "$(dirname -- "$0")/.."
umask 077

if [ -e .env ]; then
  echo '.env is there already; nothing was changed' >&2
  exit 1
fi

# random BYTES: as many random bytes, in hexadecimal digits.
random() { od -An -N "$1" -v -tx1 /dev/urandom | tr -d ' \n'; }

# base64_of BYTES: the same in base64.
base64_of() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }

cat >.env <<SETTINGS
# Secrets and settings of docker-compose.yml. Keep it out of git, and keep a copy beside your backups.

POSTGRES_PASSWORD=$(random 24)

# The bucket's key, in the form that Garage wants: GK and 24 digits, 64 digits.
S3_ACCESS_KEY=GK$(random 12)
S3_SECRET_KEY=$(random 32)
GARAGE_RPC_SECRET=$(random 32)

# Who may upload: a secret shared with the issuer of tokens. Or AUTH_JWKS_URL or AUTH_JWT_PUBLIC_KEY in its place.
AUTH_JWT_SECRET=$(random 32)
# AUTH_ISSUER=
# AUTH_AUDIENCE=

# Address and port on this machine.
# LANDFALL_LISTEN=127.0.0.1:1080

# How clients reach it through a proxy, and which pages may use it.
# PUBLIC_URL=https://uploads.example
# TRUST_PROXY=1
# CORS_ORIGINS=https://app.example
# UPLOAD_MAX_SIZE=500MiB

# Who is told of events: docs/api.md, Webhooks.
# WEBHOOK_URL=https://app.example/hooks/landfall
WEBHOOK_SECRET=whsec_$(base64_of 32)

# An engine that analyses every file: docs/api.md, Analysis. It needs PUBLIC_URL.
# ANALYSIS=advisory
# ANALYSIS_URL=http://engine.internal/analyse
ANALYSIS_SECRET=whsec_$(base64_of 32)

# Renditions of videos for streaming.
# HLS=on
SETTINGS
echo 'wrote .env' >&2
