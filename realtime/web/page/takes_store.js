// @ts-check
/** Takes that survive a reload, in the browser's database (IndexedDB). */

import { Take } from "./take.js";

const DATABASE = "hppnet";
const TAKES = "takes"; // name, times, notes
const SOUNDS = "sounds"; // separate, so that listing the takes does not read them

/**
 * @typedef {{id: string, name: string, created_ms: number, duration_s: number, ending: string,
 *   notes: import("./notes.js").Note[], presses: import("./notes.js").Press[]}} Row
 */

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
      wish.onsuccess = () => resolve(wish.result);
      wish.onerror = () => reject(wish.error);
    });
    return this.opened;
  }

  /** All takes, the newest first, without their sound. @returns {Promise<Row[]>} */
  async list() {
    /** @type {Row[]} */
    const rows = await this.run([TAKES], "readonly", (of) => of(TAKES).getAll());
    return rows.sort((a, b) => b.created_ms - a.created_ms);
  }

  /** Stores notes and name, without the sound. @param {Take} take */
  async putNotes(take) {
    /** @type {Row} */
    const row = {
      id: take.id, name: take.name, created_ms: take.created_ms, duration_s: take.duration_s, ending: take.audioEnding,
      notes: take.notes.all, presses: take.notes.presses,
    };
    await this.run([TAKES], "readwrite", (of) => of(TAKES).put(row));
  }

  /** Stores a take; without its sound if there is no room for it. @param {Take} take @returns whether all was stored */
  async put(take) {
    await this.putNotes(take);
    if (!take.audio) return true;
    try {
      await this.run([SOUNDS], "readwrite", (of) => of(SOUNDS).put(take.audio, take.id));
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
    Object.assign(take, { id, created_ms: row.created_ms, duration_s: row.duration_s, audioEnding: row.ending });
    take.notes.all = row.notes;
    take.notes.presses = row.presses;
    take.notes.endAll(row.duration_s);
    take.audio = (await this.run([SOUNDS], "readonly", (of) => of(SOUNDS).get(id))) ?? null;
    return take;
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
