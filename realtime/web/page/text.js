// @ts-check
/** The page's texts in the reader's language, from language/en.js and others beside it. */

import english from "./language/en.js";

/** Languages other than English that have a file in language/, by their codes. @type {string[]} */
const OTHERS = [];

/** @type {Record<string, string>} */
let texts = english;

/** Loads the first of the reader's languages that the page has. */
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
 * Returns a text by its name, with `{words}` replaced. Names that end in " one" are for a count of one.
 * Throws Error for an unknown name.
 * @param {string} name
 * @param {Record<string, string | number>} [words]
 */
export function text(name, words = {}) {
  const found = (words.count === 1 && texts[`${name} one`]) || texts[name];
  if (found === undefined) throw new Error(`no text is called ${name}`);
  return found.replace(/\{(\w+)\}/g, (_, word) => String(words[word] ?? ""));
}

/** Fills in the texts of index.html: data-text, and data-label (aria-label). */
export function fillTexts() {
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(/** @type {HTMLElement} */ (element).dataset.text ?? "");
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(/** @type {HTMLElement} */ (element).dataset.label ?? ""));
  }
}
