// @ts-check
/** The whole take in a strip: every note, and where the roll is. The slider on it moves there. */

import { readPalette } from "./palette.js";

const INSET = 3;

export class Overview {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** Drawn once a take, since it may have many thousand notes. */
    this.picture = document.createElement("canvas");
    this.drawn = "";
    new ResizeObserver(() => (this.drawn = "")).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.drawn = ""));
  }

  /** @param {import("./notes.js").Notes} notes @param {number} duration_s @param {number} now_s */
  draw(notes, duration_s, now_s) {
    const { canvas, picture } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const key = [notes.all.length, duration_s.toFixed(1), width, height].join();
    if (this.drawn !== key) {
      this.drawn = key;
      this.paint(notes, duration_s, width, height);
    }
    canvas.width = picture.width;
    canvas.height = picture.height;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.drawImage(picture, 0, 0);
    context.fillStyle = this.now;
    context.fillRect(Math.round((now_s / Math.max(duration_s, 0.1)) * (width - 2)), 0, 2, height);
  }

  now = "";

  /** @param {import("./notes.js").Notes} notes @param {number} duration_s @param {number} width @param {number} height */
  paint(notes, duration_s, width, height) {
    const palette = readPalette();
    this.now = palette.now;
    this.picture.width = width;
    this.picture.height = height;
    const context = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
    const scale = width / Math.max(duration_s, 0.1);
    for (const note of notes.all) {
      const wide = Math.max(1.5, ((note.offset_s ?? note.onset_s) - note.onset_s) * scale);
      const y = height - INSET - ((note.pitch - 21) / 87) * (height - 2 * INSET) - 1;
      context.fillStyle = palette.notes[note.velocity];
      context.fillRect(note.onset_s * scale, y, wide, 2);
    }
    context.fillStyle = palette.pedal;
    for (const press of notes.presses) {
      context.fillRect(press.down_s * scale, height - 2, Math.max(1, ((press.up_s ?? press.down_s) - press.down_s) * scale), 2);
    }
  }
}
