/** A take through faults: the storage is full or blocked, the engine fails. */

import assert from "node:assert/strict";
import test from "node:test";

import { Service } from "../../realtime/web/page/engine/service.js";
import { Figures } from "../../realtime/web/page/figures.js";
import { Recording } from "../../realtime/web/page/recording.js";
import { keepAwake, remember, rememberToken, tokenFromAddress } from "../../realtime/web/page/surroundings.js";
import { Take, takeName } from "../../realtime/web/page/take.js";
import { TakesStore } from "../../realtime/web/page/takes_store.js";
import { block, replace } from "./fakes.mjs";

const BLOCK = new Float32Array(480);

test("a take whose whole sound found no room keeps the rate of the sound stored before", async () => {
  const store = new TakesStore();
  const rows = [];
  store.run = async (stores, mode, ask) => {
    if (stores[0] === "takes") return void ask(() => ({ put: (row) => rows.push(row) }));
    if (mode === "readwrite") throw new Error("full");
    return 0;
  };
  globalThis.IDBKeyRange ??= { bound: () => null };
  const take = new Take("take");
  const recording = new Recording(44_100);
  take.rate = recording.sampleRate;
  take.audio = new Blob(["sound"]);
  await store.putUnfinished(take, recording);
  assert.equal(await store.put(take), false);
  assert.deepEqual(rows.map((row) => row.rate), [44_100, 44_100]);
});

test("a database that could not be opened, or was closed by the browser, is opened again", async (t) => {
  const wishes = [];
  replace(t, "indexedDB", { open: () => wishes[wishes.push({}) - 1] });
  const store = new TakesStore();
  const first = store.open();
  wishes[0].onerror();
  await assert.rejects(first);
  const second = store.open();
  wishes[1].result = {};
  wishes[1].onsuccess();
  const database = await second;
  database.onclose();
  void store.open();
  assert.equal(wishes.length, 3);
});

test("the screen is kept on again after the page was hidden", async (t) => {
  let asked = 0;
  const request = async () => {
    asked += 1;
    if (asked === 1) throw new Error("the page is hidden");
    return { release: async () => {} };
  };
  replace(t, "navigator", { wakeLock: { request } });
  replace(t, "setTimeout", (go) => queueMicrotask(go));
  await keepAwake(() => asked < 3);
  assert.equal(asked, 3);
});

test("the page works if the browser blocks its storage", (t) => {
  block(t, "sessionStorage");
  block(t, "localStorage");
  replace(t, "location", { hash: "" });
  assert.equal(tokenFromAddress(), "");
  rememberToken("token");
  let change = () => {};
  remember({ id: "latency", options: [], value: "132", addEventListener: (_, listener) => (change = listener) });
  change();
});

test("blocks that were left out are told once", () => {
  const figures = new Figures();
  const listening = { step_ms: 5, droppedBlocks: 2 };
  assert.match(figures.trouble(listening), /^2 blocks/);
  assert.equal(figures.trouble(listening), "");
  listening.droppedBlocks = 3;
  assert.match(figures.trouble(listening), /^3 blocks/);
});

test("a gap is not sound that waits, so nothing is dropped for it", () => {
  const service = Object.assign(Object.create(Service.prototype), {
    rate: 48_000, live: {}, waiting: [], next_s: 0, dropped: 0, working: true,
  });
  service.sound(BLOCK, 0);
  service.gap(10 * 48_000);
  service.sound(BLOCK, 0);
  assert.deepEqual([service.dropped, service.backlog_s], [0, 0.02]);
  for (let i = 0; i < 100; i++) service.sound(BLOCK, 0);
  assert.ok(service.dropped > 0);
});

test("a recording whose engine fails is ended with a reason", async () => {
  const said = [];
  const step = { look_ahead: 1, thresholds: {}, reset() {} };
  const service = Object.assign(Object.create(Service.prototype), {
    say: (message) => said.push(message), rate: 48_000, live: null, waiting: [], next_s: 0, computed_s: 0, told_s: 0,
    samples: 0, late: 0, working: false, ending: false, closed: false, step,
    stream: { feed: async () => Promise.reject(new Error("not numbers")) },
  });
  service.sound(BLOCK, 0);
  await new Promise((go) => setImmediate(() => setImmediate(go)));
  assert.deepEqual(said, [{ type: "failed", reason: "not numbers" }]);
});

test("a take is named by the clock on the wall", (t) => {
  const zone = process.env.TZ;
  t.after(() => (zone === undefined ? delete process.env.TZ : (process.env.TZ = zone)));
  process.env.TZ = "Asia/Tokyo";
  assert.equal(takeName(new Date("2026-12-01T20:05:09Z")), "take-2026-12-02-05-05-09");
});
