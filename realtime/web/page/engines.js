// @ts-check
/** Selects where the network runs: on the page's server or in this browser. */

import { Link, NOT_ALLOWED } from "./link.js";
import { OwnEngine } from "./own_link.js";

/**
 * @typedef {"page" | "server"} Kind
 * @typedef {{
 *   engines: Kind[], engine: Kind, version: string, checkpoint: string, licence: string,
 *   latencies: {ms: number, name: string}[], default_latency_ms: number, token_required: boolean, offline: boolean, samples: boolean,
 * }} About
 */

export class Engines {
  constructor() {
    /** @type {Kind} */
    this.kind = "server";
    this.own = new OwnEngine();
    /** The server refused the token. */
    this.onNotAllowed = () => {};
  }

  /** Opens a new stream. @param {() => import("./link.js").Wish} wish @param {import("./link.js").Ears} ears */
  connect(wish, ears) {
    if (this.kind === "page") return this.own.connect(wish, ears);
    /** @type {import("./link.js").Ears["onClose"]} */
    const onClose = (code, reason) => {
      if (code === NOT_ALLOWED) this.onNotAllowed();
      ears.onClose(code, reason);
    };
    return new Link(wish, { ...ears, onClose });
  }
}

/** Fetches about.json, which describes the engines and the weights. @returns {Promise<About>} */
export async function askAbout() {
  const answer = await fetch("about.json");
  if (!answer.ok) throw new Error(`about.json: ${answer.status}`);
  return answer.json();
}
