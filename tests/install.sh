#!/usr/bin/env bash
# Installs what the tests need from Debian: the lab's servers, and a browser for the report. Does nothing where all is there.
set -euo pipefail
exec "$(dirname "$0")/lab/install.sh" chromium:chromium
