// @ts-check
/** Sends notes to a MIDI port of the browser (WebMIDI). */

/** Scheduled events may still be sent this long after a panic. */
const SCHEDULED_MS = 150;

export class MidiOut {
  /** @param {MIDIOutput} port */
  constructor(port) {
    this.port = port;
  }

  /** @param {number} pitch @param {number} velocity @param {number} at_ms */
  on(pitch, velocity, at_ms) {
    this.send([0x90, pitch, velocity], at_ms);
  }

  /** @param {number} pitch @param {number} at_ms */
  off(pitch, at_ms) {
    this.send([0x80, pitch, 64], at_ms);
  }

  /** @param {boolean} down @param {number} at_ms */
  pedal(down, at_ms) {
    this.send([0xb0, 64, down ? 127 : 0], at_ms);
  }

  /** Ends every note, sounding or not: 88 note offs, the pedal up, then "all notes off". */
  panic() {
    for (const at_ms of [performance.now(), performance.now() + SCHEDULED_MS]) {
      for (let pitch = 21; pitch <= 108; pitch++) this.send([0x80, pitch, 64], at_ms);
      this.send([0xb0, 64, 0], at_ms);
      this.send([0xb0, 123, 0], at_ms);
    }
  }

  close() {
    this.panic();
    // The port stays open: some browsers lose the latest messages when it closes.
  }

  /** @param {number[]} bytes @param {number} at_ms */
  send(bytes, at_ms) {
    if (this.port.state === "connected") this.port.send(bytes, at_ms);
  }
}

/**
 * Asks for MIDI access; null if the browser has no MIDI or the user refuses.
 * @returns {Promise<MIDIAccess | null>}
 */
export async function requestMidi() {
  try {
    return (await navigator.requestMIDIAccess?.()) ?? null;
  } catch {
    return null;
  }
}
