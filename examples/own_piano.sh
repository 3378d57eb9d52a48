#!/bin/sh
# Adapts the weights to one piano, from an hour or so of recordings of it; no MIDI is needed. Start it where the folder
# of examples is.
#
#     pip install 'hppnet[train,peers]'
#     sh examples/own_piano.sh RECORDINGS
#
# A good offline program (Transkun) labels the recordings, then the network learns from these labels. The
# last line compares the two on recordings of the same piano that were kept apart: FOLDER holds NAME.wav
# with NAME.mid, or what `prepare label` made of others.
set -eu

hppnet prepare label "$1" -o labelled --model transkun
hppnet train examples/own_piano.toml --data .
echo "now: hppnet live --checkpoint runs/own_piano/final.safetensors"
echo "and: hppnet evaluate FOLDER --checkpoint runs/own_piano/final.safetensors"
