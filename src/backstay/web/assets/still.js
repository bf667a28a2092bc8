/** The page without a task: a pause, an end, another tab, a sign-in that ran out. */

import { byId, make, say } from "./dom.js";

/**
 * @param {string} title
 * @param {string} text
 * @param {(HTMLElement)[]} buttons
 */
export function showStill(title, text, ...buttons) {
  byId("still-title").textContent = title;
  byId("still-text").textContent = text;
  byId("still-buttons").replaceChildren(...buttons);
  byId("still").hidden = false;
  byId("desk").hidden = byId("answer").hidden = true;
  byId("still-title").focus();
  say(`${title}. ${text}`);
}

export function showDesk() {
  byId("still").hidden = true;
  byId("desk").hidden = byId("answer").hidden = false;
}

/** A link that looks like a button. @param {string} label @param {string} href @param {string} [kind] */
export function way(label, href, kind = "main") {
  return make("a", { class: `button ${kind}`, href }, label);
}

/** Why there is no task, by the API's word for it. */
export const WHY = {
  done: ["All done", "You have judged everything in this project that was meant for you. Thank you."],
  nothing_left: ["Nothing left for now", "Every task here has the judgments it needs, or waits for other raters. Look again later."],
  paused: ["Paused for now", "A lead has paused this project, or your rating in it. What you have judged is kept. Look again later, or ask them."],
  closed: ["This project is closed", "It takes no more judgments. What you have judged is kept."],
  requalify: ["Read the guidelines again first", "A lead asks you to qualify again for this project. They will tell you how."],
};
