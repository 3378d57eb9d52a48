// @ts-check
/** For those who do not see the roll: the last notes in words, when asked or as they come. */

import { spoken } from "./notes.js";
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
    // The same words again would not be read: an invisible difference makes them new.
    this.region.textContent = this.region.textContent === words ? `${words}\u00a0` : words;
  }
}
