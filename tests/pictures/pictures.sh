#!/bin/sh
# Starts pictures.py, or says that there is no Python to run it.
command -v python3 >/dev/null || { echo 'skipped: no python3'; exit 77; }
exec python3 "$(dirname "$0")/pictures.py" "$@"
