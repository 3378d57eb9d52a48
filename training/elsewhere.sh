#!/usr/bin/env bash
# Trains on a machine that is there for some minutes and reaches nothing else; leaves weights, logs and scores.
#
#   hppnet prepare pack RECIPE --data ROOT -o DATA                   # first, where the data are
#   training/elsewhere.sh RECIPE DATA OUT MINUTES [EVALUATE...]      # then, there
#
# RECIPE is a file or a name, DATA what pack wrote (or a folder laid out like ROOT), EVALUATE folders of
# recordings with labels. OUT gets final.safetensors, the logs, and NAME.json and NAME-132.json for each of
# those: the scores offline and live. The run itself lies in OUT/run: the same command goes on with it.
#
# MINUTES is how long it trains; choosing thresholds and scores come on top. HPPNET="python -m hppnet" calls it
# otherwise, SETS="schedule.steps=30 batch=4" changes settings.
set -euo pipefail

fail() { printf 'elsewhere.sh: %s\n' "$*" >&2; exit 2; }

[ $# -ge 4 ] || fail "expected RECIPE DATA OUT MINUTES, got $# words"
recipe=$1 data=$2 out=$3 minutes=$4
shift 4
[ -d "$data" ] || fail "$data: expected the folder that hppnet prepare pack wrote, found none"
for folder in "$@"; do
  [ -d "$folder" ] || fail "$folder: expected a folder of recordings with labels, found none"
done
read -ra hppnet <<<"${HPPNET:-hppnet}"
sets=()
for change in ${SETS:-}; do sets+=(--set "$change"); done

mkdir -p "$out"
"${hppnet[@]}" train "$recipe" --data "$data" --folder "$out/run" --cache "$out/cache" --minutes "$minutes" \
  ${sets[@]+"${sets[@]}"}
cp "$out"/run/final.safetensors "$out"/run/*.csv "$out"
for folder in "$@"; do
  name=$(basename "$folder")
  "${hppnet[@]}" evaluate "$folder" --checkpoint "$out/final.safetensors" --json "$out/$name.json"
  "${hppnet[@]}" evaluate "$folder" --checkpoint "$out/final.safetensors" --streaming --json "$out/$name-132.json"
done
