// @ts-check
/** Draws each picture: the live notes, a file's progress, a take, or an example while there is none. */

import { $, show } from "./dom.js";
import { example } from "./example.js";
import { listenForGestures } from "./gestures.js";
import { Roll } from "./roll.js";
import { text } from "./text.js";

const EXAMPLE_ALPHA = 0.6;

export class Screen {
  /** @param {import("./app.js").Page} page */
  constructor(page) {
    this.page = page;
    this.roll = new Roll($("roll"));
    this.example = example();
    this.drawn_ms = this.asked = 0;
    this.roll.onChange = page.transport.onChange = () => this.wake();
    listenForGestures(this.roll, (seconds) => !page.busy && page.transport.scroll(seconds));
    $("fit").onclick = () => {
      this.roll.range.fit();
      this.roll.change();
    };
    this.wake();
  }

  /** Draws at the next picture, and on until nothing changes any more: a still page costs nothing. */
  wake() {
    this.asked ||= requestAnimationFrame(() => {
      this.asked = 0;
      if (this.draw()) this.wake();
    });
  }

  get empty() {
    return !this.page.busy && !this.page.take.duration_s;
  }

  /** Updates the page after another take or state. */
  refresh() {
    $("empty").hidden = !this.empty;
    document.body.classList.toggle("is-empty", this.empty);
    document.body.classList.toggle("is-busy", this.page.busy);
    this.roll.change();
  }

  /** @returns whether the next picture may differ without a call of `wake` */
  draw() {
    const { page, roll } = this;
    const began_ms = performance.now();
    const moved = roll.range.glide(Math.min(0.1, (began_ms - this.drawn_ms) / 1000));
    this.drawn_ms = began_ms;
    $("fit").hidden = !roll.range.byHand;
    const changed = moved || roll.dirty || page.transport.moved || page.transport.playing;
    if (page.listening) this.drawLive(page.listening);
    else if (!changed) return false;
    else if (page.transcribing) this.drawFile();
    else if (this.empty) this.drawExample();
    else this.drawTake();
    page.figures.noteDrawn(performance.now() - began_ms);
    return Boolean(page.listening) || page.transport.playing || roll.range.gliding;
  }

  /** @param {import("./listening.js").Listening} session */
  drawLive(session) {
    const { notes } = this.page.take;
    const lit = new Map([...notes.sounding].map(([pitch, note]) => [pitch, note.velocity]));
    const now_s = session.streamAt(performance.now());
    this.roll.range.follow([...lit.keys()]);
    this.roll.draw(notes, now_s, lit, notes.pedalDown);
    this.page.figures.noteSeen(session, notes.all);
    this.page.transport.show(notes, now_s, now_s, true);
    this.showPedal(notes.pedalDown);
  }

  drawFile() {
    const { take, transport } = this.page;
    const now_s = /** @type {HTMLProgressElement} */ ($("progress")).value * take.duration_s;
    this.roll.range.follow(take.notes.between(now_s - 1, now_s).map((note) => note.pitch));
    this.roll.draw(take.notes, now_s, new Map(), take.notes.pedalDown);
    transport.show(take.notes, now_s, take.duration_s);
  }

  drawTake() {
    const { page, roll } = this;
    const { take, transport } = page;
    const now_s = transport.now_s;
    const lit = page.playback.follow(take.notes, now_s);
    roll.range.follow(lit.size ? [...lit.keys()] : take.notes.between(now_s - 2, now_s).map((note) => note.pitch));
    roll.draw(take.notes, now_s, lit, page.playback.pedalDown);
    transport.show(take.notes, now_s, take.duration_s);
    this.showPedal(page.playback.pedalDown);
  }

  drawExample() {
    const { context, width, bottom, palette } = this.roll;
    this.roll.range.follow([59, 77]);
    this.roll.range.first = this.roll.range.goal;
    this.roll.draw(this.example.notes, this.example.duration_s, new Map(), false);
    context.globalAlpha = 1 - EXAMPLE_ALPHA;
    context.fillStyle = palette.roll;
    context.fillRect(0, 0, width, bottom - 1);
    context.globalAlpha = 1;
  }

  /** @param {boolean} down */
  showPedal(down) {
    $("pedal-figure").hidden = !(this.page.listening?.hearsPedal || this.page.take.notes.presses.length);
    show("pedal", text(down ? "down" : "up"));
  }
}
