// @ts-check
/** When a moment of the sound was at the microphone, by the page's clock, from when its blocks came. */

/** Blocks come early never and late often: the earliest of this many tells. */
const KEPT = 1000;

export class StreamClock {
  constructor() {
    /** @type {number[]} */
    this.offsets = [];
    this.next = 0;
    this.offset_s = Infinity;
  }

  /**
   * @param {number} end_s stream time of the end of a block that just came
   * @param {number} now_ms
   */
  observe(end_s, now_ms) {
    const offset_s = now_ms / 1000 - end_s;
    this.offsets[this.next] = offset_s;
    this.next = (this.next + 1) % KEPT;
    // Looking at all of them once a round lets the clock follow a device that runs fast or slow.
    if (this.next === 0) this.offset_s = Math.min(...this.offsets);
    else this.offset_s = Math.min(this.offset_s, offset_s);
  }

  /** Stream time at the page's time; 0 before the first block. @param {number} now_ms */
  streamAt(now_ms) {
    return this.offset_s === Infinity ? 0 : now_ms / 1000 - this.offset_s;
  }

  /** The page's time in ms of a stream time. @param {number} time_s */
  pageAt(time_s) {
    return 1000 * (time_s + this.offset_s);
  }
}

/** @param {number[]} values */
export function median(values) {
  if (!values.length) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
