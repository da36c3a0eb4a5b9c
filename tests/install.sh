#!/usr/bin/env bash
# Installs what the tests need from Debian: the lab's servers, a browser for the report, and node to check its types. Does nothing where all is there.
set -euo pipefail
exec "$(dirname "$0")/lab/install.sh" chromium:chromium nodejs:node npm:npm
