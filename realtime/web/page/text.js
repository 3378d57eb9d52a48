// @ts-check
/** What the page says, in the reader's language: language/en.js, and others beside it. */

import english from "./language/en.js";

/** Languages other than English that have a file in language/, by their codes. @type {string[]} */
const OTHERS = [];

/** @type {Record<string, string>} */
let texts = english;

/** The first of the reader's languages that there is. */
export async function chooseLanguage() {
  for (const wanted of navigator.languages) {
    const code = wanted.split("-")[0];
    if (code === "en") break;
    if (!OTHERS.includes(code)) continue;
    texts = { ...english, ...(await import(`./language/${code}.js`)).default };
    document.documentElement.lang = code;
    break;
  }
}

/**
 * A text by its name, `{words}` in it replaced. Names that end in " one" are for a count of one.
 * @param {string} name
 * @param {Record<string, string | number>} [words]
 */
export function text(name, words = {}) {
  const found = (words.count === 1 && texts[`${name} one`]) || texts[name];
  if (found === undefined) throw new Error(`no text is called ${name}`);
  return found.replace(/\{(\w+)\}/g, (_, word) => String(words[word] ?? ""));
}

/** Fills in what index.html leaves to the language: data-text, data-label (aria-label), data-title. */
export function fillTexts() {
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(/** @type {HTMLElement} */ (element).dataset.text ?? "");
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(/** @type {HTMLElement} */ (element).dataset.label ?? ""));
  }
}
