#!/usr/bin/env bash
# Checks the types of the report's modules: JSDoc, read by the TypeScript compiler, which is fetched by name from npm.
# Needs Debian's nodejs and npm (tests/install.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

TYPESCRIPT=5.9.3
tools=.venv/typescript-$TYPESCRIPT

if [[ ! -x $tools/node_modules/.bin/tsc ]]; then
  mkdir -p "$tools"
  npm install --prefix "$tools" --no-audit --no-fund --silent "typescript@$TYPESCRIPT"
fi
"$tools/node_modules/.bin/tsc" --noEmit --allowJs --checkJs --strict --noUnusedLocals --target es2022 --module es2022 \
  --moduleResolution bundler --lib es2023,dom,dom.iterable src/wiretrace/report/assets/main.js
