// @ts-check
/** The example on an empty roll: the beginning of Bach's prelude in C major (BWV 846). */

import { Notes } from "./notes.js";

const BARS = [
  [60, 64, 67, 72, 76],
  [60, 62, 69, 74, 77],
  [59, 62, 67, 74, 77],
  [60, 64, 67, 72, 76],
];
const STEP_S = 0.24;
const ORDER = [0, 1, 2, 3, 4, 2, 3, 4];

/** Returns the notes and their total duration in seconds. */
export function example() {
  const notes = new Notes();
  let time_s = 0;
  for (const bar of BARS) {
    const began_s = time_s;
    for (let i = 0; i < 16; i++) {
      const which = ORDER[i % 8];
      const held = which < 2 ? 6 : 1;
      const velocity = 48 + 8 * which + 14 * Math.sin(time_s);
      notes.all.push({
        pitch: bar[which], velocity: Math.round(velocity), onset_s: time_s, offset_s: time_s + held * STEP_S, seen: true,
      });
      time_s += STEP_S;
    }
    notes.presses.push({ down_s: began_s + 0.1, up_s: time_s - 0.05 });
  }
  return { notes, duration_s: time_s };
}
