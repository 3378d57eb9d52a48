// @ts-check
/**
 * Mixes several channels to one as the sound comes; model/downmix.py explains the rule. Channels with inverted
 * polarity are inverted, silent and noisy ones are left out, and the others have equal weights.
 */

const CELL_S = 0.0025;
const LATER_CELL_S = 0.02;
const MEMORY_S = 10;
const LEVEL_FALL_S = 30;
const QUIET = 0.01;
const FLOOR_RISE_S = 2;
const SMALLEST = 1e-12;
const SILENT = 1e-4;
const AUDIBLE = 1e-3;
const NOISIER = 100;
const WORSE = 10;
const AS_GOOD = 3;
const SIGNAL = 10;
const HISS = 0.5;
const NOISE_COUNTS = 0.001;
const OPPOSED_AT_FIRST = [-0.9, -0.5];
const OPPOSED = [-0.5, 0];
const SURE_AFTER_S = 2;
const LOUDER = 4;

/** @param {number} count @returns {number[]} */
const zeros = (count) => new Array(count).fill(0);

export class Downmix {
  /** @param {number} channels @param {number} sampleRate */
  constructor(channels, sampleRate) {
    this.channels = channels;
    this.rate = sampleRate;
    this.ramp = Math.floor(Math.round(CELL_S * sampleRate) / 2);
    this.signs = zeros(channels).fill(1);
    this.silent = zeros(channels).fill(0);
    this.noisy = zeros(channels).fill(0);
    this.reference = 0;
    this.products = zeros(channels).map(() => zeros(channels));
    this.neighbours = zeros(channels);
    /** @type {number[]} */
    this.floors = [];
    this.usual = 0;
    this.decided_s = 0;
    this.weights = zeros(channels).fill(1 / channels);
    /** Weights of the previous cell, or null if they are the same. @type {number[] | null} */
    this.before = null;
    this.cell_s = CELL_S;
    this.cell = Math.round(CELL_S * sampleRate);
    // The current cell so far: samples, products of channels, products of neighbouring samples, last samples.
    this.filled = 0;
    this.sums = zeros(channels).map(() => zeros(channels));
    this.lagged = zeros(channels);
    this.last = zeros(channels);
  }

  /** @param {number} seconds */
  setCell(seconds) {
    this.cell_s = seconds;
    this.cell = Math.round(seconds * this.rate);
    this.clear();
  }

  /** Starts a new cell. */
  clear() {
    this.filled = 0;
    this.sums = zeros(this.channels).map(() => zeros(this.channels));
    this.lagged = zeros(this.channels);
    this.last = zeros(this.channels);
  }

  /**
   * Mixes the next samples, equally many from each channel, to one channel.
   * @param {Float32Array[]} channels
   */
  feed(channels) {
    const count = channels[0].length;
    if (this.channels === 1) return channels[0].slice();
    const out = new Float32Array(count);
    for (let n = 0; n < count; n++) {
      out[n] = this.mixed(channels, n);
      this.measure(channels, n);
      if (++this.filled === this.cell) this.finish();
    }
    return out;
  }

  /** @param {Float32Array[]} channels @param {number} n */
  mixed(channels, n) {
    const now = weighted(channels, n, this.weights);
    if (!this.before || this.filled >= this.ramp) return now;
    const then = weighted(channels, n, this.before);
    return then + ((this.filled + 1) / this.ramp) * (now - then);
  }

  /** @param {Float32Array[]} channels @param {number} n */
  measure(channels, n) {
    for (let i = 0; i < this.channels; i++) {
      const sample = channels[i][n];
      for (let j = 0; j <= i; j++) this.sums[i][j] += sample * channels[j][n];
      if (this.filled) this.lagged[i] += sample * this.last[i];
      this.last[i] = sample;
    }
  }

  finish() {
    const product = this.sums.map((row, i) => row.map((_, j) => this.sums[Math.max(i, j)][Math.min(i, j)] / this.cell));
    const neighbours = this.lagged.map((sum) => sum / (this.cell - 1));
    const weights = this.learn(product, neighbours);
    this.before = weights.some((weight, i) => weight !== this.weights[i]) ? this.weights : null;
    this.weights = weights;
    if (this.cell_s !== LATER_CELL_S && this.decided_s >= SURE_AFTER_S) this.setCell(LATER_CELL_S);
    else this.clear();
  }

  /** @param {number[][]} product @param {number[]} neighbours */
  learn(product, neighbours) {
    if (!product.flat().every(Number.isFinite)) return this.weights;
    const powers = product.map((row, i) => Math.max(SMALLEST, row[i]));
    if (!this.floors.length) this.floors = powers;
    const rise = Math.exp(this.cell_s / FLOOR_RISE_S);
    this.floors = this.floors.map((floor, i) => Math.min(powers[i], floor * rise));
    const loudest = Math.max(...powers);
    this.usual = Math.max(loudest, this.usual * Math.exp(-this.cell_s / LEVEL_FALL_S));
    if (loudest < QUIET * this.usual || loudest <= SMALLEST) return this.weights;
    const signal = powers.some((power, i) => power > SIGNAL * this.floors[i]);
    const counted_s = this.cell_s * (signal ? 1 : NOISE_COUNTS);
    this.decided_s += counted_s;
    const share = counted_s / Math.min(this.decided_s, MEMORY_S);
    for (let i = 0; i < this.channels; i++) {
      for (let j = 0; j < this.channels; j++) this.products[i][j] += share * (product[i][j] - this.products[i][j]);
      this.neighbours[i] += share * (neighbours[i] - this.neighbours[i]);
    }
    return this.decide();
  }

  decide() {
    const powers = this.products.map((row, i) => Math.max(SMALLEST, row[i]));
    this.findNoisy(powers);
    const clean = powers.map((power, i) => (this.noisy[i] ? 0 : power));
    const loudest = Math.max(...clean);
    this.silent = clean.map((power, i) => Number(power < (this.silent[i] ? AUDIBLE : SILENT) * loudest));
    const used = clean.map((_, i) => !this.noisy[i] && !this.silent[i]);
    if (!used[this.reference] || loudest > LOUDER * clean[this.reference]) this.reference = clean.indexOf(loudest);
    this.findOpposed(powers);
    const share = 1 / used.filter(Boolean).length;
    return used.map((use, i) => (use ? share * this.signs[i] : 0));
  }

  /** @param {number[]} powers */
  findNoisy(powers) {
    const { floors } = this;
    const ratios = powers.map((power, i) => power / floors[i]);
    for (let i = 0; i < this.channels; i++) {
      const was = this.noisy[i];
      const onlyHiss = ratios[i] < SIGNAL && this.neighbours[i] < HISS * powers[i];
      const better = (was ? AS_GOOD : WORSE) * ratios[i];
      this.noisy[i] = Number(
        floors.some(
          (floor, j) =>
            floor < floors[i] &&
            (was || floors[i] > NOISIER * floor) &&
            (onlyHiss || (powers[j] > SILENT * powers[i] && ratios[j] > better)),
        ),
      );
    }
  }

  /** @param {number[]} powers */
  findOpposed(powers) {
    const [below, above] = this.decided_s >= SURE_AFTER_S ? OPPOSED : OPPOSED_AT_FIRST;
    for (let i = 0; i < this.channels; i++) {
      const product = this.products[this.reference][i] * this.signs[this.reference];
      const alike = product / Math.sqrt(powers[i] * powers[this.reference]);
      if (alike < below) this.signs[i] = -1;
      else if (alike > above) this.signs[i] = 1;
    }
  }
}

/** @param {Float32Array[]} channels @param {number} n @param {number[]} weights */
function weighted(channels, n, weights) {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i]) sum += weights[i] * channels[i][n];
  return sum;
}
