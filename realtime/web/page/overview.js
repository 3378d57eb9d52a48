// @ts-check
/** Draws the whole take as a strip, with the roll's position. The slider on the strip moves it. */

import { readPalette } from "./palette.js";

const INSET = 3;
/** A growing take is redrawn only when it no longer fits, with room for this multiple of its duration. */
const ROOM = 1.5;
const LEAST_S = 20;

export class Overview {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    /** The notes drawn so far; kept, since a take may have many thousand. */
    this.picture = document.createElement("canvas");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.picture.getContext("2d"));
    this.palette = readPalette();
    this.span_s = 0;
    /** Numbers of notes and pedal presses drawn so far. */
    this.notes = this.presses = 0;
    /** Size of the canvas in CSS pixels; reading it for each picture would force a new layout. */
    this.width = this.height = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.clear());
  }

  resize() {
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.clear();
  }

  /** Forces a full redraw, for another take or another size. */
  clear() {
    this.span_s = 0;
  }

  /**
   * @param {import("./notes.js").Notes} notes
   * @param {number} now_s
   * @param {number} duration_s
   * @param {boolean} grows the take has not ended yet
   */
  draw(notes, now_s, duration_s, grows) {
    const { canvas, picture } = this;
    if (!this.width) return;
    if (!this.span_s || duration_s > this.span_s) this.begin(grows ? Math.max(LEAST_S, ROOM * duration_s) : duration_s);
    this.add(notes);
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0);
    context.fillStyle = this.palette.now;
    context.fillRect(Math.round((now_s / this.span_s) * (canvas.width - 2)), 0, 2, canvas.height);
  }

  /** @param {number} span_s */
  begin(span_s) {
    this.span_s = Math.max(span_s, 0.1);
    this.notes = this.presses = 0;
    this.palette = readPalette();
    this.picture.width = this.width;
    this.picture.height = this.height;
  }

  /** Draws the notes and presses that have ended since the last call. @param {import("./notes.js").Notes} notes */
  add(notes) {
    const { context, palette } = this;
    const { width, height } = this.picture;
    const scale = width / this.span_s;
    for (; this.notes < notes.all.length; this.notes++) {
      const { pitch, velocity, onset_s, offset_s } = notes.all[this.notes];
      if (offset_s === null) break;
      const y = height - INSET - ((pitch - 21) / 87) * (height - 2 * INSET) - 1;
      context.fillStyle = palette.notes[velocity];
      context.fillRect(onset_s * scale, y, Math.max(1.5, (offset_s - onset_s) * scale), 2);
    }
    context.fillStyle = palette.pedal;
    for (; this.presses < notes.presses.length; this.presses++) {
      const { down_s, up_s } = notes.presses[this.presses];
      if (up_s === null) break;
      context.fillRect(down_s * scale, height - 2, Math.max(1, (up_s - down_s) * scale), 2);
    }
  }
}
