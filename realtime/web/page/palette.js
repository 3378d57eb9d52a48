// @ts-check
/** The colours of the roll, from the style sheet; louder notes are brighter and warmer. */

/**
 * @typedef {{roll: string, lane: string, grid: string, octave: string, quiet: string, pedal: string, now: string,
 *   whiteKey: string, blackKey: string, keyEdge: string, notes: string[]}} Palette `notes` by velocity
 */

/** @returns {Palette} */
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const colour = (name) => style.getPropertyValue(name).trim();
  const stops = ["--soft", "--medium", "--strong", "--loud"].map((name) => rgb(colour(name)));
  return {
    roll: colour("--roll"), lane: colour("--lane"), grid: colour("--grid"), octave: colour("--octave"),
    quiet: colour("--quiet"), pedal: colour("--pedal"), now: colour("--now"), whiteKey: colour("--white-key"),
    blackKey: colour("--black-key"), keyEdge: colour("--key-edge"),
    notes: Array.from({ length: 128 }, (_, velocity) => between(stops, loudness(velocity))),
  };
}

/** Maps the usual velocities, 35 to 100, to the whole range 0 to 1. @param {number} velocity */
export const loudness = (velocity) => Math.min(1, Math.max(0, (velocity - 35) / 65));

/** @param {string} hex as #rrggbb */
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** @param {number[][]} stops @param {number} share */
function between(stops, share) {
  const place = share * (stops.length - 1);
  const from = Math.min(stops.length - 2, Math.floor(place));
  const [low, high] = [stops[from], stops[from + 1]];
  return `rgb(${low.map((value, i) => Math.round(value + (place - from) * (high[i] - value))).join(" ")})`;
}
