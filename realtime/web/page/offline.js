// @ts-check
/** Registers the service worker, so that the page works offline, and reports a newer page. */

/**
 * @typedef {ExtendableEventLike & {request: Request, respondWith: (answer: Promise<Response>) => void}} FetchEventLike
 * @typedef {Event & {waitUntil: (until: Promise<unknown>) => void}} ExtendableEventLike
 * @typedef {{
 *   registration: {scope: string}, clients: {claim: () => Promise<void>},
 *   addEventListener: (kind: string, listener: (event: FetchEventLike) => void) => void,
 * }} WorkerScope global scope of a service worker, which TypeScript's library for pages lacks
 */

/**
 * @param {() => void} onReady the page works offline from now on
 * @param {() => void} onUpdate a newer page was fetched; it is used at the next start
 */
export async function keepForOffline(onReady, onUpdate) {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("service_worker.js");
    if (registration.waiting) onUpdate();
    registration.addEventListener("updatefound", () => {
      const next = registration.installing;
      next?.addEventListener("statechange", () => {
        if (next.state === "installed" && navigator.serviceWorker.controller) onUpdate();
      });
    });
    await navigator.serviceWorker.ready;
    onReady();
  } catch {
    // Private windows and some settings forbid service workers: the page then works online only.
  }
}
