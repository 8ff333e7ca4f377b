#!/bin/sh
# Runs every suite against a running server: run.sh URL [ADMIN_KEY]. One line per suite, then what failed.
# ONLY="audit ws" runs some of them. SUITES_STRICT=1 counts a skipped suite as a failure.
set -u
cd "$(dirname "$0")" || exit 1
if [ $# -lt 1 ]; then
  echo "usage: $0 URL [ADMIN_KEY]    for example: $0 http://127.0.0.1:4000/graphql" >&2
  exit 2
fi
ORDER_CENTER_URL=$1
ADMIN_KEY=${2:-${ADMIN_KEY:-}}
SCREENSHOT=${SCREENSHOT:-$PWD/.cache/graphiql.png}
export ORDER_CENTER_URL ADMIN_KEY SCREENSHOT
mkdir -p .cache

lacking=
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  lacking="no npm"
elif ! [ -e .cache/installed ] || [ package-lock.json -nt .cache/installed ]; then
  if npm ci --ignore-scripts >.cache/npm.log 2>&1; then
    touch .cache/installed
  else
    lacking="npm ci failed (tests/suites/.cache/npm.log)"
  fi
fi
if [ -z "$lacking" ] && ! node -e 'fetch(process.argv[1]).catch(() => process.exit(1))' "$ORDER_CENTER_URL"; then
  echo "no server answers at $ORDER_CENTER_URL" >&2
  exit 2
fi

passed=0 failed=0 skipped=0
for suite in ${ONLY:-audit attacks ws relay examples compose schemathesis graphiql}; do
  log=.cache/$suite.out
  if [ -n "$lacking" ] && [ "$suite" != schemathesis ]; then
    printf '  skip  the whole suite: %s\nRESULT 0 0 1\n' "$lacking" >"$log"
  elif [ "$suite" = schemathesis ]; then
    sh ./schemathesis.sh "$ORDER_CENTER_URL" >"$log" 2>&1
  else
    node "$suite.mjs" "$ORDER_CENTER_URL" >"$log" 2>&1
  fi
  result=$(sed -n 's/^RESULT //p' "$log" | tail -1)
  set -- ${result:-0 1 0} # a suite that ended without counts has failed
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  printf '%-14s %3d passed, %d failed, %d skipped\n' "$suite" "$1" "$2" "$3"
  grep -v '^RESULT' "$log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && { [ -z "${SUITES_STRICT:-}" ] || [ "$skipped" -eq 0 ]; }
