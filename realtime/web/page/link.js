// @ts-check
/** The connection to the server: sends a hello and sound, receives events. PROTOCOL.md describes the messages. */

/**
 * @typedef {{sample_rate: number, latency_ms: number, mode: "live" | "file", start_s: number, token: string}} Wish
 * @typedef {{time_s: number, backlog_ms: number, dropped_blocks: number, late_blocks: number,
 *   step_ms?: number, step_p99_ms?: number}} Heard
 * @typedef {{
 *   onReady: (latency_ms: number, hearsPedal: boolean) => void,
 *   onEvents: (events: import("./notes.js").NoteEvent[]) => void,
 *   onHeard: (heard: Heard) => void,
 *   onClose: (code: number, reason: string) => void,
 *   onRoundTrip?: (ms: number) => void,
 * }} Ears
 */

export const VERSION = 1;
/** Close codes after which a retry is useless. */
export const FINAL = new Set([1002, 1007, 1009, 4400, 4401, 4426]);
export const NOT_ALLOWED = 4401;
export const FULL = 4503;
const PING_EVERY_MS = 2000;
/** So many pings without an answer mean that the server is gone: nothing else tells if it was cut off. */
const MOST_UNANSWERED = 5;
/** Seconds of sound that may wait in the browser before blocks are dropped. */
const MOST_BUFFERED_S = 1;

export class Link {
  /**
   * @param {() => Wish} wish called when the connection is open
   * @param {Ears} ears
   */
  constructor(wish, ears) {
    this.ears = ears;
    this.open = false;
    this.droppedBlocks = 0;
    this.gap = 0;
    this.rate = 48000;
    this.live = true;
    const url = new URL("stream", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.greet(wish());
    this.socket.onmessage = (message) => this.receive(JSON.parse(message.data));
    this.socket.onclose = (event) => this.closed(event.code, event.reason);
    this.timer = 0;
    this.pings = 0;
    /** @type {Map<number, number>} */
    this.sent = new Map();
  }

  /** @param {Wish} wish */
  greet(wish) {
    this.rate = wish.sample_rate;
    this.live = wish.mode === "live";
    this.socket.send(JSON.stringify({ type: "hello", version: VERSION, format: "f32", ...wish }));
    this.open = true;
    this.timer = setInterval(() => this.ping(), PING_EVERY_MS);
    this.ping();
  }

  /** Bytes that wait in the browser to be sent. */
  get buffered() {
    return this.socket.bufferedAmount;
  }

  /** Sends a block, or drops it if the connection is too slow. @param {Float32Array} samples */
  send(samples) {
    if (!this.open) return;
    if (this.buffered > 4 * this.rate * MOST_BUFFERED_S) {
      this.droppedBlocks += 1;
      this.gap += samples.length;
      return;
    }
    if (this.gap) this.say({ type: "gap", samples: this.gap });
    this.gap = 0;
    this.socket.send(/** @type {Float32Array<ArrayBuffer>} */ (samples));
  }

  /** Sends a block of a recording, without ever dropping it. @param {Float32Array} samples */
  deliver(samples) {
    this.socket.send(/** @type {Float32Array<ArrayBuffer>} */ (samples));
  }

  /** Ends the sound: the server sends the pending events, then closes. */
  end() {
    if (this.open) this.say({ type: "end" });
    else this.socket.close();
  }

  close() {
    this.socket.close(1000);
  }

  /** @param {object} message */
  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  ping() {
    // Pings wait behind a recording, which the server reads as fast as it computes.
    if (this.live && this.sent.size >= MOST_UNANSWERED) return this.cutOff();
    const id = this.pings++;
    this.sent.set(id, performance.now());
    this.say({ type: "ping", id });
  }

  /** Gives up a connection that is dead: its own end would come after minutes. */
  cutOff() {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.closed(1006, "");
  }

  /** @param {any} message */
  receive(message) {
    if (message.type === "events") this.ears.onEvents(message.events);
    else if (message.type === "heard") this.ears.onHeard(message);
    else if (message.type === "ready") this.ears.onReady(message.latency_ms, message.pedal === true);
    else if (message.type === "pong") {
      const sent_ms = this.sent.get(message.id);
      this.sent.delete(message.id);
      if (sent_ms !== undefined) this.ears.onRoundTrip?.(performance.now() - sent_ms);
    }
  }

  /** @param {number} code @param {string} reason */
  closed(code, reason) {
    clearInterval(this.timer);
    this.open = false;
    this.ears.onClose(code, reason);
  }
}

/** Time to wait before the next attempt: it doubles with each failure, up to a limit. */
export class Backoff {
  constructor(first_ms = 500, most_ms = 8000) {
    this.first_ms = first_ms;
    this.most_ms = most_ms;
    this.wait_ms = first_ms;
  }

  succeeded() {
    this.wait_ms = this.first_ms;
  }

  failed() {
    const wait_ms = this.wait_ms;
    this.wait_ms = Math.min(this.most_ms, 2 * wait_ms);
    return wait_ms;
  }
}
