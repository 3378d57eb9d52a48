/** The parts of the page's engine without the network: the same numbers and events as Python's. */

import assert from "node:assert/strict";
import test from "node:test";

import { Decoder } from "../../realtime/web/page/engine/decoder.js";
import { Resampler } from "../../realtime/web/page/engine/resampler.js";
import { groupMatrix } from "../../realtime/web/page/engine/transform.js";
import { Timeline } from "../../realtime/web/page/timeline.js";
import vectors, { floats, network, sameEvents } from "./vectors.mjs";

const HEADS = 88 * 4;

/** The largest difference. */
function furthest(a, b) {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

test("the decoder gives the same events", () => {
  for (const { frames, pedal, thresholds, events } of vectors.decoder) {
    const [keys, down, decoder] = [floats(frames), floats(pedal), new Decoder(thresholds)];
    const found = [];
    for (let i = 0; i < down.length; i++) found.push(...decoder.feed(keys.subarray(i * HEADS, (i + 1) * HEADS), down[i]));
    found.push(...decoder.flush());
    assert.ok(events.length > 500 && events.some((event) => event.type === "pedal"));
    sameEvents(found, events, 1e-9);
  }
});

test("the resampler gives the same samples, whatever the blocks", () => {
  for (const { rate, sound, wanted, delay_s } of vectors.resampler) {
    const all = floats(sound);
    for (const block of [all.length, 97]) {
      const resampler = new Resampler(rate);
      const out = [];
      for (let at = 0; at < all.length; at += block) out.push(...resampler.feed(all.subarray(at, at + block)));
      out.push(...resampler.flush());
      assert.ok(furthest(out, floats(wanted)) < 2e-6, `${rate} Hz`);
      assert.ok(Math.abs(resampler.delay_s - delay_s) < 1e-4, `${rate} Hz`);
    }
  }
});

test("a tone at a low rate is the same tone", () => {
  for (const rate of [8_000, 22_050, 24_000]) {
    const resampler = new Resampler(rate);
    const tone = (hz) => Array.from({ length: hz }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / hz));
    const out = [...resampler.feed(Float32Array.from(tone(rate))), ...resampler.flush()];
    assert.ok(furthest(out.slice(500, -500), tone(16_000).slice(500, -500)) < 1e-4, `${rate} Hz`);
  }
});

test("the front end gives the same spectrum", () => {
  const { front_end, groups } = network();
  const [all, low] = [floats(vectors.spectrum.samples), floats(vectors.spectrum.low)];
  const matrices = [];
  const levels = [];
  for (const group of groups) {
    const matrix = groupMatrix(front_end, group);
    for (const value of matrix) matrices.push(value);
    const samples = group.every === 1 ? all : low; // the graph makes these (model/engine/transform.py)
    const bins = group.last - group.first;
    for (let bin = 0; bin < bins; bin++) {
      let [real, imaginary] = [0, 0];
      for (let row = 0; row < group.rows; row++) {
        real += samples[group.start + row] * matrix[row * 2 * bins + bin];
        imaginary += samples[group.start + row] * matrix[row * 2 * bins + bins + bin];
      }
      levels.push((10 * Math.log10(Math.max(real ** 2 + imaginary ** 2, 1e-11)) * 3) / 110 + 2);
    }
  }
  assert.ok(furthest(levels, floats(vectors.spectrum.levels)) < 1e-4);
  assert.ok(furthest(matrices, floats(vectors.spectrum.matrices)) < 1e-8);
});

test("the timeline follows the same clock", () => {
  const { ends, arrived, anchors } = vectors.timeline;
  const timeline = new Timeline();
  const found = ends.map((end_s, i) => {
    timeline.observe(end_s, arrived[i]);
    return timeline.anchor_s;
  });
  assert.ok(furthest(found, anchors) < 1e-9);
});
