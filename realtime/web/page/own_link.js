// @ts-check
/** The engine in this page, as link.js is the server's: hello, sound out, events in. */

/** @typedef {import("./link.js").Wish} Wish @typedef {import("./link.js").Ears} Ears */

/** Closed by ourselves; the worker failed. */
const ASKED = 1000;
const BROKEN = 4500;

/** The worker, made once, and the links that it answers. */
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

  /** Loads it, so that it is ready when it is wanted. @param {number} latency_ms */
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
      this.worker.onerror = (event) => this.failed(event.message || "the worker did not start");
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
    this.droppedBlocks = 0; // those that the engine drops are in `heard`
    this.sent = this.computed = this.missed = 0; // samples
  }

  /** Bytes that wait. */
  get buffered() {
    return 4 * Math.max(0, this.sent - this.computed);
  }

  /** Sends a block; what comes before the engine is ready is passed over. @param {Float32Array} samples */
  send(samples) {
    if (!this.open) {
      this.missed += samples.length;
      return;
    }
    if (this.missed) this.engine.say({ type: "gap", id: this.id, samples: this.missed });
    this.missed = 0;
    this.deliver(samples.slice());
  }

  /** Hands a block over: it is empty afterwards. @param {Float32Array} samples */
  deliver(samples) {
    this.sent += samples.length;
    const at_ms = performance.timeOrigin + performance.now();
    this.engine.say({ type: "sound", id: this.id, samples, at_ms }, [samples.buffer]);
  }

  /** No more sound: what is owed comes, then it closes. */
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
