// @ts-check
/** Decodes and transcribes a recording that the user dropped or chose, and reports the progress. */

import { Downmix } from "./downmix.js";
import { rateOf } from "./file_rate.js";
import { text } from "./text.js";

/** Samples in a message; the server limits the size of messages. */
const BLOCK = 16_384;
/** Bytes that may wait for the connection or the engine. */
const MOST_BUFFERED = 1 << 18;
const LOOK_MS = 20;
/** The most accurate latency: no note of a recording needs to come soon. */
export const FILE_LATENCY_MS = 212;
const MOST_BYTES = 2 ** 30;

/** The recording cannot be transcribed. The message is shown to the user. */
export class FileError extends Error {}

/** @typedef {{samples: Float32Array, rate: number}} Sound mono */

/** @param {File} file @returns {Promise<Sound>} */
export async function decode(file) {
  if (file.size > MOST_BYTES) throw new FileError(text("file large"));
  if (file.size === 0) throw new FileError(text("file empty"));
  let rate, sound;
  try {
    const content = await file.arrayBuffer(); // fails for a folder, or a file that is gone
    rate = rateOf(content);
    sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
  } catch {
    throw new FileError(text("file unreadable"));
  }
  const channels = Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel));
  return { samples: new Downmix(channels.length, rate).feed(channels), rate };
}

/**
 * Resolves when all notes have come. Rejects with a FileError, also when aborted.
 * @param {import("./engines.js").Engines} engines
 * @param {Sound} sound
 * @param {string} token
 * @param {number} latency_ms
 * @param {(events: import("./notes.js").NoteEvent[]) => void} onEvents
 * @param {(share: number) => void} onProgress 0 to 1
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function transcribe(engines, { samples, rate }, token, latency_ms, onEvents, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const wish = { sample_rate: rate, latency_ms, mode: /** @type {const} */ ("file"), start_s: 0, token };
    const link = engines.connect(() => wish, {
      onReady: () => void sendAll(link, samples),
      onEvents,
      onHeard: (progress) => onProgress(Math.min(1, (progress.time_s * rate) / samples.length)),
      onClose: (code, reason) => {
        if (code === 1000 && !signal.aborted) resolve();
        else reject(new FileError(signal.aborted ? text("cancelled") : sentence(reason)));
      },
    });
    signal.addEventListener("abort", () => link.close());
  });
}

/** @param {string} reason */
const sentence = (reason) => (reason ? text("file refused", { reason }) : text("file lost"));

/** @param {import("./link.js").Link | import("./own_link.js").OwnLink} link @param {Float32Array} samples */
async function sendAll(link, samples) {
  for (let first = 0; first < samples.length && link.open; first += BLOCK) {
    while (link.buffered > MOST_BUFFERED && link.open) await new Promise((go) => setTimeout(go, LOOK_MS));
    link.deliver(samples.slice(first, first + BLOCK));
  }
  if (link.open) link.end();
}
