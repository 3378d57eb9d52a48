// @ts-check
/** A take (notes, sound and name), and its export to files. */

import { midiFile } from "./midi_file.js";
import { Notes } from "./notes.js";

export class Take {
  /** @param {string} name of the exported files, without extension */
  constructor(name) {
    this.id = crypto.randomUUID?.() ?? String(Math.random());
    this.name = name;
    this.created_ms = Date.now();
    this.notes = new Notes();
    /** @type {Blob | null} */
    this.audio = null;
    this.audioEnding = "wav";
    /** Sample rate of the recorded sound in Hz; 0 for a file. */
    this.rate = 0;
    this.duration_s = 0;
  }
}

/** A file's name without its extension, safe on every system. @param {string} name */
export function safeName(name) {
  const stem = name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "");
  return stem.slice(0, 80) || "take";
}

/** Local date and time. @param {Date} when */
export function takeName(when) {
  const local = new Date(when.getTime() - 60_000 * when.getTimezoneOffset());
  return `take-${local.toISOString().slice(0, 19).replace(/[:T]/g, "-")}`;
}

/** @param {Take} take */
export function saveMidi(take) {
  const bytes = midiFile(take.notes.finished(), take.notes.presses.filter((press) => press.up_s !== null));
  save(new Blob([/** @type {BlobPart} */ (bytes)], { type: "audio/midi" }), `${safeName(`${take.name}.x`)}.mid`);
}

/** @param {Take} take */
export function saveAudio(take) {
  if (take.audio) save(take.audio, `${safeName(`${take.name}.x`)}.${take.audioEnding}`);
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
