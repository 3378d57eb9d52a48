// @ts-check
/** Mixes the microphone's channels and posts the sound in blocks of about ten milliseconds. */

import { Downmix } from "./downmix.js";

const BLOCK_S = 0.01;
/** Samples per call of the audio thread. */
const QUANTUM = 128;

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    const quanta = Math.max(1, Math.round((BLOCK_S * sampleRate) / QUANTUM));
    this.block = new Float32Array(quanta * QUANTUM);
    this.filled = 0;
    /** @type {Downmix | null} */
    this.mix = null;
    this.going = true;
    /** One channel, counted from 1, or 0 for all channels mixed. */
    this.channel = 0;
    this.port.onmessage = ({ data }) => {
      if (data === "stop") this.going = false;
      else this.channel = data.channel;
    };
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const channels = inputs[0];
    const count = channels.length ? channels[0].length : QUANTUM; // no channels: the track is muted
    const mono = channels.length ? this.mixed(channels) : null;
    for (let i = 0; i < count; i++) {
      this.block[this.filled++] = mono ? mono[i] : 0;
      if (this.filled === this.block.length) this.hand();
    }
    return this.going;
  }

  /** @param {Float32Array[]} channels */
  mixed(channels) {
    if (this.channel) return channels[Math.min(this.channel, channels.length) - 1];
    if (this.mix?.channels !== channels.length) this.mix = new Downmix(channels.length, sampleRate);
    return this.mix.feed(channels);
  }

  hand() {
    const block = this.block;
    this.block = new Float32Array(block.length);
    this.filled = 0;
    this.port.postMessage(block, [block.buffer]);
  }
}

registerProcessor("tap", Tap);
