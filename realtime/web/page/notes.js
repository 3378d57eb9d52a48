// @ts-check
/** The notes and pedal presses of a take, from the engine's events. */

/**
 * @typedef {{pitch: number, velocity: number, onset_s: number, offset_s: number | null, seen: boolean}} Note
 * @typedef {{down_s: number, up_s: number | null}} Press
 * @typedef {{type: "on" | "off", time_s: number, pitch: number, velocity?: number}} KeyEvent
 * @typedef {{type: "pedal", time_s: number, down: boolean}} PedalEvent
 * @typedef {KeyEvent | PedalEvent} NoteEvent
 */

export const LOWEST = 21;
export const HIGHEST = 108;
/** In seconds. No note is longer, so `between` skips notes that begin earlier. */
const LONGEST_S = 100;

export class Notes {
  constructor() {
    /** In the order they arrived, so nearly sorted by onset. @type {Note[]} */
    this.all = [];
    /** @type {Map<number, Note>} */
    this.sounding = new Map();
    /** Presses of the sustain pedal, sorted; the last one may still be down. @type {Press[]} */
    this.presses = [];
  }

  /** @param {NoteEvent} event */
  add(event) {
    if (event.type === "pedal") return this.press(event);
    const before = this.sounding.get(event.pitch);
    if (before) {
      before.offset_s = Math.max(before.onset_s, event.time_s);
      this.sounding.delete(event.pitch);
    }
    if (event.type === "on") {
      const note = {
        pitch: event.pitch, velocity: event.velocity ?? 64, onset_s: event.time_s, offset_s: null, seen: false,
      };
      this.all.push(note);
      this.sounding.set(event.pitch, note);
    }
  }

  /** @param {PedalEvent} event */
  press(event) {
    const last = this.presses[this.presses.length - 1];
    if (event.down && !this.pedalDown) this.presses.push({ down_s: event.time_s, up_s: null });
    else if (!event.down && this.pedalDown) last.up_s = Math.max(last.down_s, event.time_s);
  }

  get pedalDown() {
    return this.presses.length > 0 && this.presses[this.presses.length - 1].up_s === null;
  }

  /** Ends all sounding notes and releases the pedal. @param {number} time_s */
  endAll(time_s) {
    for (const pitch of [...this.sounding.keys()]) this.add({ type: "off", pitch, time_s });
    this.add({ type: "pedal", down: false, time_s });
  }

  /**
   * Takes over stored notes and presses. Those that had not ended yet end now.
   * @param {Note[]} all
   * @param {Press[]} presses
   * @param {number} end_s
   */
  restore(all, presses, end_s) {
    this.all = all;
    this.presses = presses;
    for (const note of all) note.offset_s ??= Math.max(note.onset_s, end_s);
    this.endAll(end_s);
  }

  /** Notes that have ended, sorted by onset. */
  finished() {
    return this.all.filter((note) => note.offset_s !== null).sort((a, b) => a.onset_s - b.onset_s);
  }

  /**
   * Notes that overlap the span between two times; notes without an end still sound.
   * @param {number} from_s
   * @param {number} to_s
   */
  between(from_s, to_s) {
    /** @type {Note[]} */
    const found = [];
    for (let i = this.all.length - 1; i >= 0; i--) {
      const note = this.all[i];
      if (note.onset_s < from_s - LONGEST_S) break;
      if (note.onset_s < to_s && (note.offset_s ?? Infinity) > from_s) found.push(note);
    }
    return found;
  }

  /**
   * Pedal presses that overlap the span between two times.
   * @param {number} from_s
   * @param {number} to_s
   */
  pressesBetween(from_s, to_s) {
    /** @type {Press[]} */
    const found = [];
    for (let i = this.presses.length - 1; i >= 0; i--) {
      const press = this.presses[i];
      if ((press.up_s ?? Infinity) <= from_s) break;
      if (press.down_s < to_s) found.push(press);
    }
    return found;
  }
}
