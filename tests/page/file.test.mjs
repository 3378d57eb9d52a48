/** A recording on its way to the engine: cancelled, in a hidden page, refused. */

import assert from "node:assert/strict";
import test from "node:test";

import { decode, transcribe } from "../../realtime/web/page/file.js";
import { replace } from "./fakes.mjs";

const RATE = 48_000;
const quiet = () => {};

/** Engines whose link takes sound and computes nothing by itself; `ears` are the page's. */
function engines(kind) {
  const link = { open: true, sent: 0, computed: 0, ended: false, close: quiet };
  Object.defineProperty(link, "buffered", { get: () => 4 * (link.sent - link.computed) });
  link.deliver = (samples) => (link.sent += samples.length);
  link.end = () => (link.ended = true);
  const found = { kind, link, ears: null, connect: (_, ears) => ((found.ears = ears), link) };
  return found;
}

test("Cancel counts while a long recording is read, and the page goes on meanwhile", async (t) => {
  const cancel = new AbortController();
  const channel = new Float32Array(1 << 20);
  class Context {
    async decodeAudioData() {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (port1.close(), cancel.abort()); // a press that waits while the page mixes
      port2.postMessage(null);
      return { numberOfChannels: 2, length: channel.length, getChannelData: () => channel };
    }
  }
  replace(t, "OfflineAudioContext", Context);
  await assert.rejects(decode(new File(["sound"], "a.wav"), cancel.signal), /Cancelled/);
});

test("a hidden page, whose timers hardly run, sends a recording as fast as it is computed", async (t) => {
  replace(t, "setTimeout", quiet);
  const found = engines("page");
  const { link } = found;
  const samples = new Float32Array(60 * RATE);
  const done = transcribe(found, { samples, rate: RATE }, "", 212, quiet, quiet, new AbortController().signal);
  found.ears.onReady(212, false);
  for (let turn = 0; turn < 1000 && !link.ended; turn++) {
    link.computed = link.sent;
    found.ears.onHeard({ time_s: link.computed / RATE });
    await new Promise((go) => setImmediate(go));
  }
  assert.deepEqual([link.sent, link.ended], [samples.length, true]);
  found.ears.onClose(1000, "");
  await done;
});

test("who failed is told: the engine of the page or the server", async () => {
  for (const [kind, wanted] of [["page", /engine failed: no memory/], ["server", /server says: no memory/]]) {
    const found = engines(kind);
    const sound = { samples: new Float32Array(RATE), rate: RATE };
    const done = transcribe(found, sound, "", 212, quiet, quiet, new AbortController().signal);
    found.ears.onClose(4500, "no memory");
    await assert.rejects(done, wanted);
  }
});
