#!/usr/bin/env bash
# Everything that must hold before a change lands: format, lints, all tests on SQLite and PostgreSQL, suites from outside.
#
#   TEST_DATABASE_URL   a PostgreSQL whose user may create databases; `private` starts a cluster of our own for the run.
#                       Default: what answers on 127.0.0.1:5432 without a password, else a cluster of our own.
#   CARGO_TARGET_DIR    where to build. Default: ./target; with CI=true a folder in the cache, kept between clones.
#   CI=true             a missing tool is an error. PostgreSQL that is missing is installed with apt-get in any case.
set -euo pipefail
cd "$(dirname "$0")"
ci=${CI:-}
began=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/order-center-test.XXXXXX")
chmod 755 "$work"
server='' cluster='' target=${CARGO_TARGET_DIR:-}

say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - began)); }
stop() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

clean() {
  local code=$?
  trap - EXIT
  if [ -n "$server" ] && kill -INT "$server" 2>/dev/null; then wait "$server" || true; fi
  if [ -n "$cluster" ]; then as_owner "$bin/pg_ctl" -D "$cluster/data" -m immediate stop >/dev/null 2>&1 || true; fi
  rm -rf "$work"
  if [ "$code" = 0 ]; then say "all green"; else say "FAILED"; fi
  exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command as the owner of our own cluster: PostgreSQL refuses to run as root.
as_owner() {
  if [ "$(id -u)" != 0 ]; then (cd / && "$@")
  elif has runuser; then (cd / && runuser -u "$owner" -- "$@")
  elif has setpriv; then (cd / && setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups "$@")
  else (cd / && su "$owner" -s /bin/sh -c "$(printf '%q ' "$@")")
  fi
}

# The URL of a server that answers here already, to a user who may create databases.
find_server() {
  local user query='select 1 from pg_roles where rolname = current_user and (rolsuper or rolcreatedb)'
  has psql || return 1
  for user in postgres "$(id -un)"; do
    if [ "$(PGCONNECT_TIMEOUT=3 psql -wXtA -h 127.0.0.1 -p 5432 -U "$user" -d postgres -c "$query" 2>/dev/null)" = 1 ]; then
      echo "postgres://$user@127.0.0.1:5432/postgres"
      return 0
    fi
  done
  return 1
}

# Sets `bin` to the newest installed PostgreSQL.
find_binaries() {
  local found
  found=$({ ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin 2>/dev/null || true; } | sort -V)
  bin=$(while read -r dir; do [ -x "$dir/initdb" ] && echo "$dir"; done <<<"$found" | tail -1 || true)
  if [ -z "$bin" ] && has initdb; then bin=$(dirname "$(command -v initdb)"); fi
  [ -n "$bin" ]
}

install_postgresql() {
  local sudo=''
  has apt-get || return 1
  if [ "$(id -u)" != 0 ]; then
    has sudo && sudo -n true 2>/dev/null || return 1
    sudo='sudo -n'
  fi
  echo "installing PostgreSQL with apt-get"
  { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends postgresql; } >"$work/apt.log" 2>&1 \
    || { tail -20 "$work/apt.log" >&2; return 1; }
}

# Starts a cluster of our own on a free port and sets `cluster` and TEST_DATABASE_URL.
start_cluster() {
  local port try
  owner=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    owner=postgres
    id "$owner" >/dev/null 2>&1 || owner=nobody
  fi
  cluster=$work/pg
  mkdir -m 700 "$cluster"
  if [ "$(id -u)" = 0 ]; then chown "$owner" "$cluster"; fi
  as_owner "$bin/initdb" -D "$cluster/data" -U postgres -A trust -E UTF8 --locale=C -N >"$work/initdb.log" 2>&1 \
    || { cat "$work/initdb.log" >&2; stop "initdb failed"; }
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 12000))
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    if as_owner "$bin/pg_ctl" -D "$cluster/data" -w -t 60 -l "$cluster/log" -o \
      "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='$cluster' -c fsync=off -c max_connections=200" \
      start >/dev/null 2>&1; then
      export TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres"
      return 0
    fi
    echo "PostgreSQL did not start on port $port (try $try)"
  done
  cat "$cluster/log" >&2
  stop "our own PostgreSQL did not start"
}

say "tools"
has cargo || stop "cargo is missing: install Rust from https://rustup.rs"
if [ -z "$target" ]; then
  target=target
  if [ "$ci" = true ]; then target=${XDG_CACHE_HOME:-$HOME/.cache}/order-center/target; fi
fi
mkdir -p "$target"
target=$(cd "$target" && pwd)
export CARGO_TARGET_DIR=$target
echo "$(cargo --version), building in $target"
for component in fmt clippy; do
  if ! cargo "$component" --version >/dev/null 2>&1; then
    name=$component
    [ "$name" = fmt ] && name=rustfmt
    [ "$ci" = true ] && stop "cargo $component is missing: rustup component add $name"
    echo "cargo $component is missing, its check is NOT made: rustup component add $name"
  fi
done

say "PostgreSQL"
bin='' owner=''
if [ "${TEST_DATABASE_URL:-private}" != private ]; then
  echo "the one that TEST_DATABASE_URL names"
elif [ -z "${TEST_DATABASE_URL:-}" ] && found=$(find_server); then
  export TEST_DATABASE_URL=$found
  echo "the one that answers on 127.0.0.1:5432"
elif find_binaries || { install_postgresql && find_binaries; }; then
  start_cluster
  echo "a cluster of our own from $bin, for this run"
elif [ "$ci" = true ]; then
  stop "there is no PostgreSQL and it cannot be installed: set TEST_DATABASE_URL"
else
  unset TEST_DATABASE_URL
  export ORDER_CENTER_SKIP_POSTGRES=1
  echo "none: its tests are NOT made. Install PostgreSQL or set TEST_DATABASE_URL"
fi

if cargo fmt --version >/dev/null 2>&1; then
  say "format"
  cargo fmt --all --check
fi
if cargo clippy --version >/dev/null 2>&1; then
  say "lints"
  cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
fi

say "tests"
cargo test --workspace --locked --quiet

if [ ! -x tests/suites/run.sh ]; then
  say "suites from outside: not there"
elif ! has npm; then
  [ "$ci" = true ] && stop "npm is missing: the suites from outside need it"
  say "suites from outside: NOT run, npm is missing"
else
  say "suites from outside"
  cargo build --package demo --locked --quiet
  "$target/debug/demo" --port 0 --data-dir "$work/demo" </dev/null >"$work/demo.log" 2>&1 &
  server=$!
  url=''
  for _ in $(seq 600); do
    url=$(sed -n 's/.*\(http:\/\/127\.0\.0\.1:[0-9]*\/graphql\).*/\1/p' "$work/demo.log" | head -1)
    [ -n "$url" ] && break
    kill -0 "$server" 2>/dev/null || break
    sleep 1
  done
  [ -n "$url" ] || { tail -30 "$work/demo.log" >&2; stop "the demonstration did not come up"; }
  tests/suites/run.sh "$url" || { tail -30 "$work/demo.log" >&2; stop "a suite from outside failed"; }
fi
