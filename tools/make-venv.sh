#!/usr/bin/env bash
# Makes .venv with wiretrace in it; with "dev" also what the tests and checks need.
# Usage: tools/make-venv.sh PYTHON [dev]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "wiretrace needs Python 3.11 or newer, and $python is not. Name another one: make PYTHON=python3.12 ..." >&2
  exit 1
fi
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then # none yet, or one that was left half made
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then # Debian keeps them in a package of their own
    if [ "$(id -u)" -ne 0 ]; then
      echo "Python's venv module is missing; install it as root: apt-get install python3-venv" >&2
      exit 1
    fi
    echo "Installing python3-venv (Debian) ..." >&2
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >/dev/null
  fi
  echo "Making .venv ..." >&2
  "$python" -m venv --clear .venv
fi

mark=.venv/installed
requirements=()
if [ "${2:-}" = dev ]; then
  mark=.venv/installed-dev
  groups=$(.venv/bin/python - <<'PY'
import tomllib
from pathlib import Path

groups = tomllib.loads(Path("pyproject.toml").read_text())["dependency-groups"]
print("\n".join(groups["dev"] + groups["lab"]))
PY
  )
  mapfile -t requirements <<<"$groups"
fi
echo "Installing from PyPI ..." >&2
# --no-compile: modules are compiled when they are first imported, and most never are.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable . "${requirements[@]}"
touch "$mark"
