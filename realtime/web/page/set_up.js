// @ts-check
/** Sets up the page once: fills the pickers, wires the buttons and loads the engine in advance. */

import { $, show, showHint, showProblem } from "./dom.js";
import { keepForOffline } from "./offline.js";
import { listChannels, listLatencies, listMicrophones, remember, rememberToken } from "./surroundings.js";
import { text } from "./text.js";

/** @typedef {import("./app.js").Page} Page @typedef {import("./engines.js").About} About */

/** @param {Page} page @param {Promise<About>} asked */
export async function setUp(page, asked) {
  show("state", text("idle"));
  wireButtons(page);
  wireFiles(page);
  wireSurroundings(page);
  void page.list.refresh().catch(() => {});
  try {
    setUpEngine(page, await asked);
  } catch {
    showProblem(text("no server"));
  }
}

/** @param {Page} page @param {About} about */
function setUpEngine(page, about) {
  /** @type {HTMLSelectElement} */ const latency = $("latency");
  /** @type {HTMLSelectElement} */ const engine = $("engine");
  listLatencies(latency, about);
  remember(latency);
  latency.addEventListener("change", () => page.listening?.restart(Number(latency.value)));
  engine.replaceChildren(...about.engines.map((kind) => new Option(text(`engine ${kind}`), kind)));
  engine.value = about.engine;
  engine.disabled = about.engines.length < 2;
  const choose = () => {
    page.engines.kind = /** @type {import("./engines.js").Kind} */ (engine.value);
    show("empty-private", text(`empty private ${engine.value}`));
    if (engine.value === "page") prepare(page, Number(latency.value));
    page.listening?.restart(Number(latency.value));
  };
  engine.addEventListener("change", choose);
  choose();
  page.engines.onNotAllowed = () => ($("token-form").hidden = false);
  $("token-form").hidden = !about.token_required || Boolean(page.token);
  show("program", text("about", { version: about.version, checkpoint: about.checkpoint }));
  show("licence", about.licence && text("licence", { licence: about.licence }));
  if (about.samples) page.output.offerPiano();
  if (about.offline) void keepForOffline(() => showOffline("offline"), () => showOffline("update"));
}

/** Loads the engine in advance. @param {Page} page @param {number} latency_ms */
function prepare(page, latency_ms) {
  if (!page.busy) show("state", text("loading"));
  page.engines.own.onPrepared = (reason) => {
    if (reason) showProblem(text("no engine", { reason }));
    const loading = !page.busy && $("state").textContent === text("loading");
    if (loading) show("state", text(reason ? "not listening" : "idle"));
  };
  page.engines.own.prepare(latency_ms);
}

/** @param {"offline" | "update"} name */
function showOffline(name) {
  if (name === "update") showHint(text("update"));
  if ($("offline").textContent !== text("update")) show("offline", text(name));
  $("offline").hidden = false;
}

/** @param {Page} page */
function wireButtons(page) {
  $("listen").onclick = () => void (page.listening ? page.listening.stop() : page.listen());
  $("save-midi").onclick = () => page.saveMidi();
  $("save-audio").onclick = () => page.saveAudio();
  $("panic").onclick = () => page.output.panic();
  $("say").onclick = () => page.announcer.sayLast();
  $("cancel").onclick = () => page.transcribing?.abort();
  $("output").addEventListener("change", (event) => {
    $("headphones").hidden = !["synth", "piano"].includes(/** @type {HTMLSelectElement} */ (event.target).value);
  });
  $("no-webmidi").hidden = "requestMIDIAccess" in navigator;
  /** @type {HTMLFormElement} */ ($("token-form")).onsubmit = (event) => {
    event.preventDefault();
    page.token = /** @type {HTMLInputElement} */ ($("token")).value;
    rememberToken(page.token);
    $("token-form").hidden = true;
    showProblem("");
  };
  $("takes").addEventListener("toggle", () => void page.list.refresh().catch(() => {})); // other tabs have takes too
  // Only one panel is open at a time; Escape or a press outside closes it.
  const panels = [...document.querySelectorAll("details.panel")].map((panel) => /** @type {HTMLDetailsElement} */ (panel));
  for (const panel of panels) panel.ontoggle = () => panel.open && panels.forEach((other) => (other.open = other === panel));
  document.addEventListener("pointerdown", (event) => {
    for (const panel of panels) if (!panel.contains(/** @type {Node} */ (event.target))) panel.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const open = panels.find((panel) => panel.open);
    if (event.key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary")?.focus();
  });
}

/** @param {Page} page */
function wireFiles(page) {
  /** @type {HTMLInputElement} */ const input = $("file");
  input.onchange = () => {
    const file = input.files?.[0];
    if (file) void page.openFile(file);
    input.value = "";
  };
  for (const id of ["browse", "choose"]) $(id).onclick = () => input.click();
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop-hint").hidden = page.busy;
  });
  document.addEventListener("dragleave", (event) => !event.relatedTarget && ($("drop-hint").hidden = true));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop-hint").hidden = true;
    const { busy } = page;
    const [file, other] = event.dataTransfer?.files ?? [];
    if (file) void page.openFile(file);
    if (other && !busy) showHint(text("one file", { name: file.name }));
  });
}

/** @param {Page} page */
function wireSurroundings(page) {
  /** @type {HTMLSelectElement} */ const microphone = $("microphone");
  /** @type {HTMLSelectElement} */ const channel = $("channel");
  void listMicrophones(microphone).then(() => remember(microphone));
  listChannels(channel, 1);
  channel.onchange = () => page.listening?.capture.choose(Number(channel.value));
  const change = () => page.listening?.changeMicrophone(microphone.value);
  microphone.addEventListener("change", () => {
    microphone.dataset.missing = "";
    change();
  });
  navigator.mediaDevices?.addEventListener?.("devicechange", () => void listMicrophones(microphone).then(change));
  window.addEventListener("pagehide", () => page.output.panic());
  window.addEventListener("beforeunload", (event) => page.busy && event.preventDefault());
  const resume = () => {
    void page.listening?.capture.resume();
    page.output.resume();
  };
  document.addEventListener("visibilitychange", () => {
    resume();
    page.take.notes.all.forEach((note) => (note.seen = true)); // not drawn while hidden: no delay to measure
  });
  for (const press of ["pointerdown", "keydown"]) document.addEventListener(press, resume);
}
