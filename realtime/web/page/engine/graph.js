// @ts-check
/**
 * Graphs of the network, put together from what was served: each is a file with holes, and what belongs into
 * them are weights, which all graphs share, and the front end's matrix, which is made here.
 */

import { groupMatrix } from "./transform.js";

/**
 * @typedef {{at: number, length: number, weights?: number, group?: number}} Hole
 *   bytes of the whole graph that are left out of its file; where in the file of weights they lie, or which
 *   group of the front end they are
 * @typedef {{name: string, source: string, shape: number[], start: number}} State
 * @typedef {import("./decoder.js").Thresholds} Thresholds
 * @typedef {{
 *   file: string, bytes: number, look_ahead: number, thresholds: Thresholds, states: State[], holes: Hole[],
 * }} Skeleton
 * @typedef {{
 *   checkpoint: string, weights: string, has_pedal: boolean, note_ends: string,
 *   front_end: import("./transform.js").FrontEnd, groups: import("./transform.js").Group[],
 *   steps: Record<string, Skeleton>,
 * }} Network what network.json says; `steps` by their latency in ms
 */

/**
 * The bytes of a whole graph.
 * @param {Network} network
 * @param {Skeleton} skeleton
 * @param {Uint8Array} file what was left of the graph
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
