// @ts-check
/**
 * A sampled piano: every sixth key of the Salamander Grand Piano (Alexander Holm, CC BY 3.0); the keys between are
 * played at another rate. The recordings are loaded when the piano is chosen; until then the synthesiser plays.
 */

import { hertz, Synth } from "./synth.js";

/** Names of the recordings without ".mp3", and their keys: A0, D#1, A1 ... A7. @type {[string, number][]} */
const RECORDINGS = Array.from({ length: 15 }, (_, i) => [`${i % 2 ? "Ds" : "A"}${Math.ceil(i / 2)}`, 21 + 6 * i]);
/** Approximate velocity of the recordings. */
const PLAYED = 64;
/** Seconds kept of each recording, and those of the fade at its end. */
const LONGEST_S = 10;
const FADE_S = 1;
/** Above this key a piano has no dampers. */
const LAST_DAMPED = 89;
const RELEASE_S = 0.2;
const UNDAMPED_S = 2;

export class Piano extends Synth {
  /** @param {(error: unknown) => void} onLoaded receives null on success */
  constructor(onLoaded) {
    super();
    /** Sorted, the lowest first. @type {{pitch: number, buffer: AudioBuffer}[]} */
    this.recordings = [];
    void this.load()
      .then(() => null, (error) => error)
      .then((error) => this.context.state === "closed" || onLoaded(error)); // closed: another output was chosen
  }

  async load() {
    this.recordings = await Promise.all(
      RECORDINGS.map(async ([name, pitch]) => {
        const answer = await fetch(`samples/${name}.mp3`);
        if (!answer.ok) throw new Error(`samples/${name}.mp3: ${answer.status}`);
        return { pitch, buffer: this.cut(await this.context.decodeAudioData(await answer.arrayBuffer())) };
      }),
    );
  }

  /** Returns one channel from its onset on, at most LONGEST_S long and faded out. @param {AudioBuffer} sound */
  cut(sound) {
    const all = sound.getChannelData(0);
    const loudest = all.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const first = Math.max(0, all.findIndex((value) => Math.abs(value) > 0.01 * loudest));
    const samples = all.slice(first, first + LONGEST_S * sound.sampleRate);
    const fade = Math.min(samples.length, FADE_S * sound.sampleRate);
    for (let i = 0; i < fade; i++) samples[samples.length - 1 - i] *= i / fade;
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: sound.sampleRate });
    buffer.copyToChannel(samples, 0);
    return buffer;
  }

  /**
   * @param {number} pitch
   * @param {number} velocity
   * @param {number} time
   */
  begin(pitch, velocity, time) {
    if (!this.recordings.length) return super.begin(pitch, velocity, time);
    const near = this.recordings.reduce((best, one) => (Math.abs(one.pitch - pitch) < Math.abs(best.pitch - pitch) ? one : best));
    const playbackRate = 2 ** ((pitch - near.pitch) / 12);
    const source = new AudioBufferSourceNode(this.context, { buffer: near.buffer, playbackRate });
    // Softer notes have fewer overtones too.
    const frequency = Math.min(18_000, hertz(pitch) * (4 + velocity / 4));
    const soft = new BiquadFilterNode(this.context, { type: "lowpass", frequency });
    const gain = new GainNode(this.context, { gain: (velocity / PLAYED) ** 1.5 });
    source.connect(soft).connect(gain).connect(this.out);
    source.start(time);
    return { source, gain };
  }

  /** @param {number} pitch */
  release_s(pitch) {
    return pitch > LAST_DAMPED ? UNDAMPED_S : RELEASE_S;
  }
}
