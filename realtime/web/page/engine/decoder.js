// @ts-check
/** Decodes probabilities to events, frame by frame; model/decoder.py explains the rule. */

import { PedalDecoder } from "./pedal_decoder.js";
import { FRAME_S, KEYS, LOWEST_PITCH, roundEven } from "./timebase.js";

const HEADS = 4;
const [ONSET, FRAME, OFFSET, VELOCITY] = [0, 1, 2, 3];
const SHORTEST_REPEAT_FRAMES = 3;
const SHORTEST_NOTE_S = 0.02;

/**
 * @typedef {import("../notes.js").NoteEvent} NoteEvent
 * @typedef {import("../notes.js").KeyEvent} KeyEvent
 * @typedef {{onset: number, frame: number, offset: number, pedal: number}} Thresholds
 */

export class Decoder {
  /** @param {Thresholds} thresholds */
  constructor(thresholds) {
    // Rounded to single precision, the precision of the probabilities.
    this.onset = Math.fround(thresholds.onset);
    this.frame = Math.fround(thresholds.frame);
    this.offset = Math.fround(thresholds.offset);
    this.pedal = new PedalDecoder(thresholds.pedal);
    /** Probabilities [88 * 4] of the decoded frame (`here`) and its two neighbours. @type {Float32Array} */
    this.left = new Float32Array(KEYS * HEADS);
    /** @type {Float32Array} */
    this.here = this.left;
    /** @type {Float32Array} */
    this.right = this.left;
    this.number = -1; // index of the frame to decode next, the last frame fed
    /** Sounding notes by key. @type {Map<number, {frame: number, onset_s: number}>} */
    this.sounding = new Map();
    /** Frame of each key's last onset. */
    this.lastOnset = new Int32Array(KEYS).fill(-SHORTEST_REPEAT_FRAMES);
  }

  /**
   * Receives the next frame's probabilities [88 * 4] and the pedal's; returns the events of the frame before it.
   * @param {Float32Array} keys
   * @param {number | null} pedal
   */
  feed(keys, pedal) {
    return this.decode(keys, pedal === null ? null : this.pedal.feed(pedal));
  }

  /** Decodes the last frame and ends all sounding notes and the pedal. Call `feed` no more. */
  flush() {
    const events = this.decode(new Float32Array(KEYS * HEADS), this.pedal.feedLast());
    const end_s = this.number * FRAME_S;
    for (const [key, note] of [...this.sounding].sort((a, b) => a[0] - b[0])) {
      events.push(off(Math.max(end_s, note.onset_s + SHORTEST_NOTE_S), key));
    }
    this.sounding.clear();
    const up = this.pedal.flush();
    return up ? [...events, up] : events;
  }

  /** @param {Float32Array} right @param {import("../notes.js").PedalEvent | null} turn */
  decode(right, turn) {
    this.left = this.here;
    this.here = this.right;
    this.right = right;
    /** @type {KeyEvent[]} */
    let events = [];
    for (const key of [...this.sounding.keys()]) if (this.mayEnd(key)) events.push(...this.end(key));
    for (let key = 0; key < KEYS; key++) {
      if (!this.mayStrike(key)) continue;
      const onset = this.strike(key);
      const stroke = onset[onset.length - 1];
      if (stroke) events = [...events.map((event) => endedBy(stroke, event)), ...onset];
    }
    this.number += 1;
    return turn ? withPedal(events, turn) : events;
  }

  /** Whether a probability has a local maximum in the decoded frame. @param {number} at */
  peaks(at) {
    return this.here[at] > this.left[at] && this.here[at] >= this.right[at];
  }

  /** @param {number} key */
  mayStrike(key) {
    const at = key * HEADS;
    if (this.here[at + ONSET] < this.onset || !this.peaks(at + ONSET)) return false;
    return this.here[at + FRAME] >= this.frame || this.right[at + FRAME] >= this.frame;
  }

  /** @param {number} key */
  mayEnd(key) {
    const at = key * HEADS + OFFSET;
    if (this.here[at] >= this.offset && this.peaks(at)) return true;
    // An offset peak in the next frame gives a better time than the fall of the frame probability.
    const coming = this.right[at] > this.here[at] && this.right[at] >= this.offset;
    return this.here[key * HEADS + FRAME] < this.frame && !coming;
  }

  /** @param {number} key @returns {KeyEvent[]} */
  strike(key) {
    if (this.number - this.lastOnset[key] < SHORTEST_REPEAT_FRAMES) return [];
    let onset_s = Math.max(0, (this.number + this.between(key * HEADS + ONSET)) * FRAME_S);
    /** @type {KeyEvent[]} */
    const events = [];
    const before = this.sounding.get(key);
    if (before) {
      onset_s = Math.max(onset_s, before.onset_s + SHORTEST_NOTE_S);
      events.push(off(onset_s, key));
    }
    const velocity = Math.min(127, Math.max(1, roundEven(this.here[key * HEADS + VELOCITY] * 127)));
    events.push({ type: "on", time_s: onset_s, pitch: key + LOWEST_PITCH, velocity });
    this.sounding.set(key, { frame: this.number, onset_s });
    this.lastOnset[key] = this.number;
    return events;
  }

  /** @param {number} key @returns {KeyEvent[]} */
  end(key) {
    const note = this.sounding.get(key);
    // The frame probability may rise a frame after the onset.
    if (!note || this.number < note.frame + 2) return [];
    this.sounding.delete(key);
    const at = key * HEADS + OFFSET;
    const peaked = this.here[at] >= this.offset;
    const offset_s = (this.number + (peaked ? this.between(at) : 0)) * FRAME_S;
    return [off(Math.max(offset_s, note.onset_s + SHORTEST_NOTE_S), key)];
  }

  /** Position of a peak between the frames, -0.5 to 0.5, as the top of a triangle. @param {number} at */
  between(at) {
    const [left, top, right] = [this.left[at], this.here[at], this.right[at]];
    const slope = top - Math.min(left, right);
    return slope > 0 ? Math.max(-0.5, Math.min(0.5, (right - left) / (2 * slope))) : 0;
  }
}

/** @param {number} time_s @param {number} key @returns {KeyEvent} */
const off = (time_s, key) => ({ type: "off", time_s, pitch: key + LOWEST_PITCH });

/**
 * Limits a note off to the time of the key's next note on in the same frame: a later one would end the new note.
 * @param {KeyEvent} stroke
 * @param {KeyEvent} event
 */
function endedBy(stroke, event) {
  if (event.type !== "off" || event.pitch !== stroke.pitch) return event;
  return { ...event, time_s: Math.min(event.time_s, stroke.time_s) };
}

/**
 * Adds the pedal's change to a frame's events. Pedal down comes before the note offs, since these notes ring on.
 * @param {KeyEvent[]} events
 * @param {import("../notes.js").PedalEvent} turn
 * @returns {NoteEvent[]}
 */
function withPedal(events, turn) {
  if (!turn.down) return [...events, turn];
  const ends = events.filter((event) => event.type === "off").map((event) => event.time_s);
  return [{ ...turn, time_s: Math.min(turn.time_s, ...ends) }, ...events];
}
