#!/usr/bin/env bash
# Makes .venv with wiretrace in it; with "dev" also what the tests and checks need.
# Usage: tools/make-venv.sh PYTHON [dev]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
if [ ! -x .venv/bin/python ]; then
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Installing python3-venv (Debian) ..." >&2
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv >/dev/null
  fi
  echo "Making .venv ..." >&2
  "$python" -m venv .venv
fi
echo "Installing from PyPI ..." >&2
if [ "${2:-}" = dev ]; then
  groups=$("$python" - <<'PY'
import tomllib
groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]
print("\n".join(groups["dev"] + groups["lab"]))
PY
)
  mapfile -t requirements <<<"$groups"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable . "${requirements[@]}"
  touch .venv/installed-dev
else
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
  touch .venv/installed
fi
