// @ts-check
/** Moving and zooming the roll by touch, mouse, wheel and keyboard. */

import { SPEED } from "./roll.js";

const WHEEL_ZOOM = 1.1;
const KEY_ZOOM = 1.25;

/**
 * @param {import("./roll.js").Roll} roll
 * @param {(seconds: number) => void} onScroll to an earlier (below 0) or later time
 */
export function listenForGestures(roll, onScroll) {
  const { canvas, range } = roll;
  /** @type {Map<number, {x: number, y: number}>} */
  const fingers = new Map();
  const changed = () => roll.change();

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.offsetX, y: event.offsetY };
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1] ?? now;
      const apart = (/** @type {{x: number}} */ finger) => Math.max(20, Math.abs(finger.x - other.x));
      range.zoom(apart(now) / apart(before), (now.x + other.x) / 2 / roll.width);
    } else {
      if (now.x !== before.x) range.move((before.x - now.x) / range.unit);
      if (now.y !== before.y) onScroll((before.y - now.y) / SPEED);
    }
    fingers.set(event.pointerId, now);
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => fingers.delete(/** @type {PointerEvent} */ (event).pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) range.zoom(event.deltaY < 0 ? WHEEL_ZOOM : 1 / WHEEL_ZOOM, event.offsetX / roll.width);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) range.move((event.deltaX || event.deltaY) / range.unit);
    else onScroll(event.deltaY / SPEED);
    changed();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own, such as its zoom
    const act = {
      ArrowLeft: () => range.move(-2), ArrowRight: () => range.move(2),
      ArrowUp: () => onScroll(-1), ArrowDown: () => onScroll(1),
      PageUp: () => onScroll(-roll.span_s), PageDown: () => onScroll(roll.span_s),
      Home: () => onScroll(-Infinity), End: () => onScroll(Infinity),
      "+": () => range.zoom(KEY_ZOOM), "=": () => range.zoom(KEY_ZOOM), "-": () => range.zoom(1 / KEY_ZOOM), 0: () => range.fit(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
    changed();
  });
}
