// @ts-check
/** Mixes the microphone's channels and hands the sound over in blocks of about ten milliseconds. */

const BLOCK_S = 0.01;
/** What the audio thread gives at a time. */
const QUANTUM = 128;

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    const quanta = Math.max(1, Math.round((BLOCK_S * sampleRate) / QUANTUM));
    this.block = new Float32Array(quanta * QUANTUM);
    this.filled = 0;
    this.going = true;
    this.port.onmessage = () => (this.going = false);
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const channels = inputs[0];
    const count = channels.length ? channels[0].length : QUANTUM; // no channels: the track is muted
    for (let i = 0; i < count; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled++] = channels.length ? sum / channels.length : 0;
      if (this.filled === this.block.length) this.hand();
    }
    return this.going;
  }

  hand() {
    const block = this.block;
    this.block = new Float32Array(block.length);
    this.filled = 0;
    this.port.postMessage(block, [block.buffer]);
  }
}

registerProcessor("tap", Tap);
