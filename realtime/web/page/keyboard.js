// @ts-check
/** Draws the keyboard below the roll, with sounding keys lit, and the pedal beside it. */

import { BLACK_HEIGHT, KEYS, keyOf, LANE } from "./keys.js";

/** @typedef {import("./roll.js").Roll} Roll */
/** @typedef {CanvasRenderingContext2D} Context */

/** @param {Roll} roll @param {Context} context */
export function drawRestingKeys(roll, context) {
  within(roll, context, () => {
    context.fillStyle = roll.palette.whiteKey;
    context.fillRect(LANE, roll.bottom, roll.width - LANE, roll.keyboardHeight);
    for (const key of KEYS) if (!key.black) drawWhite(roll, context, key);
    for (const key of KEYS) if (key.black) drawBlack(roll, context, key, roll.palette.blackKey, 0);
  });
}

/** Draws sounding keys over the resting ones. @param {Roll} roll @param {Map<number, number>} lit pitch to velocity */
export function drawLitKeys(roll, lit) {
  const { context, palette } = roll;
  if (!lit.size) return;
  within(roll, context, () => {
    const keys = [...lit.keys()].map(keyOf);
    for (const key of keys) if (!key.black) drawWhite(roll, context, key, palette.notes[lit.get(key.pitch) ?? 0]);
    for (const key of KEYS) {
      if (!key.black || ![-1, 0, 1].some((beside) => lit.has(key.pitch + beside))) continue;
      drawBlack(roll, context, key, palette.blackKey, 0); // a lit white key lies under it
      const velocity = lit.get(key.pitch);
      if (velocity !== undefined) drawBlack(roll, context, key, palette.notes[velocity], 1);
    }
  });
}

/** Draws clipped to the keyboard. @param {Roll} roll @param {Context} context @param {() => void} draw */
function within(roll, context, draw) {
  context.save();
  context.beginPath();
  context.rect(LANE, roll.bottom, roll.width - LANE, roll.keyboardHeight);
  context.clip();
  draw();
  context.restore();
}

/** @param {Roll} roll @param {Context} context @param {import("./keys.js").Key} key @param {string} [colour] */
function drawWhite(roll, context, key, colour) {
  const { palette, range, bottom, keyboardHeight: height } = roll;
  const x = LANE + range.x(key.left);
  if (x + range.unit < LANE || x > roll.width) return;
  if (colour) {
    context.fillStyle = colour;
    context.fillRect(x, bottom, range.unit, height);
  }
  context.fillStyle = palette.keyEdge;
  context.fillRect(Math.round(x), bottom, 1, height);
  if (key.pitch % 12 || range.unit < 10) return;
  context.fillStyle = "#5a6270"; // on a white key in either theme
  context.font = `${range.unit < 14 ? 9 : 11}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillText(`C${key.pitch / 12 - 1}`, x + range.unit / 2, bottom + height - 6, range.unit - 1);
}

/**
 * @param {Roll} roll
 * @param {Context} context
 * @param {import("./keys.js").Key} key
 * @param {string} colour
 * @param {number} inset pixels by which the key is smaller on each side
 */
function drawBlack(roll, context, key, colour, inset) {
  const { range, bottom, keyboardHeight } = roll;
  const [x, wide, tall] = [LANE + range.x(key.left), key.width * range.unit, BLACK_HEIGHT * keyboardHeight];
  if (x + wide < LANE || x > roll.width) return;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x + inset, bottom, wide - 2 * inset, tall - 2 * inset, [0, 0, 3 - inset, 3 - inset]);
  context.fill();
}

/** @param {Roll} roll @param {boolean} down */
export function drawPedalSign(roll, down) {
  const { context, palette, bottom, keyboardHeight: height } = roll;
  context.fillStyle = palette.lane;
  context.fillRect(0, bottom + 1, LANE, height);
  context.fillStyle = down ? palette.pedal : palette.keyEdge;
  context.beginPath();
  context.roundRect(4, bottom + (down ? 12 : 6), LANE - 8, height - 18, 4);
  context.fill();
}
