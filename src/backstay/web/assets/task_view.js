/** The prompt and its responses. All of their content stands in bordered regions that it cannot leave. */

import { nameOf } from "./answers.js";
import { byId, make } from "./dom.js";
import { shown } from "./safe_html.js";
import { SourceView } from "./source_view.js";

const LONG = 12_000;
const ROLES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };
const FLAGS = { personal_data: "personal data", unsafe: "unsafe", broken: "broken" };

/** A region for untrusted content. */
function region(html, text, label) {
  const isLong = text.length > LONG;
  const frame = isLong ? { tabindex: "0", role: "region", "aria-label": label } : {};
  return make("div", { class: isLong ? "content long" : "content", ...frame }, shown(html, text));
}

/** What scrolls sideways must be reachable by keyboard. @param {Element} within */
export function makeScrollable(within) {
  for (const element of within.querySelectorAll(".content pre, .content table")) {
    if (element.scrollWidth <= element.clientWidth) continue;
    element.tabIndex = 0;
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", element.tagName === "TABLE" ? "Table" : "Code");
  }
}

/** @param {any} assignment */
export function showPrompt(assignment) {
  const isDialogue = assignment.prompt.length > 1;
  byId("prompt-title").textContent = isDialogue ? "Dialogue" : "Prompt";
  byId("prompt").replaceChildren(...assignment.prompt.map((turn) => {
    const role = ROLES[turn.role] ?? turn.role;
    const kind = turn.role in ROLES ? turn.role : "other";
    const isLabelled = isDialogue || turn.role !== "user";
    return make("div", { class: `turn ${kind}` }, ...(isLabelled ? [make("p", { class: "role" }, role)] : []), region(turn.html, turn.text, `${role}'s turn`));
  }));
}

/**
 * @param {any} assignment
 * @param {any} state of the task: answers, active dimension, flags, spans, whether sources are shown
 * @param {any} act
 */
export function showResponses(assignment, state, act) {
  const box = byId("responses");
  box.className = `responses of-${Math.min(assignment.responses.length, 4)}`;
  box.replaceChildren(...assignment.responses.map((response) => card(assignment, response, state, act)));
  makeScrollable(byId("desk"));
}

function card(assignment, response, state, act) {
  const name = nameOf(assignment, response.slot);
  const title = make("h3", { class: "response-title", id: `response-${response.slot}` }, make("span", { class: "unheard" }, "Response "), name);
  const head = make("div", { class: "response-head" }, title, make("div", { class: "chips" }));
  if (assignment.kind === "ranking") head.append(places(assignment, response, name, act));
  const body = state.isMarking ? marking(response, name, state, act) : region(response.html, response.text, `Response ${name}`);
  return make("article", { class: "response", "aria-labelledby": title.id, "data-slot": response.slot }, head, body);
}

function marking(response, name, state, act) {
  const own = () => state.spans.filter((span) => span.slot === response.slot);
  return new SourceView(response, name, own, {
    mark: (start, end, label) => act.mark(response.slot, start, end, label),
    clear: (start, end) => act.mark(response.slot, start, end, null),
  }).element;
}

function places(assignment, response, name, act) {
  const count = assignment.responses.length;
  const group = make("div", { class: "places", role: "group", "aria-label": `Place of response ${name}` });
  for (let place = 1; place <= count; place += 1) {
    const press = () => act.place(response.slot, place);
    group.append(make("button", { type: "button", class: "place", "data-place": place, "aria-pressed": "false", "aria-label": `${ordinal(place)} place`, on: { click: press } }, ordinal(place)));
  }
  return group;
}

/** @param {number} place */
export function ordinal(place) {
  return `${place}${["st", "nd", "rd"][place - 1] ?? "th"}`;
}

/** Bring what changes with answers and flags up to date, and leave the content alone. */
export function refreshResponses(assignment, state) {
  for (const response of assignment.responses) {
    const article = document.querySelector(`.response[data-slot="${Number(response.slot)}"]`);
    const given = state.answers.given.get(state.active);
    for (const place of article.querySelectorAll(".place")) {
      place.setAttribute("aria-pressed", String(given.places.get(response.slot) === Number(place.dataset.place)));
    }
    article.classList.toggle("best", isBest(state.answers, given, response.slot));
    article.querySelector(".chips").replaceChildren(...chips(response.slot, state).map((words) => make("span", { class: "tag" }, words)));
  }
}

function isBest(answers, given, slot) {
  if (answers.kind === "pair") return given.choice?.winner === slot;
  const best = Math.min(...given.places.values());
  return given.places.size > 0 && given.places.get(slot) === best;
}

function chips(slot, state) {
  const flags = state.flags.filter((flag) => flag.slot === slot).map((flag) => FLAGS[flag.flag]);
  const count = state.spans.filter((span) => span.slot === slot).length;
  const marks = count > 0 ? [`${count} ${count === 1 ? "mark" : "marks"}`] : [];
  return [...flags, ...marks, ...(state.edit?.slot === slot ? ["improved"] : [])];
}
