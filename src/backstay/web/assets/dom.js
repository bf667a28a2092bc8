/** Elements without markup: nothing here parses HTML. */

/**
 * The element with this id, which the page's template holds.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element #${id}`);
  return found;
}

/**
 * A new element. `on` holds listeners; a value of false or null leaves its attribute out; true sets it empty.
 * @param {string} tag
 * @param {Record<string, any>} [given]
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  const { on = {}, ...attributes } = given;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children);
  return element;
}

/**
 * A button with its key printed on it.
 * @param {string} label
 * @param {string} key
 * @param {() => void} act
 * @param {Record<string, any>} [given]
 */
export function button(label, key, act, given = {}) {
  const shortcut = key ? { "aria-keyshortcuts": key } : {};
  const made = make("button", { type: "button", class: "tool", ...shortcut, ...given }, make("span", {}, label));
  if (key) made.append(make("kbd", { "aria-hidden": "true" }, key));
  made.addEventListener("click", (event) => {
    if (event.detail < 2) act();
  });
  return made;
}

/** Says something to a screen reader, politely. @param {string} words */
export function say(words) {
  byId("live").textContent = words;
}

/** @param {number} ms @returns {Promise<void>} */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
