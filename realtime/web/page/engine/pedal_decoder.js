// @ts-check
/** Decodes the sustain pedal's probability to pedal changes, as PedalDecoder in model/decoder.py does. */

import { FRAME_S } from "./timebase.js";

const HYSTERESIS = 0.1;
const SHORTEST_FRAMES = 3;

/** @typedef {import("../notes.js").PedalEvent} PedalEvent */

export class PedalDecoder {
  /** @param {number} threshold */
  constructor(threshold) {
    this.above = threshold;
    this.below = Math.max(0, threshold - HYSTERESIS);
    this.before = this.here = 0;
    this.number = -1; // index of the frame to decode next, the last frame fed
    this.changed = -SHORTEST_FRAMES;
    this.down = false;
  }

  /**
   * Receives the next frame's probability; returns the change in the frame before it, or null.
   * @param {number} after
   * @returns {PedalEvent | null}
   */
  feed(after) {
    const { before, here } = this;
    this.before = here;
    this.here = after;
    const number = this.number++;
    const level = this.down ? this.below : this.above;
    const turns = this.down ? Math.max(here, after) < level : Math.min(here, after) >= level;
    if (!turns || number - this.changed < SHORTEST_FRAMES) return null;
    this.down = !this.down;
    this.changed = number;
    const share = here !== before ? (here - level) / (here - before) : 0;
    const time_s = Math.max(0, (number - Math.min(0.5, Math.max(0, share))) * FRAME_S);
    return { type: "pedal", time_s, down: this.down };
  }

  /** Decodes the last frame as if its probability continued. @returns {PedalEvent | null} */
  feedLast() {
    return this.feed(this.here);
  }

  /** Releases the pedal at the end; returns null if it is up. @returns {PedalEvent | null} */
  flush() {
    if (!this.down) return null;
    this.down = false;
    return { type: "pedal", time_s: Math.max(0, this.number) * FRAME_S, down: false };
  }
}
