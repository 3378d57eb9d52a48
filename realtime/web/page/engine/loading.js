// @ts-check
/** Fetches what the engine needs: the network's files and onnxruntime-web; makes sessions of them. */

import { whole } from "./graph.js";
import { Step } from "./step.js";

/** Of the page, where the files lie; this module is in engine/. */
const ROOT = new URL("../", import.meta.url);

/** @typedef {import("./graph.js").Network} Network */
/** @typedef {(part: string) => Promise<Uint8Array>} Fetch gives the bytes of a file of the network */

/** Sessions by latency, each made once. */
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

  /** Steps of a new stream. @param {number} latency_ms @returns {Promise<Step>} */
  async step(latency_ms) {
    const key = String(latency_ms);
    const skeleton = this.network.steps[key];
    if (!skeleton) throw new Error(`expected a latency of ${Object.keys(this.network.steps).join(", ")} ms, got ${key}`);
    if (!this.sessions.has(key)) this.sessions.set(key, this.open(skeleton));
    try {
      return new Step(this.ort, await /** @type {Promise<import("./step.js").Session>} */ (this.sessions.get(key)), skeleton);
    } catch (error) {
      this.sessions.delete(key); // a network that failed may come back
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

/** In a worker of the page. @returns {Promise<Engine>} */
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
