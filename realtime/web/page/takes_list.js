// @ts-check
/** The list of kept takes: open, rename, save, delete. */

import { $, clock, show } from "./dom.js";
import { saveAudio, saveMidi } from "./take.js";
import { text } from "./text.js";

export class TakesList {
  /**
   * @param {import("./takes_store.js").TakesStore} store
   * @param {(take: import("./take.js").Take) => void} onOpen
   */
  constructor(store, onOpen) {
    this.store = store;
    this.onOpen = onOpen;
  }

  async refresh() {
    const rows = await this.store.list();
    $("takes-none").hidden = rows.length > 0;
    $("takes-list").replaceChildren(...rows.map((row) => this.item(row)));
    const { usage = 0 } = (await navigator.storage?.estimate?.()) ?? {};
    show("storage", rows.length ? text("storage used", { used: (usage / 1e6).toFixed(1) }) : "");
  }

  /** @param {import("./takes_store.js").Row & {sounds: boolean}} row */
  item(row) {
    const item = document.createElement("li");
    const name = document.createElement("input");
    name.type = "text";
    name.value = row.name;
    name.setAttribute("aria-label", text("take name"));
    name.onchange = () => void this.store.rename(row.id, name.value.trim() || row.name).then(() => this.refresh());
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
      this.button("delete", row, (take) => void this.remove(take)),
    );
    item.append(name, about, buttons);
    return item;
  }

  /**
   * @param {string} label
   * @param {import("./takes_store.js").Row} row
   * @param {(take: import("./take.js").Take) => void} act
   */
  button(label, row, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text(label);
    button.onclick = () => void this.store.get(row.id).then((take) => take && act(take));
    return button;
  }

  /** @param {import("./take.js").Take} take */
  async remove(take) {
    if (!confirm(text("delete question", { name: take.name }))) return;
    await this.store.remove(take.id);
    await this.refresh();
  }
}
