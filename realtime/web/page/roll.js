// @ts-check
/**
 * The piano roll: notes come out below the keyboard and fall. What is at the keyboard is now; above the
 * marker lies what the network cannot know yet. Under the notes a band shows where the pedal is down.
 */

import { brightness, drawKeyboard, KEYS, keyOf } from "./keys.js";

/** Pixels a second fall; on a small screen a little fewer. */
const SPEED = 90;
/** Pixels of the pedal's bar at the left edge. */
const PEDAL_WIDTH = 5;

export class Roll {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.width = this.height = 0;
    this.dirty = true;
    this.readColours();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    this.resize();
  }

  resize() {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.max(1, Math.round(this.width * ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * ratio));
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.dirty = true;
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(name).trim();
    /** @type {import("./keys.js").Colours} */
    this.colours = {
      roll: colour("--roll"), grid: colour("--grid"), octave: colour("--octave"), note: colour("--note"),
      sounding: colour("--sounding"), marker: colour("--marker"), whiteKey: colour("--white-key"),
      blackKey: colour("--black-key"), keyEdge: colour("--key-edge"), quiet: colour("--quiet"), pedal: colour("--pedal"),
    };
    this.dirty = true;
  }

  get keyboardHeight() {
    return Math.round(Math.min(84, Math.max(40, 0.16 * this.height)));
  }

  /** Seconds that are visible. */
  get span_s() {
    return Math.max(1, (this.height - this.keyboardHeight) / SPEED);
  }

  /**
   * @param {import("./notes.js").Notes} notes
   * @param {number} now_s
   * @param {Map<number, number>} lit pitches that sound now, with their velocities
   * @param {number} latency_s where the marker is; 0 for none
   */
  draw(notes, now_s, lit, latency_s) {
    const { context, colours, width, height, keyboardHeight: top } = this;
    this.dirty = false;
    context.fillStyle = colours.roll;
    context.fillRect(0, top, width, height - top);
    this.drawGrid(now_s, top);
    for (const press of notes.pressesBetween(now_s - this.span_s, now_s)) this.drawPress(press, now_s, top);
    for (const note of notes.between(now_s - this.span_s, now_s)) this.drawNote(note, now_s, top);
    if (latency_s > 0) this.drawMarker(top + latency_s * SPEED, `${Math.round(1000 * latency_s)} ms`);
    drawKeyboard(context, width, top, lit, colours);
  }

  /** @param {number} now_s @param {number} top */
  drawGrid(now_s, top) {
    const { context, colours, width, height } = this;
    for (const key of KEYS) {
      if (key.black) {
        context.fillStyle = colours.grid;
        context.globalAlpha = 0.45;
        context.fillRect(key.left * width, top, key.width * width, height - top);
        context.globalAlpha = 1;
      } else if (key.pitch % 12 === 0 || key.pitch % 12 === 5) {
        context.fillStyle = key.pitch % 12 ? colours.grid : colours.octave;
        context.fillRect(Math.round(key.left * width), top, 1, height - top);
      }
    }
    context.textAlign = "left";
    context.font = "11px system-ui, sans-serif";
    for (let second = Math.floor(now_s); second >= 0 && second > now_s - this.span_s; second--) {
      const y = Math.round(top + (now_s - second) * SPEED);
      context.fillStyle = colours.grid;
      context.fillRect(0, y, width, 1);
      context.fillStyle = colours.quiet;
      if (second % 5 === 0) context.fillText(clock(second), PEDAL_WIDTH + 3, y - 3);
    }
  }

  /** @param {import("./notes.js").Press} press @param {number} now_s @param {number} top */
  drawPress(press, now_s, top) {
    const { context, colours, width } = this;
    const from = top + (now_s - Math.min(now_s, press.up_s ?? now_s)) * SPEED;
    const tall = Math.max(2, top + (now_s - press.down_s) * SPEED - from);
    context.fillStyle = colours.pedal;
    context.globalAlpha = 0.13;
    context.fillRect(0, from, width, tall);
    context.globalAlpha = 1;
    context.fillRect(0, from, PEDAL_WIDTH, tall);
  }

  /** @param {import("./notes.js").Note} note @param {number} now_s @param {number} top */
  drawNote(note, now_s, top) {
    const { context, colours, width } = this;
    const key = keyOf(note.pitch);
    const down = note.offset_s === null || note.offset_s > now_s;
    const from = top + (now_s - Math.min(now_s, note.offset_s ?? now_s)) * SPEED;
    const to = top + (now_s - note.onset_s) * SPEED;
    const wide = Math.max(3, key.width * width - 1);
    const left = (key.left + key.width / 2) * width - wide / 2;
    context.globalAlpha = brightness(note.velocity);
    context.fillStyle = down ? colours.sounding : colours.note;
    context.beginPath();
    context.roundRect(left, from, wide, Math.max(3, to - from), Math.min(3, wide / 2));
    context.fill();
    context.globalAlpha = 1;
  }

  /** @param {number} y @param {string} label */
  drawMarker(y, label) {
    const { context, colours, width } = this;
    context.strokeStyle = colours.marker;
    context.setLineDash([6, 5]);
    context.beginPath();
    context.moveTo(0, Math.round(y) + 0.5);
    context.lineTo(width, Math.round(y) + 0.5);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colours.marker;
    context.textAlign = "right";
    context.fillText(label, width - 4, y + 12);
  }
}

/** @param {number} seconds */
export function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
