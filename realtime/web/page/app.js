// @ts-check
/** The page: what is pressed, what is shown. */

import { Announcer } from "./announcer.js";
import { CaptureError } from "./capture.js";
import { median } from "./clock.js";
import { decode, duration_s, FileError, transcribe } from "./file.js";
import { Listening } from "./listening.js";
import { ALLOWANCE_MS, Output } from "./output.js";
import { clock, Roll } from "./roll.js";
import { askServer, keepAwake, listMicrophones, rememberToken, tokenFromAddress } from "./surroundings.js";
import { Playback, safeName, saveAudio, saveMidi, Take, takeName } from "./take.js";

const FIGURES_EVERY_MS = 200;
const KEPT_DELAYS = 400;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (document.getElementById(id));
/** @type {HTMLButtonElement} */ const listenButton = $("listen");
/** @type {HTMLSelectElement} */ const microphone = $("microphone");
/** @type {HTMLSelectElement} */ const latency = $("latency");
/** @type {HTMLInputElement} */ const fileInput = $("file");
/** @type {HTMLInputElement} */ const tokenInput = $("token");
/** @type {HTMLAudioElement} */ const player = $("player");
/** @type {HTMLMeterElement} */ const level = $("level");
/** @type {HTMLProgressElement} */ const progress = $("progress");
/** @type {HTMLCanvasElement} */ const canvas = $("roll");
/** @type {HTMLButtonElement} */ const midiButton = $("save-midi");
/** @type {HTMLButtonElement} */ const audioButton = $("save-audio");

const roll = new Roll(canvas);
const output = new Output($("output"), showProblem);
const playback = new Playback(player, output);
const announcer = new Announcer($("spoken"), $("say-always"));
let take = new Take("take");
/** @type {Listening | null} */
let listening = null;
/** @type {AbortController | null} */
let transcribing = null;
/** Of the notes drawn live: milliseconds from the sound to the picture. @type {number[]} */
let delays_ms = [];
let token = tokenFromAddress();

/** @param {string} line */
function showState(line) {
  if ($("state").textContent !== line) $("state").textContent = line;
}

/** @param {string} line empty for none */
function showProblem(line) {
  $("problem").textContent = line;
  $("problem").hidden = !line;
}

/** @param {Take} next @returns whether the old one may go */
function replaceTake(next) {
  if (!take.saved && take.notes.all.length && !confirm("The last take was not downloaded. Replace it?")) return false;
  take = next;
  delays_ms = [];
  playback.load(null);
  showTake();
  return true;
}

function showTake() {
  const whole = !listening && !transcribing;
  midiButton.disabled = !whole || take.notes.all.length === 0;
  audioButton.disabled = !whole || !take.audio;
  const count = take.notes.all.length;
  $("notes").textContent = String(count);
  canvas.setAttribute("aria-label", `Piano roll: ${count || "no"} ${count === 1 ? "note" : "notes"}`);
  listenButton.textContent = listening ? "Stop" : "Listen";
  listenButton.setAttribute("aria-pressed", String(Boolean(listening)));
  listenButton.disabled = Boolean(transcribing);
  fileInput.disabled = Boolean(listening || transcribing);
  $("file-progress").hidden = !transcribing;
  roll.dirty = true;
}

async function listen() {
  showProblem("");
  if (!replaceTake(new Take(takeName(new Date())))) return;
  const mine = take;
  const session = new Listening(
    {
      onEvent: (event) => hear(session, mine, event),
      onLost: () => {
        mine.notes.endAll(session.streamAt(performance.now()));
        output.panic();
      },
      onState: showState,
      onProblem: showProblem,
      onRoundTrip: (ms) => ($("round-trip").textContent = `${ms.toFixed(0)} ms`),
      onEnded: () => finish(session, mine),
    },
    token,
  );
  listening = session;
  showTake();
  try {
    await session.start(microphone.value, Number(latency.value));
    void keepAwake(() => listening === session);
    void listMicrophones(microphone);
  } catch (error) {
    listening = null;
    showProblem(error instanceof CaptureError ? error.message : String(error));
    showState("Not listening.");
    showTake();
  }
}

/** @param {Listening} session @param {Take} mine @param {import("./notes.js").NoteEvent} event */
function hear(session, mine, event) {
  mine.notes.add(event);
  mine.saved = false;
  output.play(event, session.clock.pageAt(event.time_s) + session.algorithmic_ms + ALLOWANCE_MS);
  if (event.type === "on") announcer.note(event.pitch);
}

/** @param {Listening} session @param {Take} mine */
function finish(session, mine) {
  mine.notes.endAll(session.recording?.duration_s ?? 0);
  mine.audio = session.recording?.blob() ?? null;
  mine.duration_s = session.recording?.duration_s ?? 0;
  listening = null;
  output.panic();
  level.value = -60;
  showState(`${mine.notes.all.length} notes in ${clock(mine.duration_s)}.`);
  playback.load(mine);
  showTake();
}

/** @param {File} file */
async function openFile(file) {
  if (listening || transcribing) return;
  showProblem("");
  const mine = new Take(safeName(file.name));
  if (!replaceTake(mine)) return;
  transcribing = new AbortController();
  progress.value = 0;
  showState(`Reading ${file.name} …`);
  showTake();
  try {
    const samples = await decode(file);
    mine.duration_s = duration_s(samples);
    mine.audio = file;
    mine.audioEnding = /\.([a-z0-9]{1,5})$/i.exec(file.name)?.[1] ?? "audio";
    playback.load(mine);
    await transcribe(
      samples, token,
      (events) => events.forEach((event) => mine.notes.add(event)),
      (share) => {
        progress.value = share;
        showState(`Transcribing ${file.name}: ${Math.round(100 * share)} %`);
      },
      transcribing.signal,
    );
    showState(`${mine.notes.all.length} notes in ${clock(mine.duration_s)} of ${file.name}.`);
  } catch (error) {
    showProblem(error instanceof FileError ? error.message : String(error));
    showState("The recording was not transcribed to its end.");
  }
  mine.notes.endAll(mine.duration_s);
  mine.saved = mine.notes.all.length === 0;
  transcribing = null;
  showTake();
}

/** Every frame of the display. */
function frame() {
  requestAnimationFrame(frame);
  if (listening) {
    const now_s = listening.streamAt(performance.now());
    const lit = new Map([...take.notes.sounding].map(([pitch, note]) => [pitch, note.velocity]));
    roll.draw(take.notes, now_s, lit, listening.algorithmic_ms / 1000);
    showPedal(take.notes.pedalDown);
    noteSeen(listening);
  } else if (playback.playing || roll.dirty || transcribing || player.seeking || shown_s !== player.currentTime) {
    shown_s = player.currentTime;
    const now_s = transcribing ? progress.value * take.duration_s : shown_s || (player.played.length ? 0 : take.duration_s);
    roll.draw(take.notes, now_s, playback.follow(take.notes, now_s), 0);
    showPedal(playback.pedalDown);
  }
}
let shown_s = 0;

/** @param {boolean} down */
function showPedal(down) {
  $("pedal-figure").hidden = !(listening?.hearsPedal || take.notes.presses.length);
  const word = down ? "down" : "up";
  if ($("pedal").textContent !== word) $("pedal").textContent = word;
}

/** @param {Listening} session */
function noteSeen(session) {
  const now_ms = performance.now();
  for (let i = take.notes.all.length - 1; i >= 0 && !take.notes.all[i].seen; i--) {
    const note = take.notes.all[i];
    note.seen = true;
    delays_ms.push(now_ms - session.clock.pageAt(note.onset_s));
    if (delays_ms.length > KEPT_DELAYS) delays_ms.shift();
  }
}

function showFigures() {
  if (!listening) return;
  level.value = Math.max(-60, listening.level_db);
  $("notes").textContent = String(take.notes.all.length);
  $("dropped").textContent = String(listening.droppedBlocks);
  if (listening.algorithmic_ms) $("algorithmic").textContent = `${listening.algorithmic_ms.toFixed(0)} ms`;
  if (delays_ms.length) $("seen").textContent = `${median(delays_ms).toFixed(0)} ms`;
}

listenButton.onclick = () => void (listening ? listening.stop() : listen());
latency.onchange = () => listening?.setLatency(Number(latency.value));
midiButton.onclick = () => saveMidi(take);
audioButton.onclick = () => saveAudio(take);
$("panic").onclick = () => output.panic();
$("say").onclick = () => announcer.sayLast();
$("cancel").onclick = () => transcribing?.abort();
fileInput.onchange = () => fileInput.files?.[0] && void openFile(fileInput.files[0]);
/** @type {HTMLFormElement} */ ($("token-form")).onsubmit = (event) => {
  event.preventDefault();
  token = tokenInput.value;
  rememberToken(token);
  $("token-form").hidden = true;
  showProblem("");
};
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop-hint").hidden = Boolean(listening || transcribing);
});
document.addEventListener("dragleave", (event) => !event.relatedTarget && ($("drop-hint").hidden = true));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop-hint").hidden = true;
  const file = event.dataTransfer?.files[0];
  if (file) void openFile(file);
});
window.addEventListener("pagehide", () => output.panic());
window.addEventListener("beforeunload", (event) => (listening || (!take.saved && take.notes.all.length)) && event.preventDefault());
navigator.mediaDevices?.addEventListener?.("devicechange", () => void listMicrophones(microphone));
setInterval(showFigures, FIGURES_EVERY_MS);
void askServer(latency).then(
  (needsToken) => ($("token-form").hidden = !needsToken || Boolean(token)),
  () => showProblem("The server does not answer. Is hppnet serve still running? Reload the page then."),
);
void listMicrophones(microphone);
showTake();
requestAnimationFrame(frame);

/** For tests and the curious: what is shown, as numbers. */
Object.assign(window, {
  hppnet: {
    get notes() { return take.notes.all; },
    get presses() { return take.notes.presses; },
    get player() { return output.player; },
    get delays_ms() { return delays_ms; },
    get algorithmic_ms() { return listening?.algorithmic_ms ?? 0; },
    get droppedBlocks() { return listening?.droppedBlocks ?? 0; },
    get lit() { return [...(listening ? take.notes.sounding : playback.lit).keys()]; },
  },
});
