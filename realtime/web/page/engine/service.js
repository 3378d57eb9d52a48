// @ts-check
/** Serves one stream of sound in a worker, as PROTOCOL.md describes it for a server. */

import { Live } from "./live.js";
import { Meter } from "./meter.js";
import { pause } from "./pause.js";
import { EngineFault, Stream } from "./stream.js";

const MOST_BACKLOG_S = 1;
const KEPT_S = 0.3;
const TELL_S = 0.2;
const LATE_MS = 40;

/**
 * @typedef {import("../notes.js").NoteEvent} NoteEvent
 * @typedef {{sample_rate: number, latency_ms: number, mode: "live" | "file", start_s: number}} Hello
 * @typedef {{samples: Float32Array, time_s: number, at_ms: number}} Block `at_ms`: arrival, in ms since 1970
 * @typedef {(message: {type: string, [key: string]: unknown}) => void} Say
 */

export class Service {
  /**
   * @param {import("./loading.js").Engine} engine
   * @param {import("./step.js").Step} step
   * @param {Hello} hello
   * @param {Say} say
   */
  constructor(engine, step, hello, say) {
    this.rate = hello.sample_rate;
    this.say = say;
    this.meter = new Meter();
    this.stream = new Stream(step, engine.network, this.rate);
    this.stream.onStep = (ms) => this.meter.note(ms);
    this.live = hello.mode === "live" ? new Live(this.stream, this.rate) : null;
    /** @type {Block[]} */
    this.waiting = [];
    this.next_s = this.computed_s = hello.start_s;
    this.told_s = -Infinity;
    this.dropped = this.late = this.samples = 0;
    this.ending = this.working = this.closed = false;
    say({ type: "ready", latency_ms: 1000 * this.stream.latency_s, pedal: engine.network.has_pedal });
  }

  /** @param {Float32Array} samples @param {number} at_ms time of their arrival */
  sound(samples, at_ms) {
    this.waiting.push({ samples, time_s: this.next_s, at_ms });
    this.next_s += samples.length / this.rate;
    if (this.live) this.dropOld();
    this.begin();
  }

  /** Skips samples that were not sent. @param {number} samples */
  gap(samples) {
    this.next_s += samples / this.rate;
  }

  end() {
    this.ending = true;
    this.begin();
  }

  close() {
    this.closed = true;
    this.waiting = [];
  }

  /** Length of the waiting sound, without gaps. */
  get backlog_s() {
    return this.waiting.reduce((count, { samples }) => count + samples.length, 0) / this.rate;
  }

  /** Drops and counts old blocks when more than a second of sound waits: the engine cannot catch up. */
  dropOld() {
    if (this.backlog_s <= MOST_BACKLOG_S) return;
    while (this.backlog_s > KEPT_S) {
      this.waiting.shift();
      this.dropped += 1;
    }
  }

  begin() {
    if (this.working) return;
    // Without an answer, the page would wait for its notes for ever.
    this.work().catch((error) => this.say({ type: "failed", reason: String(error?.message ?? error) }));
  }

  async work() {
    this.working = true;
    while (this.waiting.length && !this.closed) {
      await this.take(/** @type {Block} */ (this.waiting.shift()));
      await pause();
    }
    if (this.ending && !this.closed) await this.finish();
    this.working = false;
  }

  /** @param {Block} block */
  async take(block) {
    try {
      const events = this.live ? await this.live.feed(block.samples, block.time_s) : await this.stream.feed(block.samples);
      this.tell(events);
    } catch (error) {
      if (!(error instanceof EngineFault) || !this.live) throw error;
      this.tell(await this.live.interrupt(true));
    }
    this.samples += block.samples.length;
    this.computed_s = block.time_s + block.samples.length / this.rate;
    if (performance.timeOrigin + performance.now() - block.at_ms > LATE_MS) this.late += 1;
    if (this.computed_s - this.told_s >= TELL_S) this.tellHeard();
  }

  async finish() {
    this.closed = true;
    this.tell(this.live ? await this.live.interrupt() : await this.stream.flush());
    this.tellHeard();
    this.say({ type: "done", time_s: this.computed_s });
  }

  /** @param {NoteEvent[]} events */
  tell(events) {
    if (events.length) this.say({ type: "events", events });
  }

  tellHeard() {
    this.told_s = this.computed_s;
    this.say({
      type: "heard",
      time_s: this.computed_s,
      samples: this.samples,
      backlog_ms: 1000 * this.backlog_s,
      dropped_blocks: this.dropped,
      late_blocks: this.late,
      ...this.meter.figures(),
    });
  }
}
