// @ts-check
/**
 * The piano roll: notes rise from the keyboard, whose upper edge is the present time. Bars in the lane at the left
 * edge show where the pedal is down.
 */

import { clock } from "./dom.js";
import { drawLitKeys, drawPedalSign, drawRestingKeys } from "./keyboard.js";
import { KEYS, keyOf, LANE } from "./keys.js";
import { KeyRange } from "./key_range.js";
import { loudness, readPalette } from "./palette.js";

/** Pixels per second. */
export const SPEED = 100;
const FONT = "11px system-ui, sans-serif";
const LABEL_HEIGHT = 16;
/** Number of label pictures to keep: more than are visible. */
const MOST_LABELS = 16;

export class Roll {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.width = this.height = 0;
    this.dirty = true;
    /** Called when the picture has to change. */
    this.onChange = () => {};
    this.range = new KeyRange();
    this.palette = readPalette();
    /** Lanes and resting keys, painted again only when they change, as most of the picture stays the same. */
    this.still = document.createElement("canvas");
    this.stillOf = "";
    /** @type {Map<string, HTMLCanvasElement>} */
    this.labels = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.palette = readPalette();
      this.forget();
    });
    this.resize();
  }

  resize() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.max(1, Math.round(this.width * ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * ratio));
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.range.setWidth(this.width - LANE);
    this.forget();
  }

  /** Drops the kept pictures after a change of size or colours. */
  forget() {
    this.stillOf = "";
    this.labels.clear();
    this.change();
  }

  change() {
    this.dirty = true;
    this.onChange();
  }

  get keyboardHeight() {
    return Math.round(Math.min(120, Math.max(56, 0.17 * this.height, 2.5 * Math.min(40, this.range.unit))));
  }

  /** Position of the keyboard's upper edge, the present time. */
  get bottom() {
    return this.height - this.keyboardHeight;
  }

  /** Seconds that are visible. */
  get span_s() {
    return Math.max(1, this.bottom / SPEED);
  }

  /**
   * @param {import("./notes.js").Notes} notes
   * @param {number} now_s
   * @param {Map<number, number>} lit pitches that sound now, with their velocities
   * @param {boolean} pedalDown
   */
  draw(notes, now_s, lit, pedalDown) {
    const { context, palette, width, bottom } = this;
    this.dirty = false;
    context.drawImage(this.stillPicture(), 0, 0, width, this.height);
    this.drawSeconds(now_s, bottom);
    for (const note of notes.between(now_s - this.span_s, now_s)) this.drawNote(note, now_s, bottom);
    context.globalAlpha = 1;
    this.drawPedal(notes.pressesBetween(now_s - this.span_s, now_s), now_s, bottom);
    drawLitKeys(this, lit);
    context.fillStyle = palette.now;
    context.fillRect(0, bottom - 1, width, 2);
    drawPedalSign(this, pedalDown);
  }

  stillPicture() {
    const { canvas, still, range } = this;
    const of = `${range.first} ${range.count}`;
    if (this.stillOf === of) return still;
    this.stillOf = of;
    [still.width, still.height] = [canvas.width, canvas.height];
    const context = /** @type {CanvasRenderingContext2D} */ (still.getContext("2d", { alpha: false }));
    context.setTransform(this.context.getTransform());
    context.fillStyle = this.palette.roll;
    context.fillRect(0, 0, this.width, this.height);
    this.drawKeyLanes(context, this.bottom);
    drawRestingKeys(this, context);
    return still;
  }

  /** @param {CanvasRenderingContext2D} context @param {number} bottom */
  drawKeyLanes(context, bottom) {
    const { palette, range } = this;
    for (const key of KEYS) {
      const x = LANE + range.x(key.left);
      if (x > this.width || x + key.width * range.unit < LANE) continue;
      if (key.black) {
        context.fillStyle = palette.lane;
        context.fillRect(x, 0, key.width * range.unit, bottom);
      } else if (key.pitch % 12 === 0 || key.pitch % 12 === 5) {
        context.fillStyle = key.pitch % 12 ? palette.grid : palette.octave;
        context.fillRect(Math.round(x), 0, 1, bottom);
      }
    }
  }

  /** @param {number} now_s @param {number} bottom */
  drawSeconds(now_s, bottom) {
    const { context, palette, width } = this;
    for (let second = 5 * Math.floor(now_s / 5); second >= 0 && second > now_s - this.span_s; second -= 5) {
      const y = Math.round(bottom - (now_s - second) * SPEED);
      context.fillStyle = palette.grid;
      context.fillRect(LANE, y, width - LANE, 1);
      const label = this.label(clock(second));
      const wide = (label.width * LABEL_HEIGHT) / label.height;
      context.drawImage(label, width - wide - 6, y - LABEL_HEIGHT, wide, LABEL_HEIGHT);
    }
  }

  /** Returns a kept picture of a text: drawing it anew takes as long as all the notes. @param {string} line */
  label(line) {
    const kept = this.labels.get(line);
    if (kept) return kept;
    if (this.labels.size >= MOST_LABELS) this.labels.clear();
    const ratio = this.canvas.height / this.height;
    const picture = document.createElement("canvas");
    const context = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
    context.font = FONT;
    picture.width = Math.ceil(ratio * context.measureText(line).width);
    picture.height = Math.round(ratio * LABEL_HEIGHT);
    context.scale(ratio, ratio);
    context.font = FONT; // setting the size has reset it
    context.fillStyle = this.palette.quiet;
    context.fillText(line, 0, LABEL_HEIGHT - 4);
    this.labels.set(line, picture);
    return picture;
  }

  /** @param {import("./notes.js").Note} note @param {number} now_s @param {number} bottom */
  drawNote(note, now_s, bottom) {
    const { context, palette, range } = this;
    const key = keyOf(note.pitch);
    const middle = LANE + range.x(key.left + key.width / 2);
    if (middle < LANE - range.unit || middle > this.width + range.unit) return;
    const sounds = note.offset_s === null || note.offset_s > now_s;
    const to = bottom - (now_s - Math.min(now_s, note.offset_s ?? now_s)) * SPEED;
    const from = bottom - (now_s - note.onset_s) * SPEED;
    // Louder notes are wider too, so that loudness does not depend on colours alone.
    const room = Math.min(1, key.width + 0.15) * range.unit - 1;
    const wide = Math.max(3, room * (0.55 + 0.45 * loudness(note.velocity)));
    context.fillStyle = palette.notes[note.velocity];
    context.globalAlpha = sounds ? 1 : 0.82;
    context.beginPath();
    context.roundRect(middle - wide / 2, from, wide, Math.max(4, to - from), Math.min(4, wide / 3));
    context.fill();
  }

  /** @param {import("./notes.js").Press[]} presses @param {number} now_s @param {number} bottom */
  drawPedal(presses, now_s, bottom) {
    const { context, palette } = this;
    context.fillStyle = palette.lane;
    context.fillRect(0, 0, LANE, bottom);
    context.fillStyle = palette.pedal;
    for (const press of presses) {
      const to = bottom - (now_s - Math.min(now_s, press.up_s ?? now_s)) * SPEED;
      const from = bottom - (now_s - press.down_s) * SPEED;
      context.beginPath();
      context.roundRect(5, from, LANE - 10, Math.max(3, to - from), 3);
      context.fill();
    }
  }
}
