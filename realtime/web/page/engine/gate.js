// @ts-check
/** The silence gate: pauses the network during silence, as realtime/live_decoder.py does. */

const THRESHOLD = 10 ** (-66 / 20);
const AFTER_S = 5;
const PRE_ROLL_S = 0.3;
const NOTHING = new Float32Array(0);

export class Gate {
  /** @param {number} rate Hz */
  constructor(rate) {
    this.rate = rate;
    this.quiet_s = 0;
    this.asleep = false;
    /** @type {Float32Array} */
    this.recent = NOTHING;
  }

  /** After a gap: opens the gate and drops the earlier sound, which is no pre-roll. */
  restart() {
    this.quiet_s = 0;
    this.asleep = false;
    this.recent = NOTHING;
  }

  /** Returns samples for the network: none while asleep, on waking the pre-roll too. @param {Float32Array} samples */
  pass(samples) {
    this.quiet_s = isLoud(samples) ? 0 : this.quiet_s + samples.length / this.rate;
    const slept = this.asleep;
    this.asleep = this.quiet_s >= AFTER_S;
    const before = this.recent;
    const whole = new Float32Array(before.length + samples.length);
    whole.set(before);
    whole.set(samples, before.length);
    this.recent = whole.slice(-Math.round(PRE_ROLL_S * this.rate));
    if (!slept) return samples;
    return this.asleep ? NOTHING : whole;
  }
}

/** Compares half the range, not the largest value: a constant offset is no sound. @param {Float32Array} samples */
function isLoud(samples) {
  let [low, high] = [Infinity, -Infinity];
  for (const sample of samples) {
    low = Math.min(low, sample);
    high = Math.max(high, sample);
  }
  return (high - low) / 2 >= THRESHOLD;
}
