// @ts-check
/** A recording that was dropped on the page: decoded here, transcribed by the server, with progress. */

import { Downmix } from "./downmix.js";
import { Link } from "./link.js";

/** The network hears nothing above: less to send, and any rate will do. */
const RATE = 16000;
const BLOCK = RATE / 2;
/** Bytes that may wait in the browser. */
const MOST_BUFFERED = 1 << 18;
const LOOK_MS = 20;
/** The most accurate: nobody waits for single notes of a recording. */
const LATENCY_MS = 212;
const MOST_BYTES = 2 ** 30;

/** A recording that cannot be transcribed; the message is for people. */
export class FileError extends Error {}

/**
 * Mono samples at RATE.
 * @param {File} file
 * @returns {Promise<Float32Array>}
 */
export async function decode(file) {
  if (file.size > MOST_BYTES) throw new FileError("That file is larger than 1 GB. Use hppnet transcribe for it.");
  if (file.size === 0) throw new FileError("That file is empty.");
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new FileError("This browser cannot read that file as sound. Try wav, mp3, flac, ogg or m4a.");
  }
  const channels = Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel));
  return new Downmix(channels.length, RATE).feed(channels);
}

/**
 * Resolves when all notes have come. Rejects with a FileError, also when aborted.
 * @param {Float32Array} samples at RATE
 * @param {string} token
 * @param {(events: import("./notes.js").NoteEvent[]) => void} onEvents
 * @param {(share: number) => void} onProgress 0 to 1
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function transcribe(samples, token, onEvents, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const wish = { sample_rate: RATE, latency_ms: LATENCY_MS, mode: /** @type {const} */ ("file"), start_s: 0, token };
    const link = new Link(() => wish, {
      onReady: () => void sendAll(link, samples),
      onEvents,
      onHeard: (heard) => onProgress(Math.min(1, (heard.time_s * RATE) / samples.length)),
      onClose: (code, reason) => {
        if (code === 1000 && !signal.aborted) resolve();
        else reject(new FileError(signal.aborted ? "Cancelled." : sentence(reason)));
      },
    });
    signal.addEventListener("abort", () => link.close());
  });
}

/** @param {string} reason */
const sentence = (reason) =>
  reason ? `The server says: ${reason}.` : "The connection to the server was lost. Drop the file again.";

/** @param {Link} link @param {Float32Array} samples */
async function sendAll(link, samples) {
  for (let first = 0; first < samples.length && link.open; first += BLOCK) {
    while (link.buffered > MOST_BUFFERED && link.open) await new Promise((go) => setTimeout(go, LOOK_MS));
    link.socket.send(samples.subarray(first, first + BLOCK));
  }
  link.end();
}

/** Seconds of samples. @param {Float32Array} samples */
export const duration_s = (samples) => samples.length / RATE;
