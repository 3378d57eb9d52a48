// @ts-check
/**
 * Maps stream time to the page's clock, as realtime/timeline.py does. A block may arrive late, but never early: the
 * least delay of the last seconds is taken as the true one and followed slowly.
 */

const SLEW = 0.002; // seconds per second
const SETTLE_S = 1;
const BUCKET_S = 5;
const JUMP_S = 0.25; // more than any drift: the clock itself has jumped

export class Timeline {
  constructor() {
    /** The clock's time at stream time 0. */
    this.anchor_s = 0;
    this.anchored = false;
    this.first_s = this.bucket_s = this.last_s = 0;
    this.before = this.least = Infinity;
  }

  /** The next block sets the anchor anew: another device has another delay. */
  restart() {
    this.anchored = false;
  }

  /**
   * @param {number} end_s stream time of the end of a block that just arrived
   * @param {number} arrived_s
   */
  observe(end_s, arrived_s) {
    const delay = arrived_s - end_s;
    if (!this.anchored) {
      this.anchored = true;
      this.before = Infinity;
      this.anchor_s = this.least = delay;
      this.first_s = this.bucket_s = this.last_s = end_s;
      return;
    }
    if (end_s - this.bucket_s >= BUCKET_S) {
      this.before = this.least;
      this.least = delay;
      this.bucket_s = end_s;
    }
    this.least = Math.min(this.least, delay);
    this.follow(Math.min(this.least, this.before), end_s);
  }

  /** @param {number} target_s @param {number} end_s */
  follow(target_s, end_s) {
    let step = target_s - this.anchor_s;
    if (end_s - this.first_s > SETTLE_S && Math.abs(step) < JUMP_S) {
      const most = SLEW * (end_s - this.last_s);
      step = Math.max(-most, Math.min(most, step));
    }
    this.anchor_s += step;
    this.last_s = end_s;
  }

  /** Stream time at a time of the page; 0 before the first block. @param {number} now_ms */
  streamAt(now_ms) {
    return this.anchored ? now_ms / 1000 - this.anchor_s : 0;
  }

  /** The page's time in ms of a stream time. @param {number} time_s */
  pageAt(time_s) {
    return 1000 * (time_s + this.anchor_s);
  }
}
