// @ts-check
/** The figures under Details: delay of the notes, duration of the engine's steps and of drawing. */

import { $, median, show } from "./dom.js";
import { text } from "./text.js";

const KEPT = 400;
/** A step covers 20 ms of sound; a slower step leaves the browser too little time. */
const SLOW_MS = 18;

export class Figures {
  constructor() {
    /** Milliseconds from a note's onset until it is drawn. @type {number[]} */
    this.delays_ms = [];
    /** Milliseconds to draw each picture. @type {number[]} */
    this.drawn_ms = [];
    this.next = 0;
    /** Dropped blocks that a warning has told of. */
    this.told = 0;
  }

  /** Starts anew for another take. */
  restart() {
    this.delays_ms = [];
    this.told = 0;
  }

  /**
   * Records the delay of notes drawn for the first time.
   * @param {import("./listening.js").Listening} session
   * @param {import("./notes.js").Note[]} all
   */
  noteSeen(session, all) {
    const now_ms = performance.now();
    for (let i = all.length - 1; i >= 0 && !all[i].seen; i--) {
      all[i].seen = true;
      this.delays_ms.push(now_ms - session.timeline.pageAt(all[i].onset_s));
      if (this.delays_ms.length > KEPT) this.delays_ms.shift();
    }
  }

  /** @param {number} ms */
  noteDrawn(ms) {
    this.drawn_ms[this.next] = ms;
    this.next = (this.next + 1) % KEPT;
  }

  /** 95th percentile of the times to draw a picture. */
  get slowest_ms() {
    const sorted = [...this.drawn_ms].sort((a, b) => a - b);
    return sorted[Math.floor(0.95 * sorted.length)] ?? 0;
  }

  /** @param {import("./listening.js").Listening} session @param {import("./notes.js").Notes} notes */
  show(session, notes) {
    show("notes", String(notes.all.length));
    show("dropped", String(session.droppedBlocks));
    show("late", String(session.late));
    if (session.algorithmic_ms) show("algorithmic", `${session.algorithmic_ms.toFixed(0)} ms`);
    if (session.step_ms) show("step", text("step figure", { ms: session.step_ms.toFixed(1), slow: session.step_p99_ms.toFixed(0) }));
    if (this.delays_ms.length) show("seen", `${median(this.delays_ms).toFixed(0)} ms`);
    show("drawing", text("drawing figure", { ms: this.slowest_ms.toFixed(1) }));
    $("pedal-figure").hidden = !(session.hearsPedal || notes.presses.length);
  }

  /** A warning if the device is too slow, otherwise empty. @param {import("./listening.js").Listening} session */
  trouble(session) {
    if (session.step_ms > SLOW_MS) return text("too slow", { ms: session.step_ms.toFixed(0) });
    if (session.droppedBlocks <= this.told) return "";
    this.told = session.droppedBlocks;
    return text("dropped some", { count: this.told });
  }
}
