/** What the audio thread and the service worker know, and TypeScript's library for pages does not. */

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
  constructor();
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
declare const sampleRate: number;
declare const BUILD: string;
declare const FILES: string[];
