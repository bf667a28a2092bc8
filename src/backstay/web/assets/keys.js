/** Single keys, for one hand: the digits and letters that are printed on the buttons. */

export const CALM_MS = 250;
const EDITABLE = "textarea, select, input:not([type=checkbox]):not([type=radio])";

/**
 * The name of a key as it is printed: by what it writes, or by where it lies where that is no Latin letter or digit.
 * @param {KeyboardEvent} event
 */
export function named(event) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  if (digit) return digit[1];
  if (/^[a-z]$/i.test(event.key)) return event.key.toUpperCase();
  const letter = /^Key([A-Z])$/.exec(event.code);
  return letter ? letter[1] : event.key;
}

/**
 * Listen. A key that is held down counts once; a key within 250 ms of a new task was meant for the last one.
 * @param {{isOn: () => boolean, shownAt: () => number, press: (name: string) => boolean, escape: () => void, finish: () => void}} to
 */
export function listen(to) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.repeat || event.altKey || event.isComposing) return;
    if (event.key === "Escape") return to.escape();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return to.finish();
    if (event.ctrlKey || event.metaKey || target.matches?.(EDITABLE) || !to.isOn()) return;
    const name = named(event);
    if (!/^[A-Z0-9?]$/.test(name)) return;
    if (performance.now() - to.shownAt() < CALM_MS) return event.preventDefault();
    if (to.press(name)) event.preventDefault();
  });
}
