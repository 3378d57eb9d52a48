// @ts-check
/** Turns blocks of sound into events despite gaps, invalid samples and silence, as realtime/live_decoder.py does. */

import { Gate } from "./gate.js";

const SHORT_GAP_S = 0.05;
const LONGEST_NOTE_S = 90;
const LOUDEST = 4;

/** @typedef {import("../notes.js").NoteEvent} NoteEvent */

export class Live {
  /** @param {import("./stream.js").Stream} stream @param {number} rate Hz */
  constructor(stream, rate) {
    this.stream = stream;
    this.rate = rate;
    this.gate = new Gate(rate);
    /** Pitch to onset_s. @type {Map<number, number>} */
    this.sounding = new Map();
    /** @type {number | null} */
    this.pedal_s = null;
    this.struck_s = 0;
    /** Events not yet returned, kept here so that a fault loses no note off. @type {NoteEvent[]} */
    this.events = [];
    /** Stream time of the sample expected next. @type {number | null} */
    this.next_s = null;
    /** Stream time of the network's first sample. @type {number | null} */
    this.origin_s = null;
  }

  /** Events that a block completes. @param {Float32Array} samples @param {number} time_s of the first sample */
  async feed(samples, time_s) {
    const clean = samples.map((sample) => (Number.isFinite(sample) ? Math.max(-LOUDEST, Math.min(LOUDEST, sample)) : 0));
    const missing_s = this.next_s === null ? 0 : time_s - this.next_s;
    if (!(missing_s > -1e-3 && missing_s <= SHORT_GAP_S)) await this.endAll(false);
    else if (this.origin_s !== null && missing_s > 0.5 / this.rate) this.origin_s += missing_s;
    await this.predict(clean, time_s + samples.length / this.rate);
    return this.take();
  }

  /** Ends all sounding notes and the pedal; the next block starts anew. @param {boolean} broken see `endAll` */
  async interrupt(broken = false) {
    await this.endAll(broken);
    return this.take();
  }

  /** @param {boolean} broken the stream failed: its pending events are lost */
  async endAll(broken) {
    if (!broken && this.origin_s !== null) this.tell(await this.stream.flush());
    const end_s = this.next_s ?? 0;
    for (const [pitch, onset_s] of this.sounding) {
      this.events.push({ type: "off", time_s: Math.max(end_s, onset_s), pitch });
    }
    this.sounding.clear();
    this.movePedal(end_s, false);
    this.gate.restart();
    this.stream.reset();
    this.next_s = this.origin_s = null;
  }

  /** @param {Float32Array} samples @param {number} end_s */
  async predict(samples, end_s) {
    const passed = this.gate.pass(samples);
    this.next_s = end_s;
    if (!passed.length) return;
    // After a pause too: the pre-roll ends where this block ends.
    this.origin_s ??= end_s - passed.length / this.rate;
    this.tell(await this.stream.feed(passed));
    this.endOverlong(end_s);
    if (!this.gate.asleep) return;
    this.tell(await this.stream.flush());
    this.stream.reset();
    this.origin_s = null;
  }

  /** Queues events in stream time, without note offs that have no note on. @param {NoteEvent[]} events */
  tell(events) {
    for (const event of events) {
      const time_s = event.time_s + (this.origin_s ?? 0);
      if (event.type === "pedal") {
        this.movePedal(time_s, event.down);
        continue;
      }
      const begun_s = this.sounding.get(event.pitch);
      this.sounding.delete(event.pitch);
      if (begun_s !== undefined) this.events.push({ type: "off", time_s: Math.max(time_s, begun_s), pitch: event.pitch });
      if (event.type === "on") {
        this.events.push({ ...event, time_s });
        this.sounding.set(event.pitch, time_s);
        this.struck_s = time_s;
      }
    }
  }

  /** @param {number} at_s @param {boolean} down */
  movePedal(at_s, down) {
    if (down === (this.pedal_s !== null)) return;
    const time_s = down ? at_s : Math.max(at_s, this.pedal_s ?? 0);
    this.pedal_s = down ? time_s : null;
    this.events.push({ type: "pedal", time_s, down });
  }

  /** @param {number} end_s */
  endOverlong(end_s) {
    for (const [pitch, onset_s] of this.sounding) {
      if (end_s - onset_s <= LONGEST_NOTE_S) continue;
      this.sounding.delete(pitch);
      this.events.push({ type: "off", time_s: end_s, pitch });
    }
    if (this.pedal_s !== null && end_s - Math.max(this.pedal_s, this.struck_s) > LONGEST_NOTE_S) {
      this.movePedal(end_s, false);
    }
  }

  take() {
    const events = this.events;
    this.events = [];
    return events;
  }
}
