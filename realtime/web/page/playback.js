// @ts-check
/** Plays a take: its sound and, on the chosen output, its notes. */

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
    // A hidden page draws nothing, so `follow` would not end the notes that sound.
    document.addEventListener("visibilitychange", () => document.hidden && this.playing && this.silence());
  }

  /** @param {import("./take.js").Take | null} take */
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
   * Returns the pitches that sound at a time, with their velocities. While playing, sends changes to the output.
   * @param {import("./notes.js").Notes} notes
   * @param {number} now_s
   */
  follow(notes, now_s) {
    /** @type {Map<number, import("./notes.js").Note>} */
    const lit = new Map(notes.between(now_s - 1e-3, now_s).map((note) => [note.pitch, note]));
    const pedalDown = notes.pressesBetween(now_s, now_s + 1e-3).length > 0;
    if (this.playing) {
      // Pedal down before the note offs, pedal up after the note ons: no note that rings on is cut off.
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

  /** Ends what `follow` has begun, and no more: moving the slider would flood a MIDI port. */
  silence() {
    for (const pitch of this.lit.keys()) this.output.play({ type: "off", pitch, time_s: 0 }, 0);
    if (this.pedalDown) this.output.play({ type: "pedal", down: false, time_s: 0 }, 0);
    this.lit.clear();
    this.pedalDown = false;
  }
}
