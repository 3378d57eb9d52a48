// @ts-check
/** The microphone: blocks of mono samples at one rate, untouched by the browser's call processing. */

import { text } from "./text.js";

/** A microphone that cannot be had; the message is for people. */
export class CaptureError extends Error {}

/** @type {Record<string, string>} */
const WHY = {
  NotAllowedError: "mic refused", NotFoundError: "mic none", NotReadableError: "mic busy", OverconstrainedError: "mic other",
};
/** Channels that are asked for; the browser gives as many as the device has. */
const MOST_CHANNELS = 8;
/** Lower rates hold less than a piano plays: the browser converts what comes. */
const LOWEST_RATE = 32_000;
/** Browsers without a sound output never start their audio, and never say so. */
const STARTS_WITHIN_MS = 10_000;

export class Capture {
  /**
   * @param {(samples: Float32Array) => void} onBlock
   * @param {() => void} onLost the device went away
   * @param {(held: boolean) => void} onHeld the browser holds the sound back, or no longer
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
  }

  /** Samples a second; known once started. */
  get sampleRate() {
    return this.context ? this.context.sampleRate : 0;
  }

  /**
   * @param {string} deviceId empty for the default one
   * @param {number} [rate] of the take that goes on
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

  /** One channel alone, from 1; 0 for all of them. @param {number} channel */
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

/** The microphones there are; their names are known only once one was allowed. */
export async function microphones() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/** Peak in dB below full scale. @param {Float32Array} samples */
export function levelDb(samples) {
  let peak = 1e-6;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return 20 * Math.log10(peak);
}
