/** What the page has to tell, above the task: one notice a kind, and none that takes the focus. */

import { byId, make, say } from "./dom.js";

/**
 * @param {string} kind a later notice of the same kind takes its place
 * @param {"warn" | "bad" | "good"} tone
 * @param {string} title
 * @param {string} text
 * @param {[string, () => void][]} [buttons]
 */
export function tell(kind, tone, title, text, buttons = []) {
  const row = buttons.map(([label, act]) => make("button", { type: "button", class: "plain", on: { click: act } }, label));
  const note = make("div", { class: `note ${tone}`, "data-kind": kind }, make("div", { class: "note-words" }, make("h2", {}, title), make("p", {}, text)));
  note.append(make("div", { class: "buttons" }, ...row, make("button", { type: "button", class: "quiet", "aria-label": `Close: ${title}`, on: { click: () => note.remove() } }, "Close")));
  take(kind);
  byId("notices").append(note);
  say(`${title}. ${text}`);
}

/** Take a notice away. @param {...string} kinds */
export function take(...kinds) {
  for (const note of byId("notices").querySelectorAll("[data-kind]")) {
    if (kinds.includes(note.getAttribute("data-kind") ?? "")) note.remove();
  }
}
