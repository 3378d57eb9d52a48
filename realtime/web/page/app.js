// @ts-check
/** The page: connects the controls, the engine, the current take and the display. */

import { Announcer } from "./announcer.js";
import { CaptureError } from "./capture.js";
import { $, clock, show, showHint, showProblem } from "./dom.js";
import { askAbout, Engines } from "./engines.js";
import { decode, FILE_LATENCY_MS, FileError, transcribe } from "./file.js";
import { Figures } from "./figures.js";
import { Listening } from "./listening.js";
import { Output } from "./output.js";
import { Playback } from "./playback.js";
import { Screen } from "./screen.js";
import { keepAwake, listChannels, listMicrophones, tokenFromAddress } from "./surroundings.js";
import { safeName, saveAudio, saveMidi, Take, takeName } from "./take.js";
import { TakesList } from "./takes_list.js";
import { TakesStore } from "./takes_store.js";
import { chooseLanguage, fillTexts, text } from "./text.js";
import { Transport } from "./transport.js";
import { setUp } from "./set_up.js";

/** Added to the algorithmic latency, for connection, computing and drawing: a constant delay keeps the rhythm. */
const ALLOWANCE_MS = 50;
const FIGURES_EVERY_MS = 200;
const KEEP_EVERY_MS = 10_000;

await chooseLanguage();
fillTexts();

/** @type {HTMLSelectElement} */ const microphone = $("microphone");
/** @type {HTMLSelectElement} */ const channel = $("channel");
/** @type {HTMLSelectElement} */ const latency = $("latency");
/** @type {HTMLProgressElement} */ const progress = $("progress");
/** @type {HTMLMeterElement} */ const level = $("level");

export class Page {
  constructor() {
    this.engines = new Engines();
    this.output = new Output($("output"), showProblem);
    this.playback = new Playback($("player"), this.output);
    this.transport = new Transport($("player"));
    this.announcer = new Announcer($("spoken"), $("say-always"));
    this.figures = new Figures();
    this.store = new TakesStore();
    this.list = new TakesList(this.store, (take) => this.openTake(take), (id, name) => this.renamed(id, name));
    this.take = new Take("take");
    /** @type {Listening | null} */
    this.listening = null;
    /** @type {AbortController | null} */
    this.transcribing = null;
    this.token = tokenFromAddress();
    this.screen = new Screen(this);
    setInterval(() => this.showFigures(), FIGURES_EVERY_MS);
    /** Stores the take that is being played, one store after the other. */
    this.keeping = Promise.resolve();
    setInterval(() => this.keepUnfinished(), KEEP_EVERY_MS);
    this.showTake();
  }

  get busy() {
    return Boolean(this.listening || this.transcribing);
  }

  /** Begins a take. @param {Take} take */
  begin(take) {
    this.take = take;
    this.figures.restart();
    this.playback.load(null);
    this.transport.load(null);
    this.showTake();
  }

  /** Shows a whole take, ready to be played. @param {Take} take */
  present(take) {
    this.take = take;
    this.playback.load(take);
    this.transport.load(take);
    this.showTake();
  }

  showTake() {
    const count = this.take.notes.all.length;
    /** @type {HTMLButtonElement} */ ($("save-midi")).disabled = this.busy || count === 0;
    /** @type {HTMLButtonElement} */ ($("save-audio")).disabled = this.busy || !this.take.audio;
    show("notes", String(count));
    $("roll").setAttribute("aria-label", text(count ? "roll label" : "roll label none", { count }));
    show("listen", text(this.listening ? "stop" : "listen"));
    $("listen").setAttribute("aria-pressed", String(Boolean(this.listening)));
    /** @type {HTMLButtonElement} */ ($("listen")).disabled = Boolean(this.transcribing);
    for (const id of ["file", "browse", "choose"]) /** @type {HTMLInputElement} */ ($(id)).disabled = this.busy;
    $("file-progress").hidden = !this.transcribing;
    $("level").style.visibility = this.listening ? "visible" : "hidden";
    this.screen.refresh();
  }

  async listen() {
    showProblem("");
    showHint("");
    const before = this.take;
    const mine = new Take(takeName(new Date()));
    this.begin(mine);
    const session = new Listening(
      {
        onEvent: (event) => this.receive(session, mine, event),
        onLost: (time_s) => {
          mine.notes.endAll(time_s);
          this.output.panic();
        },
        onState: (line) => show("state", line),
        onProblem: showProblem,
        onHint: showHint,
        onRoundTrip: (ms) => show("round-trip", `${ms.toFixed(0)} ms`),
        onMicrophone: () => {
          listChannels(channel, session.capture.channels);
          session.capture.choose(Number(channel.value)); // another microphone may have fewer channels
        },
        onEnded: () => void this.finish(session, mine, before),
      },
      this.engines,
      this.token,
    );
    this.listening = session;
    session.capture.channel = Number(channel.value);
    this.showTake();
    try {
      await session.start(microphone.value, Number(latency.value));
    } catch (error) {
      if (this.listening !== session) return;
      showProblem(error instanceof CaptureError ? error.message : String(error));
      return this.notBegun(before);
    }
    if (this.listening !== session) return; // stopped before the microphone was open
    void keepAwake(() => this.listening === session);
    await listMicrophones(microphone);
    session.changeMicrophone(microphone.value); // another one may have been chosen meanwhile
  }

  /** The microphone did not open: the take before is shown again. @param {Take} before */
  notBegun(before) {
    this.listening = null;
    show("state", text("not listening"));
    this.present(before);
  }

  /** @param {Listening} session @param {Take} mine @param {import("./notes.js").NoteEvent} event */
  receive(session, mine, event) {
    mine.notes.add(event);
    this.output.play(event, session.timeline.pageAt(event.time_s) + session.algorithmic_ms + ALLOWANCE_MS);
    if (event.type === "on") this.announcer.note(event.pitch);
  }

  /** @param {Listening} session @param {Take} mine @param {Take} before */
  async finish({ recording }, mine, before) {
    if (!recording) return this.notBegun(before);
    mine.duration_s = recording.duration_s;
    mine.notes.endAll(mine.duration_s);
    mine.audio = recording.blob();
    mine.rate = recording.sampleRate;
    this.listening = null;
    this.output.panic();
    level.value = -60;
    show("state", text("taken up", { count: mine.notes.all.length, time: clock(mine.duration_s) }));
    this.present(mine);
    await this.keep(mine);
  }

  /** Stores what there is of the take that is being played, in case the page does not see its end. */
  keepUnfinished() {
    const { take, listening } = this;
    const recording = listening?.recording;
    if (!recording || !take.notes.all.length) return;
    take.duration_s = recording.duration_s;
    take.rate = recording.sampleRate;
    // What cannot be stored is reported when the take ends.
    this.keeping = this.keeping.then(() => this.store.putUnfinished(take, recording)).catch(() => {});
  }

  /** Stores a take, so that it survives a reload. @param {Take} take */
  async keep(take) {
    if (!take.notes.all.length) return;
    await this.keeping;
    try {
      void navigator.storage?.persist?.();
      if (!(await this.store.put(take))) showHint(text("storage full"));
      await this.list.refresh();
    } catch {
      showHint(text("storage none"));
    }
  }

  /** @param {Take} take */
  openTake(take) {
    if (this.busy) return showHint(text("busy"));
    const about = { count: take.notes.all.length, time: clock(take.duration_s), name: take.name };
    show("state", text("transcribed", about));
    this.present(take);
    /** @type {HTMLDetailsElement} */ ($("takes")).open = false;
  }

  /** The list has another name for a take. @param {string} id @param {string} name */
  renamed(id, name) {
    if (this.take.id === id) this.take.name = name;
  }

  /** @param {File} file @param {number} [latency_ms] */
  async openFile(file, latency_ms = FILE_LATENCY_MS) {
    if (this.busy) return showHint(text("busy"));
    showProblem("");
    showHint("");
    const before = this.take;
    const mine = new Take(safeName(file.name));
    this.transcribing = new AbortController();
    const { signal } = this.transcribing;
    progress.value = 0;
    this.begin(mine);
    show("state", text("reading", { name: file.name }));
    try {
      const sound = await decode(file, signal);
      mine.duration_s = sound.samples.length / sound.rate;
      mine.audio = file;
      mine.audioEnding = /\.([a-z0-9]{1,5})$/i.exec(file.name)?.[1] ?? "audio";
      await transcribe(
        this.engines, sound, this.token, latency_ms,
        (events) => events.forEach((event) => mine.notes.add(event)),
        (share) => {
          progress.value = share;
          this.screen.roll.change();
          show("state", text("transcribing", { name: file.name, percent: Math.round(100 * share) }));
        },
        signal,
      );
      show("state", text("transcribed", { count: mine.notes.all.length, time: clock(mine.duration_s), name: file.name }));
    } catch (error) {
      showProblem(error instanceof FileError ? error.message : String(error));
      show("state", text("not transcribed"));
    }
    mine.notes.endAll(mine.duration_s);
    this.transcribing = null;
    this.present(mine.audio ? mine : before);
    await this.keep(mine);
  }

  showFigures() {
    const session = this.listening;
    if (!session) return;
    level.value = Math.max(-60, session.level_db);
    this.figures.show(session, this.take.notes);
    if (!$("hint").hidden) return; // a warning replaces no other hint
    const trouble = this.figures.trouble(session);
    if (trouble) showHint(trouble);
  }

  saveMidi() {
    saveMidi(this.take);
  }

  saveAudio() {
    saveAudio(this.take);
  }
}

const page = new Page();
await setUp(page, askAbout());

/** The page's figures, for tests and the browser's console. */
Object.assign(window, {
  hppnet: {
    page,
    get notes() { return page.take.notes.all; },
    get presses() { return page.take.notes.presses; },
    get player() { return page.output.player; },
    get delays_ms() { return page.figures.delays_ms; },
    get drawn_ms() { return page.figures.slowest_ms; },
    get algorithmic_ms() { return page.listening?.algorithmic_ms ?? 0; },
    get droppedBlocks() { return page.listening?.droppedBlocks ?? 0; },
    get lateBlocks() { return page.listening?.late ?? 0; },
    get step_ms() { return page.listening?.step_ms ?? 0; },
    get lit() { return [...(page.listening ? page.take.notes.sounding : page.playback.lit).keys()]; },
  },
});
