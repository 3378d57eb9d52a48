// @ts-check
/** Fetches the network's files and onnxruntime-web, and creates sessions from them. */

import { whole } from "./graph.js";
import { Step } from "./step.js";

/** The page's folder, which holds the files; this module is in engine/. */
const ROOT = new URL("../", import.meta.url);

/** @typedef {import("./graph.js").Network} Network */
/** @typedef {(part: string) => Promise<Uint8Array>} Fetch returns the bytes of one of the network's files */

/** Creates one session per latency, when it is first needed. */
export class Engine {
  /**
   * @param {typeof import("onnxruntime-web")} ort
   * @param {Network} network
   * @param {Fetch} fetchPart
   */
  constructor(ort, network, fetchPart) {
    this.ort = ort;
    this.network = network;
    this.fetchPart = fetchPart;
    /** @type {Map<string, Promise<import("./step.js").Session>>} */
    this.sessions = new Map();
  }

  /** A new stream's step. Throws Error for an unknown latency. @param {number} latency_ms @returns {Promise<Step>} */
  async step(latency_ms) {
    const key = String(latency_ms);
    const skeleton = this.network.steps[key];
    if (!skeleton) throw new Error(`expected a latency of ${Object.keys(this.network.steps).join(", ")} ms, got ${key}`);
    if (!this.sessions.has(key)) this.sessions.set(key, this.open(skeleton));
    try {
      return new Step(this.ort, await /** @type {Promise<import("./step.js").Session>} */ (this.sessions.get(key)), skeleton);
    } catch (error) {
      this.sessions.delete(key); // fetching it may succeed the next time
      throw error;
    }
  }

  /** @param {import("./graph.js").Skeleton} skeleton */
  async open(skeleton) {
    const [file, weights] = await Promise.all([skeleton.file, this.network.weights].map(this.fetchPart));
    const graph = whole(this.network, skeleton, file, weights);
    // More optimisation takes half a second and makes no step faster.
    return this.ort.InferenceSession.create(graph, { executionProviders: ["wasm"], graphOptimizationLevel: "basic" });
  }
}

/** Loads the engine, in a worker of the page. @returns {Promise<Engine>} */
export async function loadEngine() {
  const runtime = new URL("runtime/", ROOT);
  /** @type {typeof import("onnxruntime-web")} */
  const ort = await import(new URL("ort.wasm.bundle.min.mjs", runtime).href);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", runtime).href };
  /** @type {Fetch} */
  const fetchPart = async (part) => new Uint8Array(await (await got(new URL(`network/${part}`, ROOT))).arrayBuffer());
  const network = await (await got(new URL("network/network.json", ROOT))).json();
  return new Engine(ort, network, fetchPart);
}

/** @param {URL} url */
async function got(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname}: ${answer.status} ${answer.statusText}`);
  return answer;
}
