// @ts-check
/** Measures the duration of steps: median and 99th percentile of the last 200 (4 s of sound). */

const KEPT = 200;

export class Meter {
  constructor() {
    /** @type {number[]} */
    this.kept = [];
    this.next = 0;
  }

  /** @param {number} ms */
  note(ms) {
    this.kept[this.next] = ms;
    this.next = (this.next + 1) % KEPT;
  }

  figures() {
    const sorted = [...this.kept].sort((a, b) => a - b);
    /** @param {number} share */
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return { step_ms: at(0.5), step_p99_ms: at(0.99) };
  }
}
