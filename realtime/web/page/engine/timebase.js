// @ts-check
/** The one time base, as in model/timebase.py: every rate and duration follows from the numbers here. */

export const SAMPLE_RATE = 16_000; // Hz
export const HOP = 320; // samples from one frame's centre to the next
export const FRAME_S = HOP / SAMPLE_RATE;
export const LOWEST_PITCH = 21; // MIDI number of key 0
export const KEYS = 88;
export const BINS_PER_KEY = 4;
export const BINS = KEYS * BINS_PER_KEY;
export const BINS_PER_OCTAVE = 12 * BINS_PER_KEY;

/** Rounds to the nearest integer, halves to the even one, as Python does. @param {number} value */
export function roundEven(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}
