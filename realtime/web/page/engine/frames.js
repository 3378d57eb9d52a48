// @ts-check
/** Cuts incoming sound of any rate into the samples of each frame, as model/frames.py does. */

import { Resampler } from "./resampler.js";
import { HOP, SAMPLE_RATE } from "./timebase.js";

export class Frames {
  /** @param {import("./transform.js").FrontEnd} config @param {number} rate Hz */
  constructor(config, rate) {
    this.before = config.longest - config.look_ahead;
    this.after = config.look_ahead;
    this.resampler = new Resampler(rate);
    /** @type {Float32Array} */
    this.buffer = new Float32Array(2 * (this.before + this.after));
    this.start = 0;
    this.end = this.before; // silence lies before the sound
    this.samples = 0; // received so far, at 16 kHz
  }

  /** Seconds from a frame's centre until all its samples are available. */
  get latency_s() {
    return this.after / SAMPLE_RATE + this.resampler.delay_s;
  }

  /** @param {Float32Array} block */
  keep(block) {
    const samples = this.resampler.feed(block);
    this.samples += samples.length;
    this.put(samples);
  }

  /** Returns the samples of the next frame, or null while some are missing. */
  next() {
    const span = this.before + this.after;
    if (this.end - this.start < span) return null;
    const samples = this.buffer.slice(this.start, this.start + span);
    this.start += HOP;
    return samples;
  }

  /** Ends the sound: adds the rest and the silence that the last frames and `extra` more need. @param {number} extra */
  finish(extra) {
    const rest = this.resampler.flush();
    this.samples += rest.length;
    this.put(rest);
    if (this.total) {
      const last = (this.total + extra - 1) * HOP + this.after;
      this.put(new Float32Array(Math.max(0, last - this.samples)));
    }
  }

  /** Number of frames whose centre lies in the sound so far. */
  get total() {
    return Math.ceil(this.samples / HOP);
  }

  /** @param {Float32Array} samples */
  put(samples) {
    if (this.end + samples.length > this.buffer.length) {
      const kept = this.buffer.subarray(this.start, this.end);
      const buffer = new Float32Array(2 * Math.max(kept.length + samples.length, this.before + this.after));
      buffer.set(kept);
      this.buffer = buffer;
      this.end -= this.start;
      this.start = 0;
    }
    this.buffer.set(samples, this.end);
    this.end += samples.length;
  }
}
