// @ts-check
/** What the page finds around it: the server, the microphones, its token, a screen that should stay on. */

import { microphones } from "./capture.js";

const TOKEN = "hppnet-token";

/** Behind the #, where no log sees it; kept while the tab is open. */
export function tokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    rememberToken(given);
    history.replaceState(null, "", location.pathname);
  }
  return given ?? sessionStorage.getItem(TOKEN) ?? "";
}

/** @param {string} token */
export function rememberToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

/**
 * Fills the dial with the engine's latencies; tells whether the server wants a token.
 * @param {HTMLSelectElement} latency
 * @returns {Promise<boolean>}
 */
export async function askServer(latency) {
  /** @type {{latencies: {ms: number, name: string}[], default_latency_ms: number, token_required: boolean}} */
  const about = await (await fetch("/about")).json();
  latency.replaceChildren(
    ...about.latencies.map(({ ms, name }) => new Option(`${ms} ms${name && ` (${name})`}`, String(ms))),
  );
  latency.value = String(about.default_latency_ms);
  return about.token_required;
}

/** @param {HTMLSelectElement} picker what is chosen stays chosen while it is there */
export async function listMicrophones(picker) {
  const chosen = picker.value;
  const found = (await microphones()).filter((device) => device.deviceId !== "default");
  picker.replaceChildren(
    new Option("The usual one", ""),
    ...found.map((device, number) => new Option(device.label || `Microphone ${number + 1}`, device.deviceId)),
  );
  picker.value = found.some((device) => device.deviceId === chosen) ? chosen : "";
}

/** A tablet on the music stand should not go dark. @param {() => boolean} needed */
export async function keepAwake(needed) {
  while (needed()) {
    try {
      // Given back by the browser whenever the page is hidden, so it is asked for again.
      const lock = await navigator.wakeLock?.request("screen");
      await new Promise((go) => setTimeout(go, 10_000));
      await lock?.release();
    } catch {
      return; // the battery is low, or the browser has none: listening works all the same
    }
  }
}
