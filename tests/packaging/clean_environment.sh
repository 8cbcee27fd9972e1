#!/bin/sh
# clean_environment.sh PACKAGE [PIP_FLAGS]: install it alone and run the demo's first prompts.
set -eu
package=$(realpath "$1")
flags=${2:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
# shellcheck disable=SC2086 # several flags
"$folder/venv/bin/python" -m pip install --disable-pip-version-check -q $flags "$package"
cd "$folder"
HARMON_EVAL_CACHE="$folder/cache" venv/bin/harmon-eval --tasks geneval --limit 1 --output run
test -s run/geneval/metrics.json
venv/bin/python -c 'import harmon_eval, sys; sys.exit("site-packages" not in harmon_eval.__file__)'
echo "$(basename "$package"): installed alone, it draws and scores"
