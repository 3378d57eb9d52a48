// @ts-check
/** A take: its notes, its sound and its name; how it is downloaded and played back. */

import { midiFile } from "./midi_file.js";
import { Notes } from "./notes.js";

export class Take {
  /** @param {string} name of the files it is downloaded as, without ending */
  constructor(name) {
    this.name = name;
    this.notes = new Notes();
    /** @type {Blob | null} */
    this.audio = null;
    this.audioEnding = "wav";
    this.duration_s = 0;
    this.saved = true;
  }
}

/** A name that is safe as a file's name everywhere. @param {string} name */
export function safeName(name) {
  const stem = name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "-").replace(/^-+|-+$/g, "");
  return stem.slice(0, 80) || "take";
}

/** @param {Date} when */
export function takeName(when) {
  return `take-${when.toISOString().slice(0, 19).replace(/[:T]/g, "-")}`;
}

/** @param {Take} take */
export function saveMidi(take) {
  const bytes = midiFile(take.notes.finished(), take.notes.presses.filter((press) => press.up_s !== null));
  save(new Blob([/** @type {BlobPart} */ (bytes)], { type: "audio/midi" }), `${take.name}.mid`);
  take.saved = true;
}

/** @param {Take} take */
export function saveAudio(take) {
  if (take.audio) save(take.audio, `${take.name}.${take.audioEnding}`);
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Plays the notes of a take along with its sound. */
export class Playback {
  /**
   * @param {HTMLAudioElement} audio
   * @param {import("./output.js").Output} output
   */
  constructor(audio, output) {
    this.audio = audio;
    this.output = output;
    this.url = "";
    /** @type {Map<number, import("./notes.js").Note>} */
    this.lit = new Map();
    this.pedalDown = false;
    for (const what of ["pause", "seeking", "ended", "emptied"]) audio.addEventListener(what, () => this.silence());
  }

  /** @param {Take | null} take */
  load(take) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = take?.audio ? URL.createObjectURL(take.audio) : "";
    if (this.url) this.audio.src = this.url;
    else this.audio.removeAttribute("src");
    this.audio.load();
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  /**
   * The pitches that sound at a time, with their velocities; while playing, what begins and ends is played.
   * @param {Notes} notes
   * @param {number} now_s
   */
  follow(notes, now_s) {
    /** @type {Map<number, import("./notes.js").Note>} */
    const lit = new Map(notes.between(now_s - 1e-3, now_s).map((note) => [note.pitch, note]));
    const pedalDown = notes.pressesBetween(now_s, now_s + 1e-3).length > 0;
    if (this.playing) {
      // Down before keys come up, up after they were struck again: nothing is cut that should ring.
      if (pedalDown && !this.pedalDown) this.output.play({ type: "pedal", down: true, time_s: now_s }, 0);
      for (const [pitch, note] of this.lit) {
        if (lit.get(pitch) !== note) this.output.play({ type: "off", pitch, time_s: now_s }, 0);
      }
      for (const [pitch, note] of lit) {
        if (this.lit.get(pitch) !== note) {
          this.output.play({ type: "on", pitch, velocity: note.velocity, time_s: now_s }, 0);
        }
      }
      if (!pedalDown && this.pedalDown) this.output.play({ type: "pedal", down: false, time_s: now_s }, 0);
    }
    this.lit = lit;
    this.pedalDown = pedalDown;
    return new Map([...lit].map(([pitch, note]) => [pitch, note.velocity]));
  }

  silence() {
    this.output.panic();
    this.lit.clear();
    this.pedalDown = false;
  }
}
