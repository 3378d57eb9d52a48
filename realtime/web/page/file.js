// @ts-check
/** Decodes and transcribes a recording that the user dropped or chose, and reports the progress. */

import { Downmix } from "./downmix.js";
import { pause } from "./engine/pause.js";
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
/** Samples mixed at once: a small part of a second's work, so that the page stays usable. */
const PIECE = 1 << 18;

/** The recording cannot be transcribed. The message is shown to the user. */
export class FileError extends Error {}

/** @typedef {{samples: Float32Array, rate: number}} Sound mono */

/** Throws FileError, also when aborted. @param {File} file @param {AbortSignal} signal @returns {Promise<Sound>} */
export async function decode(file, signal) {
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
  const mix = new Downmix(channels.length, rate);
  const samples = new Float32Array(sound.length);
  for (let first = 0; first < samples.length; first += PIECE) {
    samples.set(mix.feed(channels.map((channel) => channel.subarray(first, first + PIECE))), first);
    await pause();
    if (signal.aborted) throw new FileError(text("cancelled"));
  }
  return { samples, rate };
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
    let next = () => {};
    const link = engines.connect(() => wish, {
      onReady: () => void sendAll(link, samples, (go) => (next = go)),
      onEvents,
      onHeard: (progress) => {
        next();
        onProgress(Math.min(1, (progress.time_s * rate) / samples.length));
      },
      onClose: (code, reason) => {
        if (code === 1000 && !signal.aborted) resolve();
        else reject(new FileError(signal.aborted ? text("cancelled") : sentence(engines.kind, reason)));
      },
    });
    signal.addEventListener("abort", () => link.close());
  });
}

/** @param {import("./engines.js").Kind} kind @param {string} reason */
function sentence(kind, reason) {
  if (kind === "page") return text("file failed", { reason });
  return reason ? text("file refused", { reason }) : text("file lost");
}

/**
 * @param {import("./link.js").Link | import("./own_link.js").OwnLink} link
 * @param {Float32Array} samples
 * @param {(go: () => void) => void} onNext calls `go` when more sound is computed: timers of hidden pages are slow
 */
async function sendAll(link, samples, onNext) {
  for (let first = 0; first < samples.length && link.open; first += BLOCK) {
    while (link.buffered > MOST_BUFFERED && link.open) {
      await new Promise((go) => {
        onNext(() => go(null));
        setTimeout(go, LOOK_MS);
      });
    }
    link.deliver(samples.slice(first, first + BLOCK));
  }
  if (link.open) link.end();
}
