// @ts-check
/** Selects the visible keys: all if there is room, otherwise those being played, until the user moves them. */

import { keyOf, WHITES } from "./keys.js";

/** Least width of a white key, in pixels. */
const NARROWEST = 12;
const FEWEST = 7;
/** Speed of gliding: share of the remaining distance, per second. */
const SPEED = 4;
const MARGIN = 2;

export class KeyRange {
  constructor() {
    /** The leftmost white key, and how many are visible. */
    this.first = 0;
    this.count = WHITES;
    this.byHand = false;
    this.goal = 0;
    this.width = 0;
  }

  /** Sets the width of the keyboard in pixels. @param {number} width */
  setWidth(width) {
    this.width = width;
    if (!this.byHand) this.fit();
  }

  /** Shows as many keys as there is room for; the range follows the notes again. */
  fit() {
    this.byHand = false;
    this.count = Math.min(WHITES, Math.max(FEWEST, Math.floor(this.width / NARROWEST)));
    this.goal = this.first = this.held(this.count === WHITES ? 0 : this.first || 23 - this.count / 2);
  }

  /** Moves the range to the sounding keys, unless the user has moved it. @param {number[]} pitches that sound */
  follow(pitches) {
    if (this.byHand || this.count === WHITES || !pitches.length) return;
    const places = pitches.map((pitch) => keyOf(pitch).left);
    const [low, high] = [Math.min(...places) - MARGIN, Math.max(...places) + 1 + MARGIN];
    if (high - low > this.count) this.goal = this.held((low + high - this.count) / 2);
    else if (low < this.goal) this.goal = this.held(low);
    else if (high > this.goal + this.count) this.goal = this.held(high - this.count);
  }

  get gliding() {
    return Math.abs(this.goal - this.first) >= 0.01;
  }

  /** @param {number} seconds since the last picture @returns whether the range moved */
  glide(seconds) {
    if (!this.gliding) return false;
    this.first += (this.goal - this.first) * Math.min(1, SPEED * seconds);
    return true;
  }

  /** @param {number} whites to the right */
  move(whites) {
    this.byHand = true;
    this.goal = this.first = this.held(this.first + whites);
  }

  /** @param {number} factor above 1: fewer, wider keys @param {number} share of the width that stays where it is */
  zoom(factor, share = 0.5) {
    this.byHand = true;
    const still = this.first + share * this.count;
    this.count = Math.min(WHITES, Math.max(FEWEST, this.count / factor));
    this.goal = this.first = this.held(still - share * this.count);
  }

  /** @param {number} first */
  held(first) {
    return Math.min(WHITES - this.count, Math.max(0, first));
  }

  /** Width of a white key in pixels. */
  get unit() {
    return this.width / this.count;
  }

  /** Converts a position in white keys to pixels. @param {number} place */
  x(place) {
    return (place - this.first) * this.unit;
  }
}
