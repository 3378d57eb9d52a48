// @ts-check
/** Plays notes on the chosen output: none, a synthesiser, a sampled piano or a MIDI port. Ends them on a change. */

import { showHint } from "./dom.js";
import { MidiOut, requestMidi } from "./midi_out.js";
import { Piano } from "./piano.js";
import { Synth } from "./synth.js";
import { text } from "./text.js";

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

  /** Adds the sampled piano to the picker; its recordings must be served. */
  offerPiano() {
    const after = /** @type {HTMLOptionElement} */ (this.picker.querySelector("option[value=synth]"));
    after.after(new Option(text("output piano"), "piano"));
  }

  piano() {
    showHint(text("piano loading"));
    return new Piano((error) => showHint(text(error ? "piano missing" : "piano loaded")));
  }

  /** Starts a player, with its pedal down if the pedal is down now. @param {Synth | MidiOut} player */
  begin(player) {
    this.player = player;
    if (this.pedalDown) player.pedal(true, 0);
  }

  /** Starts the synthesiser's audio again if the system suspended it. */
  resume() {
    if (this.player instanceof Synth) this.player.resume();
  }

  async askForMidi() {
    this.access = await requestMidi();
    if (this.picker.value !== "midi") return; // another output was chosen meanwhile
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

  /** Lists the current ports. The chosen port stays chosen; if it is gone, playing stops. */
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
   * @param {number} at_ms time to play it, by the page's clock; a past time means now
   */
  play(event, at_ms) {
    if (event.type === "pedal") {
      this.pedalDown = event.down;
      this.player?.pedal(event.down, at_ms);
    } else if (event.type === "on") this.player?.on(event.pitch, event.velocity ?? 64, at_ms);
    else this.player?.off(event.pitch, at_ms);
  }

  /** Ends every sounding note and releases the pedal. */
  panic() {
    this.pedalDown = false;
    this.player?.panic();
  }
}
