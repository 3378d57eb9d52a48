// @ts-check
/** The engine's worker. It serves one stream at a time: a hello replaces the previous stream. */

import { loadEngine } from "./loading.js";
import { Service } from "./service.js";

/**
 * @typedef {{type: "prepare", latency_ms: number}
 *   | {type: "hello", id: number, hello: import("./service.js").Hello}
 *   | {type: "sound", id: number, samples: Float32Array, at_ms: number}
 *   | {type: "gap", id: number, samples: number}
 *   | {type: "end" | "close", id: number}} Message
 */

/** @type {Promise<import("./loading.js").Engine> | null} */
let engine = null;
/** Handles messages one after the other, also while a session opens. */
let turn = Promise.resolve();
/** @type {{id: number, service: Service} | null} */
let current = null;

/** Enough steps for browsers to compile WebAssembly again, to faster code; slow devices run fewer. */
const WARM_UP_STEPS = 60;
const WARM_UP_MS = 1500;

/** @param {object} message */
const say = (message) => postMessage(message);

onmessage = (/** @type {MessageEvent<Message>} */ { data }) => {
  turn = turn.then(() => take(data)).catch((error) => {
    engine = current ? engine : null; // fetching may succeed the next time
    say({ type: "failed", id: "id" in data ? data.id : 0, reason: String(error?.message ?? error) });
  });
};

/** @param {Message} message */
async function take(message) {
  if (message.type === "prepare") {
    const loaded = await load();
    await warmUp(await loaded.step(message.latency_ms), loaded.network);
    say({ type: "prepared" });
  } else if (message.type === "hello") {
    current?.service.close();
    current = null;
    const loaded = await load();
    const step = await loaded.step(message.hello.latency_ms);
    const { id } = message;
    current = { id, service: new Service(loaded, step, message.hello, (said) => say({ id, ...said })) };
  } else if (current?.id === message.id) {
    const { service } = current;
    if (message.type === "sound") service.sound(message.samples, message.at_ms);
    else if (message.type === "gap") service.gap(message.samples);
    else if (message.type === "end") service.end();
    else service.close();
  }
}

/** @param {import("./step.js").Step} step @param {import("./graph.js").Network} network */
async function warmUp(step, network) {
  const end_ms = performance.now() + WARM_UP_MS;
  for (let i = 0; i < WARM_UP_STEPS && !current && performance.now() < end_ms; i++) {
    await step.run(new Float32Array(network.front_end.longest));
  }
}

function load() {
  engine ??= loadEngine();
  return engine;
}
