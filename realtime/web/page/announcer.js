// @ts-check
/** Announces notes to screen readers: the last ones on request, or new ones as they come. Nobody sees the words. */

import { text } from "./text.js";

const MOST = 8;
const EVERY_MS = 2500;

export class Announcer {
  /** @param {HTMLElement} region a live region @param {HTMLInputElement} always */
  constructor(region, always) {
    this.region = region;
    this.always = always;
    /** @type {number[]} */
    this.recent = [];
    this.fresh = 0;
    setInterval(() => this.tell(), EVERY_MS);
  }

  /** @param {number} pitch */
  note(pitch) {
    this.recent.push(pitch);
    if (this.recent.length > MOST) this.recent.shift();
    this.fresh = Math.min(MOST, this.fresh + 1);
  }

  tell() {
    if (this.always.checked && this.fresh) this.say(this.recent.slice(-this.fresh));
    this.fresh = 0;
  }

  sayLast() {
    this.say(this.recent);
  }

  /** @param {number[]} pitches */
  say(pitches) {
    const words = pitches.length ? pitches.map(spoken).join(", ") : text("no notes yet");
    // Screen readers skip unchanged text: a trailing no-break space makes repeated words new.
    this.region.textContent = this.region.textContent === words ? `${words}\u00a0` : words;
  }
}

/** The spoken name of a pitch; C 4 is middle C. @param {number} pitch */
function spoken(pitch) {
  return `${text("note names").split(", ")[pitch % 12]} ${Math.floor(pitch / 12) - 1}`;
}
