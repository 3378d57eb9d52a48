// @ts-check
/** Sends the microphone's sound to the engine. The take goes on after a lost connection or microphone. */

import { Capture, CaptureError, levelDb } from "./capture.js";
import { Backoff, FINAL, FULL } from "./link.js";
import { Recording } from "./recording.js";
import { text } from "./text.js";
import { Timeline } from "./timeline.js";

/** Longest wait for the last notes after Stop. */
const LAST_NOTES_MS = 2000;
/** A longer pause in the sound means that the device slept. */
const SLEPT_MS = 1000;
const LOOK_FOR_MICROPHONE_MS = 1000;

/**
 * @typedef {import("./link.js").Ears} Ears
 * @typedef {{
 *   onEvent: (event: import("./notes.js").NoteEvent) => void,
 *   onLost: (time_s: number) => void,
 *   onState: (line: string) => void,
 *   onProblem: (line: string) => void,
 *   onHint: (line: string) => void,
 *   onRoundTrip: (ms: number) => void,
 *   onMicrophone: () => void,
 *   onEnded: () => void,
 * }} Reactions `onLost`: all notes end at that stream time, the end of the sound so far; `onMicrophone`: one was opened
 */

export class Listening {
  /** @param {Reactions} reactions @param {import("./engines.js").Engines} engines @param {string} token */
  constructor(reactions, engines, token) {
    this.reactions = reactions;
    this.engines = engines;
    this.token = token;
    this.timeline = new Timeline();
    this.capture = new Capture(
      (samples) => this.receive(samples),
      () => void this.microphoneLost(),
      (held) => this.hold(held ? text("audio held") : ""),
    );
    this.backoff = new Backoff();
    this.deviceId = "";
    this.latency_ms = 132;
    /** The whole algorithmic latency, as the engine reports it. */
    this.algorithmic_ms = 0;
    this.hearsPedal = false;
    this.level_db = -120;
    this.droppedBefore = this.droppedByEngine = this.late = 0;
    this.step_ms = this.step_p99_ms = 0;
    this.heard_ms = 0;
    /** @type {import("./link.js").Link | import("./own_link.js").OwnLink | null} */
    this.link = null;
    /** @type {Recording | null} */
    this.recording = null;
    this.going = false;
    this.cancelled = false;
    /** What keeps the sound away, as the user is told; empty while it comes. */
    this.held = "";
    /** The next block opens a new stream: a server closes one without sound. */
    this.connectsWithSound = false;
    this.retry = 0;
    /** Opens microphones one after the other. */
    this.opening = Promise.resolve();
    /** @type {(() => void) | null} */
    this.stopped = null;
  }

  /** @param {string} deviceId @param {number} latency_ms @throws {CaptureError} */
  async start(deviceId, latency_ms) {
    this.deviceId = deviceId;
    this.latency_ms = latency_ms;
    this.reactions.onState(text("opening microphone"));
    await this.capture.start(deviceId);
    if (this.cancelled) return this.capture.stop();
    this.recording = new Recording(this.capture.sampleRate);
    this.going = true;
    this.reactions.onMicrophone();
    this.reactions.onState(text("loading"));
    this.connect();
  }

  get droppedBlocks() {
    return this.droppedBefore + this.droppedByEngine + (this.link?.droppedBlocks ?? 0);
  }

  /**
   * Stream time at a time of the page: seconds of sound since Listen was pressed. It stands still when no sound comes.
   * @param {number} now_ms
   */
  streamAt(now_ms) {
    return Math.min(this.timeline.streamAt(now_ms), (this.recording?.duration_s ?? 0) + SLEPT_MS / 1000);
  }

  /** Tells what keeps the sound away, until it comes again (an empty line). @param {string} line */
  hold(line) {
    if (line || this.held) this.reactions.onProblem(line);
    this.held = line;
  }

  /** Opens a new stream, with another latency or engine; the take goes on. @param {number} latency_ms */
  restart(latency_ms) {
    this.latency_ms = latency_ms;
    this.backoff.succeeded();
    this.link?.close(); // closed() connects again
  }

  /** Stops listening and waits for the last notes. */
  async stop() {
    if (!this.going) {
      if (this.recording || this.cancelled) return;
      this.cancelled = true; // the browser still asks for the microphone
      return this.reactions.onEnded();
    }
    this.going = false;
    this.hold("");
    clearTimeout(this.retry);
    await this.capture.stop();
    const link = this.link;
    if (link) {
      link.end();
      await new Promise((done) => {
        this.stopped = () => done(null);
        setTimeout(done, LAST_NOTES_MS);
      });
      link.close();
    }
    this.reactions.onEnded();
  }

  connect() {
    this.connectsWithSound = false;
    if (!this.going) return;
    let before = { dropped_blocks: 0, late_blocks: 0 }; // as this stream counts them
    const rate = this.recording?.sampleRate ?? 0;
    this.link = this.engines.connect(
      () => ({
        sample_rate: rate, latency_ms: this.latency_ms, mode: "live", token: this.token,
        start_s: this.recording?.duration_s ?? 0,
      }),
      {
        onReady: (latency_ms, hearsPedal) => {
          this.backoff.succeeded();
          this.hearsPedal = hearsPedal;
          this.algorithmic_ms = latency_ms;
          this.reactions.onState(text("listening"));
        },
        onEvents: (events) => events.forEach(this.reactions.onEvent),
        onHeard: (progress) => {
          this.droppedByEngine += progress.dropped_blocks - before.dropped_blocks;
          this.late += progress.late_blocks - before.late_blocks;
          before = progress;
          this.step_ms = progress.step_ms ?? 0;
          this.step_p99_ms = progress.step_p99_ms ?? 0;
        },
        onRoundTrip: this.reactions.onRoundTrip,
        onClose: (code, reason) => this.closed(code, reason),
      },
    );
  }

  /** @param {Float32Array} samples */
  receive(samples) {
    if (!this.recording) return;
    const now_ms = performance.now();
    if (!this.heard_ms) this.timeline.restart(); // the first block of a microphone
    else if (now_ms - this.heard_ms > SLEPT_MS) this.woke((now_ms - this.heard_ms) / 1000);
    this.heard_ms = now_ms;
    if (this.connectsWithSound) this.connect();
    this.recording.add(samples);
    this.timeline.observe(this.recording.duration_s, now_ms / 1000);
    this.level_db = Math.max(levelDb(samples), this.level_db - 0.3);
    this.link?.send(samples);
  }

  /** @param {number} seconds */
  woke(seconds) {
    this.timeline.restart();
    this.reactions.onHint(text("slept", { seconds: Math.round(seconds) }));
    this.restart(this.latency_ms); // ends all sounding notes
  }

  /** @param {number} code @param {string} reason */
  closed(code, reason) {
    this.droppedBefore += this.link?.droppedBlocks ?? 0;
    this.link = null;
    this.reactions.onLost(this.recording?.duration_s ?? 0);
    this.stopped?.();
    if (!this.going) return;
    if (FINAL.has(code)) {
      void this.stop();
      this.reactions.onProblem(text("refused", { reason: reason || code }));
      return;
    }
    this.connectsWithSound = !this.heard_ms || performance.now() - this.heard_ms > SLEPT_MS;
    if (this.connectsWithSound) return;
    const asked = code === 1000 || code === 1005;
    const wait_ms = asked ? 0 : this.backoff.failed();
    if (!asked) {
      const name = code === FULL ? "full" : this.engines.kind === "page" ? "lost engine" : "lost";
      this.reactions.onState(text(name, { seconds: wait_ms / 1000, detail: reason && ` (${reason})` }));
    }
    this.retry = window.setTimeout(() => this.connect(), wait_ms);
  }

  /** Goes on with another microphone. @param {string} deviceId empty for the default one */
  changeMicrophone(deviceId) {
    this.deviceId = deviceId;
    this.opening = this.opening.then(() => this.reopen());
  }

  async microphoneLost() {
    this.hold(text("microphone gone"));
    await this.capture.stop();
    this.changeMicrophone(this.deviceId);
  }

  /** Ends all sounding notes and opens the chosen microphone; without it the default one, as soon as there is one. */
  async reopen() {
    if (!this.going || (this.capture.context && this.capture.deviceId === this.deviceId)) return;
    await this.capture.stop();
    this.heard_ms = 0;
    this.restart(this.latency_ms);
    while (this.going) {
      for (const deviceId of new Set([this.deviceId, ""])) if (await this.reopened(deviceId)) return;
      await new Promise((go) => setTimeout(go, LOOK_FOR_MICROPHONE_MS));
    }
  }

  /** @param {string} deviceId */
  async reopened(deviceId) {
    try {
      await this.capture.start(deviceId, this.recording?.sampleRate);
    } catch (error) {
      if (error instanceof CaptureError) return false;
      throw error;
    }
    if (!this.going) return this.capture.stop().then(() => true);
    this.hold("");
    this.reactions.onMicrophone();
    this.reactions.onHint(text("microphone now", { name: this.capture.label || text("default microphone") }));
    return true;
  }
}
