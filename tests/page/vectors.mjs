/** What tests/page_vectors.py wrote, in the folder that VECTORS names. */

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";

const folder = process.env.VECTORS ?? "";
const found = JSON.parse(fs.readFileSync(path.join(folder, "vectors.json"), "utf8"));

export default found;

/** @param {string} name */
export function bytes(name) {
  return new Uint8Array(fs.readFileSync(path.join(folder, name)));
}

/** @param {string} name */
export function floats(name) {
  return new Float32Array(bytes(name).buffer);
}

export const network = () => JSON.parse(Buffer.from(bytes("network.json")).toString());

/** The same events, times to a millisecond. */
export function sameEvents(events, wanted, within_s = 0.001) {
  const exact = (list) => list.map(({ time_s, ...rest }) => rest);
  assert.deepEqual(exact(events), exact(wanted));
  events.forEach((event, i) => assert.ok(Math.abs(event.time_s - wanted[i].time_s) <= within_s, `event ${i}`));
}
