// @ts-check
/** The microphone: blocks of mono samples at the device's rate, untouched by the browser's call processing. */

/** A microphone that cannot be had; the message is for people. */
export class CaptureError extends Error {}

/** @type {Record<string, string>} */
const WHY = {
  NotAllowedError:
    "The browser may not use the microphone. Allow it in the site's settings (the symbol beside the address), then press Listen again.",
  NotFoundError: "No microphone was found. Plug one in, then press Listen again.",
  NotReadableError: "The microphone does not answer: another program may hold it. Close that one, then press Listen again.",
  OverconstrainedError: "That microphone is not there any more. Choose another one.",
};

export class Capture {
  /**
   * @param {(samples: Float32Array) => void} onBlock
   * @param {(why: string) => void} onLost the device went away
   */
  constructor(onBlock, onLost) {
    this.onBlock = onBlock;
    this.onLost = onLost;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {AudioWorkletNode | null} */
    this.tap = null;
  }

  /** Samples a second; known once started. */
  get sampleRate() {
    return this.context ? this.context.sampleRate : 0;
  }

  /**
   * @param {string} deviceId empty for the usual one
   * @throws {CaptureError}
   */
  async start(deviceId) {
    if (!window.isSecureContext || !navigator.mediaDevices) {
      throw new CaptureError(
        "Browsers give microphones to https:// and to localhost only, and this page is neither. " +
          "Start the server with --certificate and --key, or reach it through a tunnel as localhost. " +
          "Recordings can be dropped here all the same.",
      );
    }
    try {
      await this.open(deviceId);
    } catch (error) {
      await this.stop();
      const name = error instanceof Error ? error.name : "";
      throw new CaptureError(WHY[name] ?? `The microphone could not be opened: ${error}`);
    }
  }

  /** @param {string} deviceId */
  async open(deviceId) {
    /** @type {MediaTrackConstraints} */
    const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    if (deviceId) wanted.deviceId = { exact: deviceId };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    const track = this.stream.getAudioTracks()[0];
    const sampleRate = track.getSettings().sampleRate;
    this.context = new AudioContext({ latencyHint: "interactive", ...(sampleRate ? { sampleRate } : {}) });
    await this.context.audioWorklet.addModule("/page/worklet.js");
    this.tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0 });
    this.tap.port.onmessage = (message) => this.onBlock(message.data);
    this.context.createMediaStreamSource(this.stream).connect(this.tap);
    track.onended = () => this.onLost("The microphone has gone. Plug it in, then press Listen again.");
    await this.context.resume();
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
    if (context && context.state !== "closed") await context.close();
  }
}

/** The microphones there are; their names are known only once one was allowed. */
export async function microphones() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

/**
 * Peak in dB below full scale.
 * @param {Float32Array} samples
 */
export function levelDb(samples) {
  let peak = 1e-6;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return 20 * Math.log10(peak);
}
