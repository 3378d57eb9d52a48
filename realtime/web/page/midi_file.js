// @ts-check
/** Writes a Standard MIDI File: one piano track, one tick per millisecond, the pedal as controller 64. */

const TICKS_A_QUARTER = 480;
const TEMPO_US = 480000;
const TICKS_A_SECOND = 1000;
const TRACK_NAME = "Piano, written by hppnet";

/**
 * @param {import("./notes.js").Note[]} notes with their ends
 * @param {import("./notes.js").Press[]} presses of the pedal, with their ends, sorted
 * @returns {Uint8Array}
 */
export function midiFile(notes, presses) {
  /** @type {{tick: number, rank: number, bytes: number[]}[]} */
  const messages = [];
  for (const note of notes) {
    const from = Math.round(note.onset_s * TICKS_A_SECOND);
    const to = Math.max(from + 1, Math.round((note.offset_s ?? note.onset_s) * TICKS_A_SECOND));
    messages.push({ tick: from, rank: 2, bytes: [0x90, note.pitch, note.velocity] });
    messages.push({ tick: to, rank: 1, bytes: [0x80, note.pitch, 64] });
  }
  let free = 0;
  for (const press of presses) {
    const from = Math.max(free, Math.round(press.down_s * TICKS_A_SECOND));
    const to = Math.max(from + 1, Math.round((press.up_s ?? press.down_s) * TICKS_A_SECOND));
    free = to + 1; // on one tick, the sort would put the next press before this release
    messages.push({ tick: from, rank: 0, bytes: [0xb0, 64, 127] });
    messages.push({ tick: to, rank: 3, bytes: [0xb0, 64, 0] });
  }
  // On one tick, the pedal goes down before note offs, and a note off comes before the key's next note on.
  messages.sort((a, b) => a.tick - b.tick || a.rank - b.rank);
  const name = [...new TextEncoder().encode(TRACK_NAME)];
  const track = [0, 0xff, 0x51, 3, ...bigEndian(TEMPO_US, 3), 0, 0xff, 3, name.length, ...name, 0, 0xc0, 0];
  let last = 0;
  for (const { tick, bytes } of messages) {
    for (const byte of variable(tick - last)) track.push(byte);
    for (const byte of bytes) track.push(byte);
    last = tick;
  }
  track.push(0, 0xff, 0x2f, 0);
  const header = [...ascii("MThd"), ...bigEndian(6, 4), 0, 0, 0, 1, ...bigEndian(TICKS_A_QUARTER, 2)];
  const file = new Uint8Array(header.length + 8 + track.length);
  file.set([...header, ...ascii("MTrk"), ...bigEndian(track.length, 4)]);
  file.set(track, header.length + 8);
  return file;
}

/** @param {string} text */
const ascii = (text) => [...text].map((letter) => letter.charCodeAt(0));

/** @param {number} value @param {number} bytes */
const bigEndian = (value, bytes) => Array.from({ length: bytes }, (_, i) => (value >>> (8 * (bytes - 1 - i))) & 0xff);

/** A variable-length number of a MIDI file: seven bits per byte, the highest first. @param {number} value */
function variable(value) {
  const out = [value & 0x7f];
  for (let rest = value >>> 7; rest; rest >>>= 7) out.unshift(0x80 | (rest & 0x7f));
  return out;
}
