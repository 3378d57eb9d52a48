// @ts-check
/** Lists microphones and channels, remembers the token and choices, keeps the screen on. */

import { microphones } from "./capture.js";
import { text } from "./text.js";

const TOKEN = "hppnet-token";
const CHOICES = "hppnet-choices";

/**
 * Returns what `use` returns, or null if the browser blocks its storage or has no room there.
 * @template T @param {() => T} use
 */
function allowed(use) {
  try {
    return use();
  } catch {
    return null;
  }
}

/** Reads the token after the #, which no server logs; it is kept while the tab is open. */
export function tokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    rememberToken(given);
    history.replaceState(null, "", location.pathname);
  }
  return given ?? allowed(() => sessionStorage.getItem(TOKEN)) ?? "";
}

/** @param {string} token */
export function rememberToken(token) {
  allowed(() => sessionStorage.setItem(TOKEN, token));
}

/**
 * Sets a picker to the last choice and remembers new choices.
 * @param {HTMLSelectElement} picker
 */
export function remember(picker) {
  const choices = () => JSON.parse(allowed(() => localStorage.getItem(CHOICES)) ?? "{}");
  const before = choices()[picker.id];
  if ([...picker.options].some((option) => option.value === before)) picker.value = before;
  picker.addEventListener("change", () => {
    allowed(() => localStorage.setItem(CHOICES, JSON.stringify({ ...choices(), [picker.id]: picker.value })));
  });
}

/** @param {HTMLSelectElement} picker @param {import("./engines.js").About} about */
export function listLatencies(picker, about) {
  picker.replaceChildren(
    ...about.latencies.map(({ ms, name }) => new Option(text(`latency ${name || "other"}`, { ms }), String(ms))),
  );
  picker.value = String(about.default_latency_ms);
}

/** @param {HTMLSelectElement} picker keeps its choice; while that microphone is gone, the default one is shown */
export async function listMicrophones(picker) {
  const chosen = picker.value || picker.dataset.missing || "";
  const found = (await microphones()).filter((device) => device.deviceId !== "default");
  picker.replaceChildren(
    new Option(text("default microphone"), ""),
    ...found.map((device, i) => new Option(device.label || text("microphone number", { number: i + 1 }), device.deviceId)),
  );
  const there = found.some((device) => device.deviceId === chosen);
  picker.value = there ? chosen : "";
  picker.dataset.missing = there ? "" : chosen;
}

/** @param {HTMLSelectElement} picker @param {number} count number of the microphone's channels */
export function listChannels(picker, count) {
  const chosen = picker.value;
  const numbers = Array.from({ length: count > 1 ? count : 0 }, (_, i) => i + 1);
  picker.replaceChildren(
    new Option(text("all channels"), "0"),
    ...numbers.map((number) => new Option(text("channel number", { number }), String(number))),
  );
  picker.value = Number(chosen) <= numbers.length && chosen ? chosen : "0";
}

/** Keeps the screen on, such as that of a tablet on the music stand. @param {() => boolean} needed */
export async function keepAwake(needed) {
  while (needed()) {
    // The browser releases the lock whenever the page is hidden, so it is requested again. It refuses while the page
    // is hidden or the battery is low: listening works without it.
    const lock = await navigator.wakeLock?.request("screen").catch(() => null);
    await new Promise((go) => setTimeout(go, 10_000));
    await lock?.release();
  }
}
