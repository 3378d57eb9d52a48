// @ts-check
/** A live stream: receives sound in blocks of any size and returns events, as model/stream.py does. */

import { Decoder } from "./decoder.js";
import { Frames } from "./frames.js";
import { FRAME_S } from "./timebase.js";

/** @typedef {import("../notes.js").NoteEvent} NoteEvent */

export class EngineFault extends Error {}

export class Stream {
  /**
   * @param {import("./step.js").Step} step
   * @param {import("./graph.js").Network} network
   * @param {number} rate Hz
   */
  constructor(step, network, rate) {
    this.step = step;
    this.network = network;
    this.rate = rate;
    /** Called with the duration of each step. @type {(ms: number) => void} */
    this.onStep = () => {};
    this.frames = new Frames(network.front_end, rate);
    this.decoder = new Decoder(step.thresholds);
    this.decoded = 0;
  }

  /** Algorithmic latency in seconds: from a frame's centre until its onset is returned. */
  get latency_s() {
    return this.frames.latency_s + (this.step.look_ahead + 1) * FRAME_S;
  }

  /** Starts anew: the next sample is at 0 s. */
  reset() {
    this.frames = new Frames(this.network.front_end, this.rate);
    this.decoder = new Decoder(this.step.thresholds);
    this.step.reset();
    this.decoded = 0;
  }

  /**
   * Returns the events that a block of mono samples completes. Throws EngineFault if the output holds NaN or infinity.
   * @param {Float32Array} block
   */
  async feed(block) {
    this.frames.keep(block);
    return this.compute(Infinity);
  }

  /** Returns the pending events, as if silence followed, and ends all notes and the pedal. Call `reset` next. */
  async flush() {
    this.frames.finish(this.step.look_ahead);
    const events = await this.compute(this.frames.total);
    return [...events, ...this.decoder.flush()];
  }

  /** @param {number} total number of frames after which none is decoded */
  async compute(total) {
    /** @type {NoteEvent[]} */
    const events = [];
    for (let samples = this.frames.next(); samples; samples = this.frames.next()) {
      const began_ms = performance.now();
      const found = await this.step.run(samples);
      this.onStep(performance.now() - began_ms);
      if (!found || this.decoded >= total) continue;
      if (!found.keys.every(Number.isFinite)) throw new EngineFault("the network's probabilities are not numbers");
      this.decoded += 1;
      events.push(...this.decoder.feed(found.keys, found.pedal));
    }
    return events;
  }
}
