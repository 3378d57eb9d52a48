// @ts-check
/** Listening: microphone to server to notes. Survives a lost connection; the take goes on. */

import { Capture, levelDb } from "./capture.js";
import { StreamClock } from "./clock.js";
import { Backoff, FINAL, FULL, Link } from "./link.js";
import { Recording } from "./recording.js";

/** How long the last notes may take to come after Stop. */
const LAST_NOTES_MS = 2000;

/**
 * @typedef {{
 *   onEvent: (event: import("./notes.js").NoteEvent) => void,
 *   onLost: () => void,
 *   onState: (line: string) => void,
 *   onProblem: (line: string) => void,
 *   onRoundTrip: (ms: number) => void,
 *   onEnded: () => void,
 * }} Reactions
 */

export class Listening {
  /**
   * @param {Reactions} reactions
   * @param {string} token
   */
  constructor(reactions, token) {
    this.reactions = reactions;
    this.token = token;
    this.clock = new StreamClock();
    this.capture = new Capture((samples) => this.hear(samples), (why) => this.deviceLost(why));
    this.backoff = new Backoff();
    this.latency_ms = 132;
    /** The whole algorithmic latency, as the server says. */
    this.algorithmic_ms = 0;
    this.hearsPedal = false;
    this.level_db = -120;
    this.droppedBefore = this.droppedByServer = 0;
    /** @type {Link | null} */
    this.link = null;
    /** @type {Recording | null} */
    this.recording = null;
    this.going = false;
    this.retry = 0;
  }

  /** @param {string} deviceId @param {number} latency_ms @throws {import("./capture.js").CaptureError} */
  async start(deviceId, latency_ms) {
    this.latency_ms = latency_ms;
    this.reactions.onState("Opening the microphone …");
    await this.capture.start(deviceId);
    this.recording = new Recording(this.capture.sampleRate);
    this.going = true;
    this.connect();
  }

  get droppedBlocks() {
    return this.droppedBefore + this.droppedByServer + (this.link?.droppedBlocks ?? 0);
  }

  /** Stream time at the page's time: seconds of sound since Listen was pressed. @param {number} now_ms */
  streamAt(now_ms) {
    return this.clock.streamAt(now_ms);
  }

  /** Another latency from now on: a new stream, which goes on in the same take. @param {number} latency_ms */
  setLatency(latency_ms) {
    this.latency_ms = latency_ms;
    this.backoff.succeeded();
    this.link?.close(); // closed() connects again
  }

  /** Waits for the last notes. */
  async stop() {
    if (!this.going) return;
    this.going = false;
    clearTimeout(this.retry);
    await this.capture.stop();
    const link = this.link;
    if (link) {
      link.end();
      await new Promise((done) => {
        this.stopped = done;
        setTimeout(done, LAST_NOTES_MS);
      });
      link.close();
    }
    this.reactions.onEnded();
  }

  connect() {
    if (!this.going) return;
    let dropped = 0;
    const rate = this.capture.sampleRate;
    this.link = new Link(
      () => ({
        sample_rate: rate, latency_ms: this.latency_ms, mode: "live", token: this.token,
        start_s: this.recording?.duration_s ?? 0,
      }),
      {
        onReady: (latency_ms, hearsPedal) => {
          this.backoff.succeeded();
          this.hearsPedal = hearsPedal;
          this.algorithmic_ms = latency_ms;
          this.reactions.onState("Listening");
        },
        onEvents: (events) => events.forEach(this.reactions.onEvent),
        onHeard: (heard) => {
          this.droppedByServer += heard.dropped_blocks - dropped;
          dropped = heard.dropped_blocks;
        },
        onRoundTrip: this.reactions.onRoundTrip,
        onClose: (code, reason) => this.closed(code, reason),
      },
    );
  }

  /** @param {Float32Array} samples */
  hear(samples) {
    if (!this.recording) return;
    this.recording.add(samples);
    this.clock.observe(this.recording.duration_s, performance.now());
    this.level_db = Math.max(levelDb(samples), this.level_db - 0.3);
    this.link?.send(samples);
  }

  /** @param {number} code @param {string} reason */
  closed(code, reason) {
    this.droppedBefore += this.link?.droppedBlocks ?? 0;
    this.link = null;
    this.reactions.onLost();
    this.stopped?.(undefined);
    if (!this.going) return;
    if (FINAL.has(code)) {
      this.reactions.onProblem(`The server refused: ${reason || code}.`);
      void this.stop();
      return;
    }
    const asked = code === 1000 || code === 1005;
    const wait_ms = asked ? 0 : this.backoff.failed();
    if (!asked) {
      const why = code === FULL ? "All places are taken" : "The connection is lost";
      const detail = reason && code !== FULL ? ` (${reason})` : "";
      this.reactions.onState(`${why}${detail}; trying again in ${wait_ms / 1000} s. The sound is still recorded.`);
    }
    this.retry = window.setTimeout(() => this.connect(), wait_ms);
  }

  /** @param {string} why */
  deviceLost(why) {
    this.reactions.onProblem(why);
    void this.stop();
  }

  /** @type {((value: unknown) => void) | undefined} */
  stopped;
}
