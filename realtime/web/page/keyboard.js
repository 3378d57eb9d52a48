// @ts-check
/** The keyboard at the foot of the roll, its keys lit by what sounds, and the pedal beside it. */

import { BLACK_HEIGHT, KEYS, LANE } from "./keys.js";

/**
 * @param {import("./roll.js").Roll} roll
 * @param {Map<number, number>} lit pitch to velocity
 * @param {boolean} pedalDown
 */
export function drawKeyboard(roll, lit, pedalDown) {
  const { context, palette, width, bottom, keyboardHeight: height } = roll;
  context.save();
  context.beginPath();
  context.rect(LANE, bottom, width - LANE, height);
  context.clip();
  context.fillStyle = palette.whiteKey;
  context.fillRect(LANE, bottom, width - LANE, height);
  for (const key of KEYS) if (!key.black) drawWhite(roll, key, lit.get(key.pitch));
  for (const key of KEYS) if (key.black) drawBlack(roll, key, lit.get(key.pitch));
  context.restore();
  context.fillStyle = palette.now;
  context.fillRect(0, bottom - 1, width, 2);
  drawPedalSign(roll, pedalDown);
}

/** @param {import("./roll.js").Roll} roll @param {import("./keys.js").Key} key @param {number | undefined} velocity */
function drawWhite(roll, key, velocity) {
  const { context, palette, range, bottom, keyboardHeight: height } = roll;
  const x = LANE + range.x(key.left);
  if (x + range.unit < LANE || x > roll.width) return;
  if (velocity !== undefined) {
    context.fillStyle = palette.notes[velocity];
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

/** @param {import("./roll.js").Roll} roll @param {import("./keys.js").Key} key @param {number | undefined} velocity */
function drawBlack(roll, key, velocity) {
  const { context, palette, range, bottom, keyboardHeight } = roll;
  const [x, wide, tall] = [LANE + range.x(key.left), key.width * range.unit, BLACK_HEIGHT * keyboardHeight];
  if (x + wide < LANE || x > roll.width) return;
  context.fillStyle = palette.blackKey;
  context.beginPath();
  context.roundRect(x, bottom, wide, tall, [0, 0, 3, 3]);
  context.fill();
  if (velocity === undefined) return;
  context.fillStyle = palette.notes[velocity];
  context.beginPath();
  context.roundRect(x + 1, bottom, wide - 2, tall - 2, [0, 0, 2, 2]);
  context.fill();
}

/** @param {import("./roll.js").Roll} roll @param {boolean} down */
function drawPedalSign(roll, down) {
  const { context, palette, bottom, keyboardHeight: height } = roll;
  context.fillStyle = palette.lane;
  context.fillRect(0, bottom + 1, LANE, height);
  context.fillStyle = down ? palette.pedal : palette.keyEdge;
  context.beginPath();
  context.roundRect(4, bottom + (down ? 12 : 6), LANE - 8, height - 18, 4);
  context.fill();
}
