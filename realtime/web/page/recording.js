// @ts-check
/** Keeps the microphone's sound as a 16-bit WAV file. */

/** Samples in a chunk; the browser may move full chunks out of memory. */
const CHUNK = 1 << 19;
const HEADER_BYTES = 44;

export class Recording {
  /** @param {number} sampleRate */
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
    this.samples = 0;
    /** @type {Blob[]} */
    this.chunks = [];
    this.chunk = new Int16Array(CHUNK);
    this.filled = 0;
  }

  /** @param {Float32Array} block */
  add(block) {
    for (const sample of block) {
      this.chunk[this.filled++] = Math.round(32767 * Math.max(-1, Math.min(1, sample)));
      if (this.filled === CHUNK) this.put();
    }
    this.samples += block.length;
  }

  get duration_s() {
    return this.samples / this.sampleRate;
  }

  /** Returns a WAV file of all samples added so far. */
  blob() {
    this.put();
    return wav(this.chunks, this.sampleRate);
  }

  put() {
    if (this.filled) this.chunks.push(new Blob([this.chunk.slice(0, this.filled)])); // machines are little-endian
    this.filled = 0;
  }
}

/** Returns a WAV file of 16-bit samples, mono. @param {Blob[]} chunks @param {number} sampleRate */
export function wav(chunks, sampleRate) {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.size, 0);
  return new Blob([header(bytes / 2, sampleRate), ...chunks], { type: "audio/wav" });
}

/** @param {number} samples @param {number} sampleRate */
function header(samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  /** @param {number} at @param {string} text */
  const ascii = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + 2 * samples, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  ascii(36, "data");
  view.setUint32(40, 2 * samples, true);
  return view.buffer;
}
