// @ts-check
/** Takes that survive a reload, in the browser's database (IndexedDB). */

import { wav } from "./recording.js";
import { Take } from "./take.js";

const DATABASE = "hppnet";
const TAKES = "takes"; // name, times, notes
/** Sounds by the take's id, or in chunks by [id, number]: separate, so that listing the takes does not read them. */
const SOUNDS = "sounds";

/**
 * @typedef {{id: string, name: string, created_ms: number, duration_s: number, ending: string,
 *   rate: number, notes: import("./notes.js").Note[], presses: import("./notes.js").Press[]}} Row
 */

/** The keys of a take's chunks: an array follows every number. @param {string} id */
const chunksOf = (id) => IDBKeyRange.bound([id], [id, []]);

export class TakesStore {
  constructor() {
    /** @type {Promise<IDBDatabase> | null} */
    this.opened = null;
  }

  open() {
    this.opened ??= new Promise((resolve, reject) => {
      const wish = indexedDB.open(DATABASE, 1);
      wish.onupgradeneeded = () => {
        wish.result.createObjectStore(TAKES, { keyPath: "id" });
        wish.result.createObjectStore(SOUNDS);
      };
      const again = () => (this.opened = null); // the next use opens it again
      wish.onsuccess = () => {
        wish.result.onclose = again;
        resolve(wish.result);
      };
      wish.onerror = () => {
        again();
        reject(wish.error);
      };
    });
    return this.opened;
  }

  /**
   * All takes, the newest first, without their sound but with whether there is one.
   * @returns {Promise<(Row & {sounds: boolean})[]>}
   */
  async list() {
    /** @type {Row[]} */
    const rows = await this.run([TAKES], "readonly", (of) => of(TAKES).getAll());
    const keys = await this.run([SOUNDS], "readonly", (of) => of(SOUNDS).getAllKeys());
    const sounding = new Set(keys.flat());
    return rows
      .sort((a, b) => b.created_ms - a.created_ms)
      .map((row) => ({ ...row, sounds: sounding.has(row.id) }));
  }

  /** Stores notes and name, without the sound. @param {Take} take */
  async putNotes(take) {
    /** @type {Row} */
    const row = {
      id: take.id, name: take.name, created_ms: take.created_ms, duration_s: take.duration_s, ending: take.audioEnding,
      rate: take.rate, notes: take.notes.all, presses: take.notes.presses,
    };
    await this.run([TAKES], "readwrite", (of) => of(TAKES).put(row));
  }

  /**
   * Stores an unfinished take: its notes, and the chunks of its sound that are full and not stored yet.
   * @param {Take} take
   * @param {import("./recording.js").Recording} recording
   */
  async putUnfinished(take, recording) {
    await this.putNotes(take);
    /** @type {number} */
    const stored = await this.run([SOUNDS], "readonly", (of) => of(SOUNDS).count(chunksOf(take.id)));
    for (const [n, chunk] of recording.chunks.entries()) {
      if (n >= stored) await this.run([SOUNDS], "readwrite", (of) => of(SOUNDS).put(chunk, [take.id, n]));
    }
  }

  /** Stores a take; without its sound if there is no room for it. @param {Take} take @returns whether all was stored */
  async put(take) {
    await this.putNotes(take);
    if (!take.audio) return true;
    try {
      await this.run([SOUNDS], "readwrite", (of) => {
        of(SOUNDS).delete(chunksOf(take.id));
        return of(SOUNDS).put(take.audio, take.id);
      });
      return true;
    } catch {
      return false;
    }
  }

  /** @param {string} id @returns {Promise<Take | null>} */
  async get(id) {
    /** @type {Row | undefined} */
    const row = await this.run([TAKES], "readonly", (of) => of(TAKES).get(id));
    if (!row) return null;
    const take = new Take(row.name);
    Object.assign(take, { id, created_ms: row.created_ms, duration_s: row.duration_s, audioEnding: row.ending, rate: row.rate });
    take.notes.restore(row.notes, row.presses, row.duration_s);
    take.audio = (await this.run([SOUNDS], "readonly", (of) => of(SOUNDS).get(id))) ?? (await this.unfinished(row));
    return take;
  }

  /** The sound of a take that was never finished, null if there is none. @param {Row} row @returns {Promise<Blob | null>} */
  async unfinished({ id, rate }) {
    /** @type {Blob[]} */
    const chunks = await this.run([SOUNDS], "readonly", (of) => of(SOUNDS).getAll(chunksOf(id)));
    return chunks.length ? wav(chunks, rate) : null;
  }

  /** @param {string} id @param {string} name */
  async rename(id, name) {
    /** @type {Row | undefined} */
    const row = await this.run([TAKES], "readonly", (of) => of(TAKES).get(id));
    if (row) await this.run([TAKES], "readwrite", (of) => of(TAKES).put({ ...row, name }));
  }

  /** @param {string} id */
  async remove(id) {
    await this.run([TAKES, SOUNDS], "readwrite", (of) => {
      of(SOUNDS).delete(id);
      of(SOUNDS).delete(chunksOf(id));
      return of(TAKES).delete(id);
    });
  }

  /**
   * Returns the result of a request once its transaction is complete.
   * @param {string[]} stores
   * @param {IDBTransactionMode} mode
   * @param {(of: (store: string) => IDBObjectStore) => IDBRequest} ask
   * @returns {Promise<any>}
   */
  async run(stores, mode, ask) {
    const transaction = (await this.open()).transaction(stores, mode);
    return new Promise((resolve, reject) => {
      const request = ask((store) => transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? request.error);
    });
  }
}
