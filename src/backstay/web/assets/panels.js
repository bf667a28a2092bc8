/** What opens above the answers: reasons to skip, flags, a rationale, an improved response, the keys. */

import { nameOf } from "./answers.js";
import { button, byId, make } from "./dom.js";

export const SKIPS = [
  ["unclear", "Unclear"],
  ["not_my_field", "Not my field"],
  ["language", "Not my language"],
  ["uncomfortable", "Uncomfortable"],
  ["broken", "Broken"],
  ["other", "Other"],
];
const FLAGS = [["personal_data", "Personal data"], ["unsafe", "Unsafe"], ["broken", "Broken"]];
const LIMITS = { rationale: 4000, edit: 20_000, note: 1000 };
const KEYS = [
  ["1 – 7", "answer; with several questions, on to the next"],
  ["1 – 8", "ranking: the next best response"],
  ["A", "ranking: the next one ties with the last; otherwise: back to the question before"],
  ["B", "all are bad"],
  ["D", "done: send (also Ctrl + Enter)"],
  ["Z", "take the last judgment back"],
  ["S F R E", "skip, flag, reason, improve"],
  ["V", "mark text in the source"],
  ["G", "guidelines"],
  ["T", "pause, go on"],
  ["Q", "this list"],
  ["Esc", "leave a field, close what is open"],
];

/** @typedef {{element: HTMLElement, keys: Record<string, () => void>}} Panel */

function framed(title, ...content) {
  return make("div", { class: "panel", role: "group", "aria-labelledby": "panel-title" }, make("h3", { id: "panel-title", tabindex: "-1" }, title), ...content);
}

/** @param {(reason: string, note: string) => void} act @returns {Panel} */
export function skipPanel(act) {
  const note = make("input", { id: "skip-note", maxlength: LIMITS.note, autocomplete: "off" });
  const keys = {};
  const row = SKIPS.map(([reason, label], at) => {
    keys[at + 1] = () => act(reason, note.value);
    return button(label, String(at + 1), keys[at + 1], { class: "tool choice", "data-reason": reason });
  });
  const label = make("label", { for: "skip-note" }, "A word about it ", make("span", { class: "muted" }, "optional, before you choose"));
  return { element: framed("Skip: why?", make("div", { class: "panel-row" }, ...row), label, note), keys };
}

/** @param {any} assignment @param {any} state @param {() => void} changed @returns {Panel} */
export function flagPanel(assignment, state, changed) {
  const targets = [[null, "All of it"], ...assignment.responses.map((response) => [response.slot, `Response ${nameOf(assignment, response.slot)}`])];
  let at = 0;
  const keys = {};
  const element = framed("Flag: what is wrong, and with which?");
  const has = (flag) => state.flags.some((one) => one.slot === targets[at][0] && one.flag === flag);
  const toggle = (flag) => {
    const slot = targets[at][0];
    state.flags = has(flag) ? state.flags.filter((one) => one.slot !== slot || one.flag !== flag) : [...state.flags, { slot, flag }];
    draw();
    changed();
  };
  const aim = (next) => {
    at = next % targets.length;
    draw();
  };
  const draw = () => {
    const whom = targets.map(([, label], n) => button(label, n === (at + 1) % targets.length ? "A" : "", () => aim(n), { class: "tool choice", "aria-pressed": String(n === at) }));
    const what = FLAGS.map(([flag, label], n) => button(label, String(n + 1), () => toggle(flag), { class: "tool choice", "data-flag": flag, "aria-pressed": String(has(flag)) }));
    redraw(element, make("div", { class: "panel-row", role: "group", "aria-label": "With which" }, ...whom), make("div", { class: "panel-row", role: "group", "aria-label": "What is wrong" }, ...what));
  };
  keys.A = () => aim(at + 1);
  FLAGS.forEach(([flag], n) => (keys[n + 1] = () => toggle(flag)));
  draw();
  return { element, keys };
}

/** Exchange what follows a panel's heading, and keep the focus at the same button. */
function redraw(element, ...rows) {
  const old = [...element.querySelectorAll("button")];
  const focused = old.indexOf(/** @type {any} */ (document.activeElement));
  element.replaceChildren(element.firstChild, ...rows);
  if (focused >= 0) element.querySelectorAll("button")[focused]?.focus();
}

/** @param {any} state @param {() => void} changed @returns {Panel} */
export function reasonPanel(state, changed) {
  const area = make("textarea", { id: "rationale", rows: "3", maxlength: LIMITS.rationale, dir: "auto" });
  area.value = state.rationale;
  area.addEventListener("input", () => {
    state.rationale = area.value;
    changed();
  });
  const label = make("label", { for: "rationale", class: "help" }, "Why you judge so; optional. Esc leaves the field and keeps the text.");
  return { element: framed("Reason", label, area), keys: {}, focus: area };
}

/** @param {any} assignment @param {any} state @param {() => void} changed @returns {Panel} */
export function editPanel(assignment, state, changed) {
  const element = framed("Improve a response");
  const keys = {};
  const textOf = (slot) => assignment.responses.find((response) => response.slot === slot).text;
  const begin = (slot) => {
    state.edit = { slot, text: textOf(slot) };
    draw();
    byId("edit-text").focus();
  };
  const draw = () => {
    const which = assignment.responses.map((response, n) => {
      keys[n + 1] = () => begin(response.slot);
      return button(`Response ${nameOf(assignment, response.slot)}`, String(n + 1), keys[n + 1], { class: "tool choice", "aria-pressed": String(state.edit?.slot === response.slot) });
    });
    const rows = [make("div", { class: "panel-row" }, ...which)];
    if (state.edit) rows.push(...editor(state, changed, () => { state.edit = null; changed(); draw(); }));
    redraw(element, ...rows);
  };
  draw();
  return { element, keys };
}

function editor(state, changed, discard) {
  const area = make("textarea", { id: "edit-text", rows: "8", maxlength: LIMITS.edit, dir: "auto" });
  area.value = state.edit.text;
  area.addEventListener("input", () => {
    state.edit = { slot: state.edit.slot, text: area.value };
    changed();
  });
  const label = make("label", { for: "edit-text", class: "help" }, "Write it as it should be. A reviewer reads it; then it may become an example to learn from.");
  return [label, area, make("div", { class: "buttons" }, make("button", { type: "button", class: "quiet", on: { click: discard } }, "Discard the improvement"))];
}

/** @param {{keys: boolean, clock: boolean}} settings @param {() => void} changed @returns {Panel} */
export function keysPanel(settings, changed) {
  const list = make("dl", { class: "keys" }, ...KEYS.map(([key, what]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, what))));
  const toggle = (name, label) => {
    const box = make("input", { type: "checkbox", id: `setting-${name}` });
    box.checked = settings[name];
    box.addEventListener("change", () => {
      settings[name] = box.checked;
      changed();
    });
    return make("label", { class: "check", for: `setting-${name}` }, box, label);
  };
  return { element: framed("Keys", list, toggle("keys", "Single keys answer"), toggle("clock", "Show the clock")), keys: {} };
}
