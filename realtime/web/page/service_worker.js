// @ts-check
/**
 * Keeps the page for when there is no network. Building the page puts BUILD and FILES before this file, so
 * that another build is another service worker; it takes over when the page is opened the next time.
 */

const worker = /** @type {import("./offline.js").WorkerScope} */ (/** @type {unknown} */ (self));
/** Other pages of hppnet may lie on the same host. */
const PREFIX = `hppnet ${worker.registration.scope} `;
const CACHE = PREFIX + BUILD;
const OWN = new Set(FILES.map((file) => new URL(file, worker.registration.scope).href));

worker.addEventListener("install", (event) => event.waitUntil(fill()));
worker.addEventListener("activate", (event) => event.waitUntil(takeOver()));
worker.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  const file = url.href === worker.registration.scope ? `${url.href}index.html` : url.href;
  // Sound, tokens and streams are in no request for one of these files.
  if (event.request.method === "GET" && OWN.has(file)) event.respondWith(kept(file, event.request));
});

async function fill() {
  const cache = await caches.open(CACHE);
  await cache.addAll([...OWN].map((url) => new Request(url, { cache: "no-cache" })));
}

async function takeOver() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await worker.clients.claim();
}

/** @param {string} file @param {Request} request */
async function kept(file, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(file)) ?? fetch(request);
}
