// @ts-check
/**
 * Keeps the page for offline use. The build puts BUILD and FILES before this file, so each build is a new service
 * worker, which takes over when the page is next opened.
 */

const worker = /** @type {import("./offline.js").WorkerScope} */ (/** @type {unknown} */ (self));
/** Other pages of hppnet may lie on the same host. */
const PREFIX = `hppnet ${worker.registration.scope} `;
const CACHE = PREFIX + BUILD;
/** Recordings of a piano, kept once requested; they are the same in every build. */
const SAMPLES = `${PREFIX}samples`;
const OWN = new Set(FILES.map((file) => new URL(file, worker.registration.scope).href));

worker.addEventListener("install", (event) => event.waitUntil(fill()));
worker.addEventListener("activate", (event) => event.waitUntil(takeOver()));
worker.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  const file = url.href === worker.registration.scope ? `${url.href}index.html` : url.href;
  // Requests for these files contain no sound, token or stream.
  if (event.request.method !== "GET") return;
  if (OWN.has(file)) event.respondWith(kept(file, event.request));
  else if (file.startsWith(`${worker.registration.scope}samples/`)) event.respondWith(keptOnceLoaded(file, event.request));
});

async function fill() {
  const cache = await caches.open(CACHE);
  await cache.addAll([...OWN].map((url) => new Request(url, { cache: "no-cache" })));
}

async function takeOver() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && ![CACHE, SAMPLES].includes(name));
  await Promise.all(old.map((name) => caches.delete(name)));
  await worker.clients.claim();
}

/** @param {string} file @param {Request} request */
async function kept(file, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(file)) ?? fetch(request);
}

/** @param {string} file @param {Request} request */
async function keptOnceLoaded(file, request) {
  const cache = await caches.open(SAMPLES);
  const kept = await cache.match(file);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(file, answer.clone()).catch(() => {}); // no room: it is loaded again the next time
  return answer;
}
