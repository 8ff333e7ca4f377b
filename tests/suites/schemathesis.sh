#!/bin/sh
# Property-based fuzzing of every root field with schemathesis: no input, however odd, may end in a server fault.
# It writes: run it against a server whose orders may be spoiled. EXAMPLES per field (100), SEED (1).
set -u
cd "$(dirname "$0")" || exit 1
url=${1:-${ORDER_CENTER_URL:-http://127.0.0.1:4000/graphql}}
none() { echo "  skip  the whole suite: $1"; echo "RESULT 0 0 1"; exit 0; }

venv=.cache/venv
if ! [ -x "$venv/bin/st" ] || [ requirements.txt -nt "$venv/bin/st" ]; then
  python3 -m venv "$venv" 2>/dev/null || none "no python3 with venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt >.cache/pip.log 2>&1 \
    || none "pip could not install schemathesis (tests/suites/.cache/pip.log)"
  touch "$venv/bin/st"
fi
[ -n "${ADMIN_KEY:-}" ] && set -- -H "Authorization: Bearer $ADMIN_KEY" || set --

SCHEMATHESIS_HOOKS=schemathesis_hooks "$venv/bin/st" run "$url" "$@" -n "${EXAMPLES:-100}" --seed "${SEED:-1}" \
  --exclude-checks positive_data_acceptance --no-color >.cache/schemathesis.log 2>&1
status=$?
if [ $status -eq 0 ]; then
  grep -E '^ *(Operations|Test cases|[0-9]+ generated)' .cache/schemathesis.log | sed 's/^ */  /'
  echo "RESULT 1 0 0"
else
  sed 's/^/        /' .cache/schemathesis.log | tail -120
  echo "  FAIL  schemathesis (whole log: tests/suites/.cache/schemathesis.log)"
  echo "RESULT 0 1 0"
fi
exit $status
