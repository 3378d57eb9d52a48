// @ts-check
/** The page without a network: the service worker, and word of a newer page. */

/**
 * @typedef {ExtendableEventLike & {request: Request, respondWith: (answer: Promise<Response>) => void}} FetchEventLike
 * @typedef {Event & {waitUntil: (until: Promise<unknown>) => void}} ExtendableEventLike
 * @typedef {{
 *   registration: {scope: string}, clients: {claim: () => Promise<void>},
 *   addEventListener: (kind: string, listener: (event: FetchEventLike) => void) => void,
 * }} WorkerScope what a service worker knows; TypeScript's library for pages does not have it
 */

/**
 * @param {() => void} onReady from now on it works offline
 * @param {() => void} onUpdate a newer page was fetched, for the next start
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
    // Private windows and some settings allow none: the page works as long as there is a network.
  }
}
