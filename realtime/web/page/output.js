// @ts-check
/** Where the notes are played: nowhere, on a synthesiser, a sampled piano or a MIDI port. Ends what it began. */

import { showHint } from "./dom.js";
import { MidiOut, requestMidi } from "./midi_out.js";
import { Piano } from "./piano.js";
import { Synth } from "./synth.js";
import { text } from "./text.js";

/** Beyond the network's latency: what network, computing and drawing may take, so that the rhythm stays. */
export const ALLOWANCE_MS = 50;

export class Output {
  /**
   * @param {HTMLSelectElement} picker
   * @param {(line: string) => void} onProblem
   */
  constructor(picker, onProblem) {
    this.picker = picker;
    this.onProblem = onProblem;
    /** @type {MIDIAccess | null} */
    this.access = null;
    /** @type {Synth | MidiOut | null} */
    this.player = null;
    this.pedalDown = false;
    for (const kind of ["silent", "synth"]) picker.add(new Option(text(`output ${kind}`), kind));
    if ("requestMIDIAccess" in navigator) picker.add(new Option(text("output midi"), "midi"));
    picker.onchange = () => this.choose(picker.value);
  }

  /** @param {string} value */
  async choose(value) {
    this.player?.close();
    this.player = null;
    if (value === "synth") this.begin(new Synth());
    else if (value === "piano") this.begin(this.piano());
    else if (value === "midi") await this.askForMidi();
    else if (value.startsWith("port:")) {
      const port = this.access?.outputs.get(value.slice(5));
      if (port) this.begin(new MidiOut(port));
      else this.onProblem(text("midi gone choose"));
    }
  }

  /** Where the page was put up with its recordings. */
  offerPiano() {
    const after = /** @type {HTMLOptionElement} */ (this.picker.querySelector("option[value=synth]"));
    after.after(new Option(text("output piano"), "piano"));
  }

  piano() {
    showHint(text("piano loading"));
    return new Piano((error) => showHint(text(error ? "piano missing" : "piano loaded")));
  }

  /** A player that is chosen while the pedal is down has it down. @param {Synth | MidiOut} player */
  begin(player) {
    this.player = player;
    if (this.pedalDown) player.pedal(true, 0);
  }

  async askForMidi() {
    this.access = await requestMidi();
    if (!this.access) {
      this.onProblem(text("midi refused"));
      this.picker.value = "silent";
      return;
    }
    this.access.onstatechange = () => this.listPorts();
    this.listPorts();
    const first = [...this.access.outputs.keys()][0];
    if (first === undefined) {
      this.onProblem(text("midi none"));
      this.picker.value = "silent";
      return;
    }
    this.picker.value = `port:${first}`;
    await this.choose(this.picker.value);
  }

  /** The ports as they are now; the one in use stays chosen, or playing stops where it has gone. */
  listPorts() {
    const chosen = this.picker.value;
    for (const option of [...this.picker.options]) if (option.value.startsWith("port:")) option.remove();
    for (const port of this.access?.outputs.values() ?? []) {
      this.picker.add(new Option(port.name ?? text("midi port"), `port:${port.id}`));
    }
    this.picker.value = chosen;
    if (this.picker.value !== chosen) {
      this.picker.value = "silent";
      this.player = null;
      this.onProblem(text("midi gone"));
    }
  }

  /**
   * @param {import("./notes.js").NoteEvent} event
   * @param {number} at_ms when, by the page's clock; the past means now
   */
  play(event, at_ms) {
    if (event.type === "pedal") {
      this.pedalDown = event.down;
      this.player?.pedal(event.down, at_ms);
    } else if (event.type === "on") this.player?.on(event.pitch, event.velocity ?? 64, at_ms);
    else this.player?.off(event.pitch, at_ms);
  }

  /** Ends every sounding note, and lets the pedal up. */
  panic() {
    this.pedalDown = false;
    this.player?.panic();
  }
}
