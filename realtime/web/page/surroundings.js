// @ts-check
/** What the page finds around it: the microphones, its token, its choices of last time, a screen that stays on. */

import { microphones } from "./capture.js";
import { text } from "./text.js";

const TOKEN = "hppnet-token";
const CHOICES = "hppnet-choices";

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
 * Sets a picker to what was chosen last time, and remembers what is chosen from now on.
 * @param {HTMLSelectElement} picker
 */
export function remember(picker) {
  const choices = () => JSON.parse(localStorage.getItem(CHOICES) ?? "{}");
  const before = choices()[picker.id];
  if ([...picker.options].some((option) => option.value === before)) picker.value = before;
  picker.addEventListener("change", () => {
    localStorage.setItem(CHOICES, JSON.stringify({ ...choices(), [picker.id]: picker.value }));
  });
}

/** @param {HTMLSelectElement} picker @param {import("./engines.js").About} about */
export function listLatencies(picker, about) {
  picker.replaceChildren(
    ...about.latencies.map(({ ms, name }) => new Option(text(`latency ${name || "other"}`, { ms }), String(ms))),
  );
  picker.value = String(about.default_latency_ms);
}

/** @param {HTMLSelectElement} picker what is chosen stays chosen while it is there */
export async function listMicrophones(picker) {
  const chosen = picker.value;
  const found = (await microphones()).filter((device) => device.deviceId !== "default");
  picker.replaceChildren(
    new Option(text("default microphone"), ""),
    ...found.map((device, i) => new Option(device.label || text("microphone number", { number: i + 1 }), device.deviceId)),
  );
  picker.value = found.some((device) => device.deviceId === chosen) ? chosen : "";
}

/** @param {HTMLSelectElement} picker @param {number} count of the microphone's channels */
export function listChannels(picker, count) {
  const chosen = picker.value;
  const numbers = Array.from({ length: count > 1 ? count : 0 }, (_, i) => i + 1);
  picker.replaceChildren(
    new Option(text("all channels"), "0"),
    ...numbers.map((number) => new Option(text("channel number", { number }), String(number))),
  );
  picker.value = Number(chosen) <= numbers.length && chosen ? chosen : "0";
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
