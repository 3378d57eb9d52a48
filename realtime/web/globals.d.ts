/** Declarations for the audio thread and the service worker that TypeScript's library for pages lacks. */

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
  constructor();
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
declare const sampleRate: number;
declare const BUILD: string;
declare const FILES: string[];
