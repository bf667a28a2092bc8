/** Keys of the pages of decisions, and a page that waits for a walk over the journal. Everything works without it. */

import { ask } from "./api.js";
import { named } from "./keys.js";

const EDITABLE = "textarea, select, input:not([type=checkbox]):not([type=radio])";
const WAIT_MS = 1000;

/** The choice of this key in the first question without an answer; in the last one where all are answered. @param {string} key */
function choose(key) {
  const questions = [...document.querySelectorAll("[data-keys] fieldset")];
  const next = questions.find((question) => !question.querySelector(":checked")) ?? questions.at(-1);
  const found = /** @type {HTMLInputElement|null} */ (next?.querySelector(`input[data-key="${key}"]`) ?? null);
  if (found === null) return false;
  found.checked = true;
  found.focus();
  return true;
}

/** Leaving the reason is one key, so that the next one settles. @param {KeyboardEvent} event */
function leave(event) {
  if (event.key !== "Escape" || !(event.target instanceof HTMLTextAreaElement)) return;
  event.target.blur();
}

/** @param {string} name */
function press(name) {
  if (name === "R") {
    const reason = document.getElementById("reason");
    reason?.focus();
    return reason !== null;
  }
  if (choose(name)) return true;
  const found = /** @type {HTMLElement|null} */ (document.querySelector(`button[data-key="${name}"], a[data-key="${name}"]`));
  found?.click();
  return found !== null;
}

document.addEventListener("keydown", (event) => {
  leave(event);
  const target = /** @type {Element} */ (event.target);
  if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  if (target.matches?.(EDITABLE)) return;
  const name = named(event);
  if (/^[A-Z0-9]$/.test(name) && press(name)) event.preventDefault();
});

for (const form of document.querySelectorAll("form[data-keys]")) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
}

/** Loads the page again once the walk has ended. */
async function watch() {
  const answer = await ask("GET", "/audit/verify");
  if (answer.data?.walk?.ended_at) location.reload();
  else setTimeout(watch, WAIT_MS);
}

if (document.querySelector("[data-walking]")) {
  setTimeout(watch, WAIT_MS);
}
