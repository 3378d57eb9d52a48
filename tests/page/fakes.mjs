/** Stand-ins for what only browsers have. */

/** Replaces a global, also one that Node defines as a getter, until the test ends. */
export function replace(t, name, value) {
  define(t, name, { value });
}

/** Makes a global that throws when it is read, as a browser's storage that is blocked. */
export function block(t, name) {
  define(t, name, {
    get() {
      throw new Error("SecurityError");
    },
  });
}

function define(t, name, what) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { configurable: true, ...what });
  t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
}
