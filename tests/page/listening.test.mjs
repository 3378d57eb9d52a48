/** Listening through faults: the device sleeps, the sound pauses, the microphone or the server goes away. */

import assert from "node:assert/strict";
import test from "node:test";

import { CaptureError } from "../../realtime/web/page/capture.js";
import { Engines } from "../../realtime/web/page/engines.js";
import { Link } from "../../realtime/web/page/link.js";
import { Listening } from "../../realtime/web/page/listening.js";
import { Recording } from "../../realtime/web/page/recording.js";
import { replace } from "./fakes.mjs";

const BLOCK = new Float32Array(480);

/**
 * A session that has heard a second of sound. `lost` collects the times at which notes were ended, `problems` and
 * `states` what was shown, `starts_s` where streams were opened.
 */
function session(t, clock) {
  const [lost, problems, states, starts_s] = [[], [], [], []];
  replace(t, "performance", { now: () => clock.ms });
  replace(t, "window", { setTimeout: () => 0 });
  const reactions = {
    onLost: (time_s) => lost.push(time_s),
    onState: (line) => states.push(line),
    onProblem: (line) => problems.push(line),
    onHint() {}, onMicrophone() {}, onEnded() {},
  };
  const connect = (wish) => starts_s.push(wish().start_s) && { droppedBlocks: 0, send() {}, end() {}, close() {} };
  const listening = new Listening(reactions, { kind: "page", connect }, "");
  const link = { droppedBlocks: 0, send() {}, close: () => listening.closed(1000, "") };
  Object.assign(listening, { recording: new Recording(48_000), going: true, link });
  for (let i = 0; i < 100; i++, clock.ms += 10) listening.receive(BLOCK);
  return { listening, lost, problems, states, starts_s };
}

test("notes that sound when the device sleeps end where its sound ends", (t) => {
  const clock = { ms: 1000 };
  const { listening, lost } = session(t, clock);
  clock.ms += 3_600_000;
  listening.receive(BLOCK);
  assert.equal(lost.length, 1);
  assert.ok(Math.abs(lost[0] - 1) < 0.011, `${lost[0]} s`);
});

test("notes end where the sound ends if the connection is lost while the sound pauses", (t) => {
  const clock = { ms: 1000 };
  const { listening, lost } = session(t, clock);
  clock.ms += 60_000;
  listening.closed(4408, "no sound");
  assert.ok(Math.abs(lost[0] - 1) < 0.011, `${lost[0]} s`);
});

test("a stream that a server closes for lack of sound is opened again by the sound", (t) => {
  const clock = { ms: 1000 };
  const { listening, states, starts_s } = session(t, clock);
  clock.ms += 60_000;
  listening.closed(4408, "no sound for 60 s");
  assert.deepEqual([states, starts_s], [[], []]);
  listening.receive(BLOCK);
  assert.deepEqual(starts_s, [1]);
  listening.receive(BLOCK);
  assert.equal(starts_s.length, 1);
});

test("the picture's time stands still while no sound comes", (t) => {
  const clock = { ms: 1000 };
  const { listening } = session(t, clock);
  assert.ok(Math.abs(listening.streamAt(clock.ms) - 1) < 0.02);
  assert.ok(listening.streamAt(clock.ms + 3_600_000) <= 2);
});

test("suspended sound is told until it comes again, or listening ends", async (t) => {
  const { listening, problems } = session(t, { ms: 1000 });
  listening.capture.onHeld(true);
  assert.match(problems.at(-1), /suspended/);
  listening.capture.onHeld(false);
  assert.equal(problems.at(-1), "");
  listening.capture.onHeld(true);
  listening.link = null;
  await listening.stop();
  assert.equal(problems.at(-1), "");
});

test("a microphone that is gone is told until one is open", async (t) => {
  const { listening, problems, lost } = session(t, { ms: 1000 });
  const asked = [];
  replace(t, "setTimeout", (go) => queueMicrotask(go));
  listening.deviceId = "one";
  listening.capture.stop = async () => {};
  listening.capture.start = async (deviceId) => {
    asked.push(deviceId);
    if (asked.length < 4) throw new CaptureError("gone");
  };
  await listening.microphoneLost();
  assert.match(problems.at(-1), /disconnected/);
  await listening.opening;
  assert.deepEqual(asked, ["one", "", "one", ""]);
  assert.deepEqual([problems.at(-1), lost.length], ["", 1]);
});

/** A connection whose server never answers; `closes` collects its close codes, `tick` is the timer of its pings. */
function unanswered(t, mode, connect) {
  const closes = [];
  const found = { closes, tick: () => {} };
  replace(t, "location", { href: "http://localhost/", protocol: "http:" });
  replace(t, "setInterval", (go) => (found.tick = go) && 0);
  class Silent {
    static OPEN = 1;
    readyState = 1;
    send() {}
    close() {}
  }
  replace(t, "WebSocket", Silent);
  const ears = { onClose: (code) => closes.push(code), onRoundTrip() {} };
  found.link = connect(() => ({ sample_rate: 48_000, mode }), ears);
  found.link.socket.onopen();
  return found;
}

const plain = (wish, ears) => new Link(wish, ears);

test("a server that answers no more is given up", (t) => {
  const { link, closes, tick } = unanswered(t, "live", plain);
  for (let i = 0; i < 20; i++) {
    tick();
    link.receive({ type: "pong", id: i });
  }
  assert.deepEqual(closes, []);
  for (let i = 0; i < 20 && !closes.length; i++) tick();
  assert.deepEqual(closes, [1006]);
});

test("a server that still computes a recording is waited for", (t) => {
  const { closes, tick } = unanswered(t, "file", plain);
  for (let i = 0; i < 200; i++) tick();
  assert.deepEqual(closes, []);
});

test("a refused token can be corrected", (t) => {
  const engines = new Engines();
  let refused = 0;
  engines.onNotAllowed = () => (refused += 1);
  const { link, closes } = unanswered(t, "file", (wish, ears) => engines.connect(wish, ears));
  link.socket.onclose({ code: 4401, reason: "the token is missing or wrong" });
  assert.deepEqual([refused, closes], [1, [4401]]);
});
