#!/usr/bin/env bash
# Trains on a machine that is there for some minutes only: unpacks, renders, trains, evaluates, leaves the weights.
#
#   training/elsewhere.sh DATA OUT MINUTES
#
# DATA is a folder, or a tar of what is in one:
#   settings.toml   what to train on (folders as they lie in DATA), and how; its own folder is "run"
#   midi/           performances to render into rendered/, by all of pianos/*.sf2 and *.sf3 (needs fluidsynth)
#   evaluate/NAME/  recordings with labels that the weights are scored on
# OUT gets final.safetensors, the logs, and NAME.json and NAME-132.json: the scores offline and live.
#
# MINUTES is how long it trains; the rest comes on top. HPPNET="python -m hppnet" calls it otherwise.
set -euo pipefail

fail() { printf 'elsewhere.sh: %s\n' "$*" >&2; exit 2; }

[ $# -eq 3 ] || fail "expected DATA OUT MINUTES, got $# words"
[ -e "$1" ] || fail "$1: expected a folder or a tar, found nothing"
read -ra hppnet <<<"${HPPNET:-hppnet}"
mkdir -p "$2"
out=$(cd "$2" && pwd)
minutes=$3

data=$1
if [ -f "$1" ]; then
  data=$out/data
  mkdir -p "$data"
  tar -xf "$1" -C "$data"
fi
cd "$data"
[ -f settings.toml ] || fail "$1: expected settings.toml in it, found none"
# Known before the minutes are spent: afterwards the weights would not be found.
grep -Eq '^folder *= *"run"' settings.toml || fail "$1: expected folder = \"run\" in settings.toml, found none"

if [ -d midi ]; then
  pianos=()
  for piano in pianos/*.sf[23]; do pianos+=(--soundfont "$piano"); done
  "${hppnet[@]}" prepare render midi rendered "${pianos[@]}"
fi
"${hppnet[@]}" train settings.toml --minutes "$minutes"
cp run/final.safetensors run/*.csv "$out"
for folder in evaluate/*/; do
  [ -d "$folder" ] || continue
  name=$(basename "$folder")
  "${hppnet[@]}" evaluate "$folder" --checkpoint run/final.safetensors --json "$out/$name.json"
  "${hppnet[@]}" evaluate "$folder" --checkpoint run/final.safetensors --streaming --json "$out/$name-132.json"
done
