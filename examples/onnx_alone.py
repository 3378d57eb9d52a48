"""Transcribes a piano with ONNX Runtime and none of hppnet's code: a template for other languages.

    hppnet export -o graphs
    python examples/onnx_alone.py graphs/step.onnx take-16k-mono.wav

prints time, MIDI key and velocity of each onset. model/ONNX.md describes the graph.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
import soundfile

graph, recording = sys.argv[1:3]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # a step is too small for several threads
session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
integers = "samples_before samples_after hop look_ahead_frames sample_rate lowest_pitch"
before, after, hop, ahead, rate, lowest = (int(about[name]) for name in integers.split())
thresholds, states = json.loads(about["thresholds"]), json.loads(about["states"])

sound, its_rate = soundfile.read(recording, dtype="float32", always_2d=True)
if its_rate != rate or sound.shape[1] != 1:
    sys.exit(
        f"{recording}: expected one channel at {rate} Hz: ffmpeg -i {recording} -ac 1 -ar {rate} mono.wav"
    )
frames = -(-len(sound) // hop)
padded = np.pad(sound[:, 0], (before, after + (ahead + 1) * hop))

names = [output.name for output in session.get_outputs()]
state = {s["name"]: np.full(s["shape"], s["start"], np.float32) for s in states}
probabilities = []  # [88, 4] per frame: onset, frame, offset, velocity
for i in range(frames + ahead):
    samples = padded[None, hop * i : hop * i + before + after]
    out = dict(zip(names, session.run(names, {"samples": samples, **state}), strict=True))
    state = {s["name"]: out.get(s["source"], state.get(s["source"])) for s in states}
    if i >= ahead:  # the first runs give frames before the sound
        probabilities.append(out["probabilities"][0])

onset, sounding = (np.pad(np.stack(probabilities)[:, :, head], ((1, 1), (0, 0))) for head in (0, 1))
peak = (onset[1:-1] >= thresholds["onset"]) & (onset[1:-1] > onset[:-2]) & (onset[1:-1] >= onset[2:])
peak &= np.maximum(sounding[1:-1], sounding[2:]) >= thresholds["frame"]
last = np.full(peak.shape[1], -3)
for frame, key in np.argwhere(peak):
    if frame - last[key] < 3:  # no key is played again so soon
        continue
    last[key] = frame
    left, top, right = onset[frame : frame + 3, key]
    time_s = (frame + (right - left) / (2 * (top - min(left, right)))) * hop / rate
    print(f"{time_s:.3f} {key + lowest} {max(1, round(127 * probabilities[frame][key, 3]))}")
