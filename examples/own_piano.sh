#!/bin/sh
# Adapts weights to one piano, from an hour or so of recordings of it; no MIDI is needed. Start it in a clone of the
# repository: the weights that ship are of an earlier network, which cannot be trained any more, and the recipe
# begins with unfinished/preview.safetensors.
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
