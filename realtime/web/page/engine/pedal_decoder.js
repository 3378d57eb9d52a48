// @ts-check
/** From the probability that the sustain pedal is down to its changes: the rule of model/pedal_decoder.py. */

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
    this.number = -1; // of the frame to decode next: the last one fed
    this.changed = -SHORTEST_FRAMES;
    this.down = false;
  }

  /** A change in the frame before this one, if any. @param {number} after @returns {PedalEvent | null} */
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

  /** At the end: the last frame counts as if it went on. @returns {PedalEvent | null} */
  feedLast() {
    return this.feed(this.here);
  }

  /** Lets the pedal up at the end. @returns {PedalEvent | null} */
  flush() {
    if (!this.down) return null;
    this.down = false;
    return { type: "pedal", time_s: Math.max(0, this.number) * FRAME_S, down: false };
  }
}
