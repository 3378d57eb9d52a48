// @ts-check
/** Where the 88 keys lie. Positions are in white keys from the lowest one, A0. */

import { HIGHEST, LOWEST } from "./notes.js";

const BLACK = new Set([1, 3, 6, 8, 10]);
export const WHITES = 52;
/** Width in pixels of the pedal's lane, left of the keys. */
export const LANE = 16;
/** Size of a black key, as shares of a white key's width and of the keyboard's height. */
const BLACK_WIDTH = 0.6;
export const BLACK_HEIGHT = 0.62;

/** @typedef {{pitch: number, left: number, width: number, black: boolean}} Key */

/** All keys, the lowest first. @type {Key[]} */
export const KEYS = [];
for (let pitch = LOWEST, whites = 0; pitch <= HIGHEST; pitch++) {
  const black = BLACK.has(pitch % 12);
  KEYS.push({ pitch, left: whites - (black ? BLACK_WIDTH / 2 : 0), width: black ? BLACK_WIDTH : 1, black });
  if (!black) whites += 1;
}

/** @param {number} pitch */
export const keyOf = (pitch) => KEYS[pitch - LOWEST];
