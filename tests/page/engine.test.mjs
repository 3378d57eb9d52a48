/** The page's engine with onnxruntime-web: the same events as Python's streams and live engine. */

import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";

import { Live } from "../../realtime/web/page/engine/live.js";
import { Engine } from "../../realtime/web/page/engine/loading.js";
import { Service } from "../../realtime/web/page/engine/service.js";
import { Stream } from "../../realtime/web/page/engine/stream.js";
import vectors, { bytes, floats, network, sameEvents } from "./vectors.mjs";

const runtime = new URL("../../realtime/web/node_modules/onnxruntime-web/dist/", import.meta.url);
const ort = await import(new URL("ort.wasm.bundle.min.mjs", runtime).href);
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = fs.readFileSync(new URL("ort-wasm-simd-threaded.wasm", runtime));
const engine = new Engine(ort, network(), async (part) => bytes(part));

test("streams give the same events, whatever the blocks", async () => {
  for (const { rate, latency_ms, latency_s, sound, events } of vectors.streams) {
    const stream = new Stream(await engine.step(latency_ms), engine.network, rate);
    assert.ok(Math.abs(stream.latency_s - latency_s) < 1e-6);
    const samples = floats(sound);
    const found = [];
    for (let at = 0; at < samples.length; at += 333) found.push(...(await stream.feed(samples.subarray(at, at + 333))));
    found.push(...(await stream.flush()));
    assert.ok(events.length >= 10);
    sameEvents(found, events);
    stream.reset();
    sameEvents([...(await stream.feed(samples)), ...(await stream.flush())], events);
  }
});

test("live sound with silence, gaps and bad samples gives the same events", async () => {
  const { rate, latency_ms, block, times, sound, events } = vectors.live;
  const live = new Live(new Stream(await engine.step(latency_ms), engine.network, rate), rate);
  const samples = floats(sound);
  const found = [];
  for (const [i, time_s] of times.entries()) {
    found.push(...(await live.feed(samples.subarray(i * block, (i + 1) * block), time_s)));
  }
  found.push(...(await live.interrupt()));
  assert.ok(events.length >= 6);
  sameEvents(found, events);
});

test("sound that cannot be followed is dropped, counted, and no note stays", async () => {
  const said = [];
  const hello = { sample_rate: 48_000, latency_ms: 92, mode: "live", start_s: 3 };
  const service = new Service(engine, await engine.step(92), hello, (message) => said.push(message));
  const samples = floats(vectors.streams[0].sound);
  for (let at = 0; at < samples.length; at += 480) service.sound(samples.slice(at, at + 480), 0); // all at once
  service.end();
  while (said.at(-1).type !== "done") await new Promise((go) => setTimeout(go, 5));
  const heard = said.filter((message) => message.type === "heard").at(-1);
  assert.ok(heard.dropped_blocks > 100 && heard.late_blocks > 0 && heard.step_ms > 0);
  assert.ok(Math.abs(said.at(-1).time_s - (3 + samples.length / 48_000)) < 1e-6);
  const events = said.flatMap((message) => message.events ?? []);
  const down = new Set();
  for (const event of events) event.type === "on" ? down.add(event.pitch) : down.delete(event.pitch);
  assert.equal(down.size, 0);
});
