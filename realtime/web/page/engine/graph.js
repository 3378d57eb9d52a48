// @ts-check
/**
 * Builds the network's graphs from the served files. Each file has holes, which are filled with the weights (all
 * graphs share them) and the front end's matrix (computed here).
 */

import { groupMatrix } from "./transform.js";

/**
 * @typedef {{at: number, length: number, weights?: number, group?: number}} Hole
 *   a part of the whole graph that its file lacks: position and length in bytes, and either the position in the file
 *   of weights or the group of the front end
 * @typedef {{name: string, source: string, shape: number[], start: number}} State
 * @typedef {import("./decoder.js").Thresholds} Thresholds
 * @typedef {{
 *   file: string, bytes: number, look_ahead: number, thresholds: Thresholds, states: State[], holes: Hole[],
 * }} Skeleton
 * @typedef {{
 *   checkpoint: string, weights: string, has_pedal: boolean, note_ends: string,
 *   front_end: import("./transform.js").FrontEnd, groups: import("./transform.js").Group[],
 *   steps: Record<string, Skeleton>,
 * }} Network the contents of network.json; `steps` by latency in ms
 */

/**
 * Returns the bytes of a whole graph.
 * @param {Network} network
 * @param {Skeleton} skeleton
 * @param {Uint8Array} file the graph without its holes
 * @param {Uint8Array} weights
 */
export function whole(network, skeleton, file, weights) {
  const graph = new Uint8Array(skeleton.bytes);
  let from = 0;
  let to = 0;
  for (const hole of skeleton.holes) {
    const kept = hole.at - to;
    graph.set(file.subarray(from, from + kept), to);
    from += kept;
    graph.set(filling(network, hole, weights), hole.at);
    to = hole.at + hole.length;
  }
  graph.set(file.subarray(from), to);
  return graph;
}

/** @param {Network} network @param {Hole} hole @param {Uint8Array} weights */
function filling(network, hole, weights) {
  if (hole.group === undefined) return weights.subarray(hole.weights, (hole.weights ?? 0) + hole.length);
  const matrix = groupMatrix(network.front_end, network.groups[hole.group]);
  return new Uint8Array(matrix.buffer); // machines are little-endian, as the file is
}
