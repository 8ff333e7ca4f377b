#!/usr/bin/env bash
# Drives real Vendure and Medusa servers through the center: run.sh [vendure] [medusa], both unless told.
#
#   LIVE_DATABASE_URL   a PostgreSQL whose user may create databases [default: postgres://postgres@127.0.0.1:5432/postgres]
#   LIVE_CACHE          where the platforms are installed [default: a folder in the cache, kept between runs]
#   ORDER_CENTER_BIN    the program [default: built here]
#   VERBOSE=1           names every check, not only those that fail
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
database=${LIVE_DATABASE_URL:-postgres://postgres@127.0.0.1:5432/postgres}
cache=${LIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/order-center/live}

if [ -z "${ORDER_CENTER_BIN:-}" ]; then
  (cd ../.. && cargo build --release --locked --bin order-center)
  ORDER_CENTER_BIN=${CARGO_TARGET_DIR:-$here/../../target}/release/order-center
fi
export ORDER_CENTER_BIN

failed=0
name=
child=
clean() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || true
  [ -z "$name" ] || psql -wqX "$database" -c "drop database if exists $name with (force)" || true
}
trap clean EXIT
trap 'exit 130' INT TERM HUP
[ $# -gt 0 ] || set -- vendure medusa
for platform in "$@"; do
  modules=$cache/$platform
  mkdir -p "$modules"
  if ! cmp -s "$platform/package.json" "$modules/installed.json"; then
    echo "installing $platform"
    cp "$platform/package.json" "$modules/"
    (cd "$modules" && npm install --ignore-scripts --no-audit --no-fund >npm.log 2>&1) || { tail -20 "$modules/npm.log"; exit 1; }
    cp "$platform/package.json" "$modules/installed.json"
  fi
  name=live_${platform}_$$
  psql -wqX "$database" -c "create database $name"
  began=$SECONDS
  LIVE_MODULES=$modules LIVE_DATABASE=$name LIVE_DATABASE_URL=$database node "$platform.mjs" &
  child=$!
  wait "$child" || failed=1
  child=
  psql -wqX "$database" -c "drop database if exists $name with (force)"
  name=
  echo "$platform: $((SECONDS - began)) s"
done
exit $failed
