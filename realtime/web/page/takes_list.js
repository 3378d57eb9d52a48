// @ts-check
/** The list of kept takes: open, rename, save, delete. */

import { $, clock, show, showHint } from "./dom.js";
import { saveAudio, saveMidi } from "./take.js";
import { text } from "./text.js";

/** @typedef {import("./takes_store.js").Row} Row */

export class TakesList {
  /**
   * @param {import("./takes_store.js").TakesStore} store
   * @param {(take: import("./take.js").Take) => void} onOpen
   * @param {(id: string, name: string) => void} onRename
   */
  constructor(store, onOpen, onRename) {
    this.store = store;
    this.onOpen = onOpen;
    this.onRename = onRename;
    this.shown = "";
  }

  async refresh() {
    const rows = await this.store.list();
    const shown = JSON.stringify(rows.map((row) => [row.id, row.name, row.duration_s, row.notes.length, row.sounds]));
    if (shown !== this.shown) $("takes-list").replaceChildren(...rows.map((row) => this.item(row)));
    this.shown = shown; // an item that stays keeps the focus and what is being written
    $("takes-none").hidden = rows.length > 0;
    const { usage = 0 } = (await navigator.storage?.estimate?.()) ?? {};
    show("storage", rows.length ? text("storage used", { used: (usage / 1e6).toFixed(1) }) : "");
  }

  /** @param {Row & {sounds: boolean}} row */
  item(row) {
    const item = document.createElement("li");
    const name = document.createElement("input");
    name.type = "text";
    name.value = row.name;
    name.setAttribute("aria-label", text("take name"));
    name.onchange = () => void this.rename(row.id, name.value.trim() || row.name).catch(failed);
    const about = document.createElement("p");
    about.className = "quiet";
    about.textContent = text("take about", {
      date: new Date(row.created_ms).toLocaleString(), time: clock(row.duration_s), count: row.notes.length,
    });
    const saveSound = this.button("save audio", row, saveAudio);
    saveSound.disabled = !row.sounds;
    const buttons = document.createElement("p");
    buttons.className = "buttons";
    buttons.append(
      this.button("open", row, (take) => this.onOpen(take)),
      this.button("save midi", row, saveMidi),
      saveSound,
      this.deleteButton(row),
    );
    item.append(name, about, buttons);
    return item;
  }

  /**
   * @param {string} label
   * @param {Row} row
   * @param {(take: import("./take.js").Take) => void} act
   */
  button(label, row, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text(label);
    button.onclick = () => void this.store.get(row.id).then((take) => take && act(take)).catch(failed);
    return button;
  }

  /** Deletes at the second press: a dialog would stop the page, and with it the sound of a take. @param {Row} row */
  deleteButton(row) {
    const button = this.button("delete", row, () => {});
    let asked = false;
    /** @param {boolean} asks */
    const ask = (asks) => {
      asked = asks;
      button.textContent = text(asks ? "delete question" : "delete", { name: row.name });
    };
    button.onclick = () => (asked ? void this.remove(row.id).catch(failed) : ask(true));
    button.onblur = () => ask(false);
    return button;
  }

  /** @param {string} id @param {string} name */
  async rename(id, name) {
    this.onRename(id, name);
    await this.store.rename(id, name);
    await this.refresh();
  }

  /** @param {string} id */
  async remove(id) {
    await this.store.remove(id);
    await this.refresh();
  }
}

/** @param {unknown} error */
const failed = (error) => showHint(text("storage failed", { reason: String(error) }));
