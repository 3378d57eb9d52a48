// @ts-check
/** The page's elements, by their ids. */

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const $ = (id) => /** @type {T} */ (document.getElementById(id));

/** Sets a text only if it has changed, so that screen readers read it once. @param {string} id @param {string} line */
export function show(id, line) {
  if ($(id).textContent !== line) $(id).textContent = line;
}

/** Shows a problem; an empty line hides it. @param {string} line */
export function showProblem(line) {
  show("problem-text", line);
  $("problem").hidden = !line;
}

const HINT_MS = 10_000;
let hintEnds = 0;

/** Shows a hint for ten seconds; an empty line hides it. @param {string} line */
export function showHint(line) {
  clearTimeout(hintEnds);
  if (line) hintEnds = window.setTimeout(() => showHint(""), HINT_MS);
  show("hint", line);
  $("hint").hidden = !line;
}

/** Formats a time as minutes and seconds, m:ss. @param {number} seconds */
export function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** @param {number[]} values */
export function median(values) {
  if (!values.length) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
