#!/usr/bin/env bash
# Trains on a machine without network, available for some minutes only; writes weights, logs and scores.
#
#   hppnet prepare pack RECIPE --data ROOT -o DATA                   # first, where the data are
#   training/elsewhere.sh RECIPE DATA OUT MINUTES [EVALUATE...]      # then, on that machine
#
# RECIPE is a file or a name, DATA the output of pack (or a folder laid out like ROOT), EVALUATE folders of
# recordings with labels. OUT receives final.safetensors, the logs, and for each EVALUATE folder NAME its
# scores: NAME.json (offline) and NAME-132.json (live). The run is in OUT/run; the same command resumes it.
#
# MINUTES is the training time, without choosing thresholds and scoring. HPPNET="python -m hppnet" sets the
# command, SETS="schedule.steps=30 batch=4" changes settings.
set -euo pipefail

fail() { printf 'elsewhere.sh: %s\n' "$*" >&2; exit 2; }

[ $# -ge 4 ] || fail "expected RECIPE DATA OUT MINUTES, got $# words"
recipe=$1 data=$2 out=$3 minutes=$4
shift 4
[ -d "$data" ] || fail "$data: expected the folder that hppnet prepare pack wrote, found none"
names=/
for folder in "$@"; do
  [ -d "$folder" ] || fail "$folder: expected a folder of recordings with labels, found none"
  name=$(basename "$folder")
  [[ $names != */"$name"/* ]] || fail "$folder: expected EVALUATE folders of different names, got $name twice"
  names+=$name/
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
