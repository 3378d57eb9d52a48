// @ts-check
/** The link to the engine in this page, with the interface of link.js. */

import { text } from "./text.js";

/** @typedef {import("./link.js").Wish} Wish @typedef {import("./link.js").Ears} Ears */

/** Close codes: normal end; failure of the worker. */
const ASKED = 1000;
const BROKEN = 4500;

/** Starts the worker when it is first needed and passes its messages to the links. */
export class OwnEngine {
  constructor() {
    /** @type {Worker | null} */
    this.worker = null;
    /** @type {Map<number, OwnLink>} */
    this.links = new Map();
    this.count = 0;
    /** @type {(reason: string) => void} */
    this.onPrepared = () => {};
  }

  /** Loads the engine in advance. @param {number} latency_ms */
  prepare(latency_ms) {
    this.say({ type: "prepare", latency_ms });
  }

  /** @param {() => Wish} wish @param {Ears} ears */
  connect(wish, ears) {
    const link = new OwnLink(this, ++this.count, ears);
    this.links.set(link.id, link);
    const { sample_rate, latency_ms, mode, start_s } = wish();
    this.say({ type: "hello", id: link.id, hello: { sample_rate, latency_ms, mode, start_s } });
    return link;
  }

  /** @param {object} message @param {Transferable[]} [transfer] */
  say(message, transfer = []) {
    if (!this.worker) {
      this.worker = new Worker(new URL("engine/worker.js", import.meta.url), { type: "module" });
      this.worker.onmessage = ({ data }) => this.receive(data);
      this.worker.onerror = (event) => this.failed(event.message || text("no worker"));
    }
    this.worker.postMessage(message, transfer);
  }

  /** @param {any} message */
  receive(message) {
    if (message.type === "prepared") this.onPrepared("");
    else if (message.type === "failed" && !message.id) this.onPrepared(message.reason);
    else this.links.get(message.id)?.receive(message);
  }

  /** @param {string} reason */
  failed(reason) {
    this.worker?.terminate();
    this.worker = null;
    this.onPrepared(reason);
    for (const link of [...this.links.values()]) link.closed(BROKEN, reason);
  }
}

export class OwnLink {
  /** @param {OwnEngine} engine @param {number} id @param {Ears} ears */
  constructor(engine, id, ears) {
    this.engine = engine;
    this.id = id;
    this.ears = ears;
    this.open = false;
    this.droppedBlocks = 0; // blocks that the engine drops are counted in `heard`
    this.sent = this.computed = this.missed = 0; // samples
  }

  /** Bytes that wait for the engine. */
  get buffered() {
    return 4 * Math.max(0, this.sent - this.computed);
  }

  /** Sends a block, or skips it while the engine is not ready. @param {Float32Array} samples */
  send(samples) {
    if (!this.open) {
      this.missed += samples.length;
      return;
    }
    if (this.missed) this.engine.say({ type: "gap", id: this.id, samples: this.missed });
    this.missed = 0;
    this.deliver(samples.slice());
  }

  /** Transfers a block to the worker; the array is empty afterwards. @param {Float32Array} samples */
  deliver(samples) {
    this.sent += samples.length;
    const at_ms = performance.timeOrigin + performance.now();
    this.engine.say({ type: "sound", id: this.id, samples, at_ms }, [samples.buffer]);
  }

  /** Ends the sound: the engine sends the pending events, then the link closes. */
  end() {
    this.engine.say({ type: "end", id: this.id });
  }

  close() {
    this.engine.say({ type: "close", id: this.id });
    this.closed(ASKED, "");
  }

  /** @param {any} message */
  receive(message) {
    if (message.type === "ready") {
      this.open = true;
      this.ears.onReady(message.latency_ms, message.pedal);
    } else if (message.type === "events") this.ears.onEvents(message.events);
    else if (message.type === "heard") {
      this.computed = message.samples;
      this.ears.onHeard(message);
    } else if (message.type === "done") this.closed(ASKED, "");
    else if (message.type === "failed") this.closed(BROKEN, message.reason);
  }

  /** @param {number} code @param {string} reason */
  closed(code, reason) {
    if (!this.engine.links.delete(this.id)) return;
    this.open = false;
    this.ears.onClose(code, reason);
  }
}
