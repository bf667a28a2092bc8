/** What stays on the device, under the account's own name: other accounts of the same browser never see it. */

import { account } from "./api.js";

const inMemory = new Map();

/** @param {string} what */
function place(what) {
  return `backstay.${account}.${what}`;
}

/**
 * @param {string} what
 * @param {any} otherwise
 */
export function read(what, otherwise) {
  if (inMemory.has(what)) return inMemory.get(what);
  try {
    const text = localStorage.getItem(place(what));
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/**
 * Keep a value; without storage it is kept for as long as the page lives.
 * @param {string} what
 * @param {any} value
 * @returns {boolean} whether it would survive the page
 */
export function keep(what, value) {
  try {
    localStorage.setItem(place(what), JSON.stringify(value));
    inMemory.delete(what);
    return true;
  } catch {
    inMemory.set(what, value);
    return false;
  }
}
