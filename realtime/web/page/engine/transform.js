// @ts-check
/**
 * Computes the front end's matrix, as model/engine/transform.py does. It is not downloaded, since it is twice as
 * large as the network and hardly compresses; graph.js puts it into the graphs.
 */

import { BINS_PER_OCTAVE, SAMPLE_RATE } from "./timebase.js";

const ALPHA = 2 ** (1 / BINS_PER_OCTAVE) - 2 ** (-1 / BINS_PER_OCTAVE);

/**
 * @typedef {{gamma_hz: number, window_factor: number, longest: number, look_ahead: number, tuning_cents: number}}
 *   FrontEnd settings of a checkpoint
 * @typedef {{first: number, last: number, every: number, start: number, rows: number}} Group
 *   bins `first` to `last` (exclusive); one of `every` samples is taken, and of these `rows` from `start` on are used
 */

/** Centre frequency of a bin in Hz. @param {number} bin @param {number} cents */
export const frequencyHz = (bin, cents) => 27.5 * 2 ** ((bin - 1.5) / BINS_PER_OCTAVE + cents / 1200);

/**
 * Returns the matrix [rows, 2 * bins] of a group of bins, row by row: cosines, then negative sines.
 * @param {FrontEnd} config
 * @param {Group} group
 */
export function groupMatrix(config, group) {
  const bins = group.last - group.first;
  const matrix = new Float32Array(group.rows * 2 * bins);
  for (let bin = group.first; bin < group.last; bin++) {
    putBin(config, bin, (row, cosine, sine) => {
      if (row % group.every) return;
      const at = (row / group.every - group.start) * 2 * bins + bin - group.first;
      matrix[at] = group.every * cosine;
      matrix[at + bins] = group.every * sine;
    });
  }
  return matrix;
}

/**
 * Computes one bin's column: an asymmetric window, with its peak at the frame's centre, times a complex exponential.
 * @param {FrontEnd} config
 * @param {number} bin
 * @param {(row: number, cosine: number, sine: number) => void} put
 */
function putBin(config, bin, put) {
  const hz = frequencyHz(bin, config.tuning_cents);
  const bandwidth = ALPHA * hz + config.gamma_hz;
  const length = Math.min((config.window_factor * SAMPLE_RATE) / bandwidth, config.longest);
  const fall = Math.min(length / 2, config.look_ahead);
  const rise = length - fall;
  const first = -Math.floor(rise);
  const weights = Float64Array.from({ length: Math.ceil(fall) - first }, (_, i) => {
    const position = first + i;
    return Math.cos((Math.PI / 2) * Math.max(-1, Math.min(1, position / (position < 0 ? rise : fall)))) ** 2;
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const before = config.longest - config.look_ahead;
  weights.forEach((weight, i) => {
    const angle = (2 * Math.PI * hz * (first + i)) / SAMPLE_RATE;
    const scale = (2 * weight) / sum; // factor 2: a full-scale sine reads 0 dB
    put(before + first + i, scale * Math.cos(angle), -scale * Math.sin(angle));
  });
}
