// @ts-check

/** Lets waiting messages be handled; a timer would add milliseconds, and seconds in a hidden page. */
export function pause() {
  return new Promise((go) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      go(null);
    };
    port2.postMessage(null);
  });
}
