// @ts-check
/** Where the 88 keys lie, and how they look. */

import { HIGHEST, LOWEST } from "./notes.js";

const BLACK = new Set([1, 3, 6, 8, 10]);
const WHITES = 52;

/** @param {number} pitch */
export const isBlack = (pitch) => BLACK.has(pitch % 12);

/**
 * Left edge and width of each key, in units of the keyboard's width. Index 0 is the lowest key.
 * @type {{pitch: number, left: number, width: number, black: boolean}[]}
 */
export const KEYS = [];
for (let pitch = LOWEST, whites = 0; pitch <= HIGHEST; pitch++) {
  const black = isBlack(pitch);
  const width = (black ? 0.62 : 1) / WHITES;
  KEYS.push({ pitch, left: whites / WHITES - (black ? width / 2 : 0), width, black });
  if (!black) whites += 1;
}

/** @param {number} pitch */
export const keyOf = (pitch) => KEYS[pitch - LOWEST];

/**
 * @typedef {{roll: string, grid: string, octave: string, note: string, sounding: string, marker: string,
 *   whiteKey: string, blackKey: string, keyEdge: string, quiet: string, pedal: string}} Colours
 */

/**
 * The keyboard at the top of the picture.
 * @param {CanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 * @param {Map<number, number>} lit pitch to velocity
 * @param {Colours} colours
 */
export function drawKeyboard(context, width, height, lit, colours) {
  context.fillStyle = colours.whiteKey;
  context.fillRect(0, 0, width, height);
  for (const black of [false, true]) {
    for (const key of KEYS) {
      if (key.black === black) drawKey(context, key, width, black ? 0.62 * height : height, lit, colours);
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {typeof KEYS[number]} key
 * @param {number} width
 * @param {number} height
 * @param {Map<number, number>} lit
 * @param {Colours} colours
 */
function drawKey(context, key, width, height, lit, colours) {
  const left = key.left * width;
  const velocity = lit.get(key.pitch);
  if (key.black || velocity !== undefined) {
    context.fillStyle = key.black ? colours.blackKey : colours.whiteKey;
    context.fillRect(left, 0, key.width * width, height);
  }
  if (velocity !== undefined) {
    context.globalAlpha = brightness(velocity);
    context.fillStyle = colours.sounding;
    context.fillRect(left, 0, key.width * width, height);
    context.globalAlpha = 1;
  }
  if (key.black) return;
  context.fillStyle = colours.keyEdge;
  context.fillRect(Math.round(left), 0, 1, height);
  if (key.pitch % 12 === 0 && key.width * width >= 9) {
    context.fillStyle = "#5a6270"; // on a white key in either theme
    context.font = "10px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText(`C${key.pitch / 12 - 1}`, left + (key.width * width) / 2, height - 4, key.width * width - 2);
  }
}

/** How strongly a velocity is drawn, 0 to 1. @param {number} velocity */
export const brightness = (velocity) => 0.28 + 0.72 * Math.min(1, Math.max(0, velocity / 110));
