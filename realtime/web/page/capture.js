// @ts-check
/** The microphone: blocks of mono samples at one rate, untouched by the browser's call processing. */

import { text } from "./text.js";

/** The microphone cannot be opened. The message is shown to the user. */
export class CaptureError extends Error {}

/** @type {Record<string, string>} */
const WHY = {
  NotAllowedError: "mic refused", NotFoundError: "mic none", NotReadableError: "mic busy", OverconstrainedError: "mic other",
};
/** Channels to request; the browser opens as many as the device has. */
const MOST_CHANNELS = 8;
/** In Hz. Lower rates are too low for a piano: the browser then resamples to its default rate. */
const LOWEST_RATE = 32_000;
/** Without a sound output, browsers never start their audio and report no error. */
const STARTS_WITHIN_MS = 10_000;

export class Capture {
  /**
   * @param {(samples: Float32Array) => void} onBlock
   * @param {() => void} onLost the device was disconnected
   * @param {(held: boolean) => void} onHeld the browser suspended its audio (true) or resumed it (false)
   */
  constructor(onBlock, onLost, onHeld) {
    this.onBlock = onBlock;
    this.onLost = onLost;
    this.onHeld = onHeld;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {AudioWorkletNode | null} */
    this.tap = null;
    this.channel = 0;
    this.channels = 0;
    /** Id of the open microphone, empty for the default one, and its name. */
    this.deviceId = this.label = "";
  }

  /** In Hz; 0 before the start. */
  get sampleRate() {
    return this.context ? this.context.sampleRate : 0;
  }

  /**
   * @param {string} deviceId empty for the default microphone
   * @param {number} [rate] sample rate of the take to continue, in Hz
   * @throws {CaptureError}
   */
  async start(deviceId, rate) {
    if (!window.isSecureContext || !navigator.mediaDevices) throw new CaptureError(text("no https"));
    try {
      await this.open(deviceId, rate);
    } catch (error) {
      await this.stop();
      if (error instanceof CaptureError) throw error;
      const name = error instanceof Error ? error.name : "";
      throw new CaptureError(WHY[name] ? text(WHY[name]) : text("mic failed", { reason: String(error) }));
    }
  }

  /** @param {string} deviceId @param {number} [rate] */
  async open(deviceId, rate) {
    /** @type {MediaTrackConstraints} */
    const wanted = {
      echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: { ideal: MOST_CHANNELS },
    };
    if (deviceId) wanted.deviceId = { exact: deviceId };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    const track = this.stream.getAudioTracks()[0];
    const { sampleRate: own = 0, channelCount = 1 } = track.getSettings();
    this.channels = channelCount;
    this.deviceId = deviceId;
    this.label = track.label;
    const sampleRate = rate ?? (own >= LOWEST_RATE ? own : undefined);
    this.context = new AudioContext({ latencyHint: "interactive", ...(sampleRate ? { sampleRate } : {}) });
    await this.context.audioWorklet.addModule("worklet.js");
    this.tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0 });
    this.tap.port.onmessage = (message) => this.onBlock(message.data);
    this.choose(this.channel);
    this.context.createMediaStreamSource(this.stream).connect(this.tap);
    track.onended = () => this.onLost();
    await started(this.context);
    this.context.onstatechange = () => this.context && this.onHeld(this.context.state !== "running");
  }

  /** Selects one channel, counted from 1, or 0 for all channels mixed. @param {number} channel */
  choose(channel) {
    this.channel = channel;
    this.tap?.port.postMessage({ channel });
  }

  async resume() {
    await this.context?.resume();
  }

  async stop() {
    const { context, stream, tap } = this;
    this.context = this.stream = this.tap = null;
    if (tap) {
      tap.port.onmessage = null;
      tap.port.postMessage("stop");
    }
    for (const track of stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (context) context.onstatechange = null;
    if (context && context.state !== "closed") await context.close();
  }
}

/** @param {AudioContext} context @throws {CaptureError} */
async function started(context) {
  /** @type {number | undefined} */
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new CaptureError(text("no sound output"))), STARTS_WITHIN_MS);
  });
  await Promise.race([context.resume(), late]).finally(() => clearTimeout(timer));
}

/** Lists the microphones. Their names are empty until the user has allowed one. */
export async function microphones() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/** Peak level in dBFS, at least -120. @param {Float32Array} samples */
export function levelDb(samples) {
  let peak = 1e-6;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return 20 * Math.log10(peak);
}
