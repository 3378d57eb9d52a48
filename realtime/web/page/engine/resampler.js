// @ts-check
/**
 * Resamples incoming sound of any rate to 16 kHz, as model/frames.py does: a short low-pass, then cubic
 * interpolation, almost without delay. Rates below 32 kHz leave no room for the low-pass and use a longer sinc.
 */

import { roundEven, SAMPLE_RATE } from "./timebase.js";

const SHORT_FROM_HZ = 32_000;
const CUTOFF_HZ = 7_900;
const HALF_LENGTH_S = 0.0006;
const KAISER = 8;
/** The sinc for low rates: samples to each side, and the share of the band that it passes. */
const LONG_HALF = 48;
const LONG_BAND = 0.94;

export class Resampler {
  /** @param {number} rate Hz */
  constructor(rate) {
    this.rate = rate;
    this.step = rate / SAMPLE_RATE;
    this.short = rate >= SHORT_FROM_HZ;
    this.taps = this.short ? lowPass(rate) : null;
    this.half = this.taps ? this.taps.length >> 1 : 0;
    /** Input samples that an output sample needs before and after its position. */
    this.before = this.short ? 1 : LONG_HALF;
    this.after = this.short ? 2 : LONG_HALF;
    this.came = this.went = 0;
    /** @type {Float32Array} */
    this.tail = new Float32Array(this.half); // so the first output sample lies at the first input sample
    /** @type {Float32Array} */
    this.kept = new Float32Array(this.before);
    this.keptFrom = -this.before; // index of the first sample kept
  }

  /** Delay from input to output, in seconds. */
  get delay_s() {
    if (this.rate === SAMPLE_RATE) return 0;
    return (this.half + this.after) / this.rate;
  }

  /** Resamples a block; returns samples at 16 kHz. @param {Float32Array} samples */
  feed(samples) {
    if (this.rate === SAMPLE_RATE || !samples.length) return samples;
    this.came += samples.length;
    return this.interpolate(this.taps ? this.filter(samples, this.taps) : samples, Infinity);
  }

  /** Returns the rest: in total, the output has the duration of the input. */
  flush() {
    if (this.rate === SAMPLE_RATE) return new Float32Array(0);
    const rest = new Float32Array(this.half);
    const filtered = this.taps ? this.filter(rest, this.taps) : rest;
    const wanted = roundEven((this.came * SAMPLE_RATE) / this.rate) - this.went;
    const padded = joined(filtered, new Float32Array(this.after + Math.ceil(this.step) + 1));
    const out = new Float32Array(Math.max(0, wanted));
    out.set(this.interpolate(padded, out.length).subarray(0, out.length));
    return out;
  }

  /** @param {Float32Array} samples @param {Float64Array} taps */
  filter(samples, taps) {
    const all = joined(this.tail, samples);
    const count = Math.max(0, all.length - taps.length + 1);
    const out = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (let j = 0; j < taps.length; j++) sum += taps[j] * all[i + j]; // symmetric, so not reversed
      out[i] = sum;
    }
    this.tail = all.slice(Math.max(0, all.length - taps.length + 1));
    return out;
  }

  /** @param {Float32Array} samples @param {number} most */
  interpolate(samples, most) {
    const all = joined(this.kept, samples);
    const end = this.keptFrom + all.length;
    /** @type {number[]} */
    const out = [];
    let place = this.went * this.step;
    while (Math.floor(place) + this.after < end && out.length < most) {
      const at = Math.floor(place) - this.keptFrom;
      const share = place - Math.floor(place);
      out.push(this.short ? cubic(all, at, share) : sinc(all, at, share, Math.min(1, SAMPLE_RATE / this.rate)));
      this.went += 1;
      place = this.went * this.step;
    }
    const keepFrom = Math.max(this.keptFrom, Math.min(end, Math.floor(place) - this.before));
    this.kept = all.slice(keepFrom - this.keptFrom);
    this.keptFrom = keepFrom;
    return Float32Array.from(out);
  }
}

/** @param {Float32Array} s @param {number} at @param {number} x */
function cubic(s, at, x) {
  const here = s[at];
  const b = 0.5 * (s[at + 1] + s[at - 1]) - here;
  const a = (s[at + 2] - s[at + 1] + s[at - 1] - here - 4 * b) / 6;
  const c = s[at + 1] - here - a - b;
  return ((a * x + b) * x + c) * x + here;
}

/** @param {Float32Array} s @param {number} at @param {number} x @param {number} band */
function sinc(s, at, x, band) {
  const cutoff = LONG_BAND * band;
  let sum = 0;
  for (let i = -LONG_HALF + 1; i <= LONG_HALF; i++) {
    const t = i - x;
    const angle = Math.PI * cutoff * t;
    const window = bessel(KAISER * Math.sqrt(Math.max(0, 1 - (t / LONG_HALF) ** 2))) / bessel(KAISER);
    sum += s[at + i] * window * cutoff * (Math.abs(angle) < 1e-9 ? 1 : Math.sin(angle) / angle);
  }
  return sum;
}

/** Taps of a Kaiser-windowed sinc: odd in number, unit gain at 0 Hz. @param {number} rate */
function lowPass(rate) {
  const half = roundEven(rate * HALF_LENGTH_S);
  const taps = Float64Array.from({ length: 2 * half + 1 }, (_, i) => {
    const n = i - half;
    const angle = ((2 * Math.PI * CUTOFF_HZ) / rate) * n;
    const window = bessel(KAISER * Math.sqrt(1 - (n / half) ** 2)) / bessel(KAISER);
    return window * (n ? Math.sin(angle) / angle : 1);
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => Math.fround(tap / sum));
}

/** The modified Bessel function of order 0. @param {number} x */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** @param {Float32Array} a @param {Float32Array} b */
function joined(a, b) {
  const out = new Float32Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
