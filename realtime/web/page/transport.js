// @ts-check
/** Play, pause and the slider over the whole take. */

import { $, clock, show, showProblem } from "./dom.js";
import { Overview } from "./overview.js";
import { text } from "./text.js";

/** Seconds between updates for a growing take: the strip and the slider change the page's layout. */
const LIVE_EVERY_S = 0.1;

export class Transport {
  /** @param {HTMLAudioElement} player */
  constructor(player) {
    this.player = player;
    this.overview = new Overview($("overview"));
    /** @type {HTMLInputElement} */
    this.slider = $("position");
    /** @type {HTMLButtonElement} */
    this.button = $("play");
    /** Position while nothing is playing, in seconds. */
    this.place_s = 0;
    this.duration_s = 0;
    this.shown_s = 0;
    this.moved = true;
    /** Called when the picture has to change. */
    this.onChange = () => {};
    this.button.onclick = () => void this.toggle();
    this.slider.oninput = () => this.go(Number(this.slider.value));
    for (const what of ["play", "pause", "ended"]) player.addEventListener(what, () => this.turned());
    this.label();
  }

  get playing() {
    return !this.player.paused && !this.player.ended;
  }

  get now_s() {
    return this.playing ? this.player.currentTime : this.place_s;
  }

  /** Loads a take to be played, or null while one is being made. @param {import("./take.js").Take | null} take */
  load(take) {
    this.duration_s = take?.duration_s ?? 0;
    this.slider.max = String(this.duration_s);
    this.slider.disabled = !this.duration_s;
    this.button.disabled = !take?.audio;
    this.place_s = this.duration_s; // the end of the take is shown first
    this.overview.clear();
    this.change();
  }

  change() {
    this.moved = true;
    this.onChange();
  }

  async toggle() {
    if (this.playing) return this.player.pause();
    if (this.place_s > this.duration_s - 0.1) this.place_s = 0;
    this.player.currentTime = this.place_s;
    try {
      await this.player.play();
    } catch (error) {
      // Pausing at once, or another take, is no failure.
      if (/** @type {DOMException} */ (error).name !== "AbortError") showProblem(text("cannot play"));
    }
  }

  /** Playing began or ended, perhaps by the browser: a headset has a key, and a phone call pauses too. */
  turned() {
    if (!this.playing) this.place_s = this.player.ended ? this.duration_s : this.player.currentTime;
    this.label();
    this.change();
  }

  /** @param {number} to_s */
  go(to_s) {
    this.place_s = Math.min(this.duration_s, Math.max(0, to_s));
    if (this.player.src) this.player.currentTime = this.place_s;
    this.change();
  }

  /** Moves the position; does nothing without a take. @param {number} seconds */
  scroll(seconds) {
    if (!this.duration_s) return;
    this.go(this.now_s + seconds);
  }

  /** @param {import("./notes.js").Notes} notes @param {number} now_s @param {number} duration_s @param {boolean} [grows] */
  show(notes, now_s, duration_s, grows = false) {
    if (grows && now_s >= this.shown_s && now_s < this.shown_s + LIVE_EVERY_S) return;
    this.shown_s = now_s;
    this.overview.draw(notes, now_s, duration_s, grows);
    this.slider.value = String(now_s);
    this.slider.setAttribute("aria-valuetext", clock(now_s));
    show("time", duration_s > now_s ? `${clock(now_s)} / ${clock(duration_s)}` : clock(now_s));
    this.moved = false;
  }

  label() {
    this.button.textContent = text(this.playing ? "pause" : "play");
  }
}
