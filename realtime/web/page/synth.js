// @ts-check
/**
 * A small synthesiser that plays the detected notes where there is no MIDI. While the pedal is down, a voice rings
 * on after its note off, until the pedal is released or the key is played again.
 */

const MOST_VOICES = 48;
const RELEASE_S = 0.09;

/** A sound source and its volume. @typedef {{source: AudioScheduledSourceNode, gain: GainNode}} Voice */

/** A key's frequency in Hz. @param {number} pitch */
export const hertz = (pitch) => 440 * 2 ** ((pitch - 69) / 12);

export class Synth {
  constructor() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    const compressor = new DynamicsCompressorNode(this.context);
    this.out = new GainNode(this.context, { gain: 0.35 });
    this.out.connect(compressor).connect(this.context.destination);
    const partials = Float32Array.from({ length: 9 }, (_, h) => (h ? 1 / h ** 1.6 : 0));
    this.wave = this.context.createPeriodicWave(new Float32Array(9), partials);
    /** Voices by pitch. `released_ms`: time of the note off of a voice that rings on, or null. */
    /** @type {Map<number, Voice & {released_ms: number | null}>} */
    this.voices = new Map();
    this.pedalDown = false;
    this.resume();
  }

  /** Starts its audio, again if the system suspended it. */
  resume() {
    this.context.resume().catch(() => {}); // the next press tries again
  }

  /** Converts a time of the page's clock to the audio context's clock, in seconds. @param {number} at_ms */
  timeOf(at_ms) {
    return this.context.currentTime + Math.max(0, (at_ms - performance.now()) / 1000);
  }

  /** @param {number} pitch @param {number} velocity @param {number} at_ms */
  on(pitch, velocity, at_ms) {
    this.end(pitch, at_ms);
    if (this.voices.size >= MOST_VOICES) this.end(this.oldest(), at_ms);
    this.voices.set(pitch, { ...this.begin(pitch, velocity, this.timeOf(at_ms)), released_ms: null });
  }

  /**
   * Starts a voice at a time of the audio context's clock.
   * @param {number} pitch
   * @param {number} velocity
   * @param {number} time
   * @returns {Voice}
   */
  begin(pitch, velocity, time) {
    const hz = hertz(pitch);
    const gain = new GainNode(this.context, { gain: 0 });
    const soft = new BiquadFilterNode(this.context, { type: "lowpass", frequency: hz * (2 + velocity / 16) });
    const oscillator = new OscillatorNode(this.context, { frequency: hz, periodicWave: this.wave });
    oscillator.connect(soft).connect(gain).connect(this.out);
    gain.gain.setValueAtTime(0, time);
    gain.gain.linearRampToValueAtTime((velocity / 127) ** 1.5, time + 0.004);
    gain.gain.setTargetAtTime(0.0001, time + 0.01, 1.6 - (1.2 * (pitch - 21)) / 87);
    oscillator.start(time);
    return { source: oscillator, gain };
  }

  /** Seconds that a voice takes to end. @param {number} _pitch */
  release_s(_pitch) {
    return RELEASE_S;
  }

  /** @param {number} pitch @param {number} at_ms */
  off(pitch, at_ms) {
    const voice = this.voices.get(pitch);
    if (voice && this.pedalDown) voice.released_ms ??= at_ms;
    else this.end(pitch, at_ms);
  }

  /** @param {boolean} down @param {number} at_ms */
  pedal(down, at_ms) {
    this.pedalDown = down;
    if (down) return;
    for (const [pitch, voice] of [...this.voices]) {
      if (voice.released_ms !== null) this.end(pitch, Math.max(voice.released_ms, at_ms));
    }
  }

  /** Pitch of the voice to end first: the oldest one whose key is up, otherwise the oldest. */
  oldest() {
    const [first] = this.voices.keys();
    for (const [pitch, voice] of this.voices) if (voice.released_ms !== null) return pitch;
    return first;
  }

  /** @param {number} pitch @param {number} at_ms */
  end(pitch, at_ms) {
    const voice = this.voices.get(pitch);
    if (!voice) return;
    this.voices.delete(pitch);
    const time = this.timeOf(at_ms);
    voice.gain.gain.cancelScheduledValues(time);
    voice.gain.gain.setTargetAtTime(0, time, this.release_s(pitch) / 3);
    voice.source.stop(time + 2 * this.release_s(pitch));
  }

  panic() {
    this.pedalDown = false;
    for (const pitch of [...this.voices.keys()]) this.end(pitch, performance.now());
  }

  close() {
    this.panic();
    void this.context.close();
  }
}
