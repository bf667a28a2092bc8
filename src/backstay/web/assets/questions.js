/** The rows of answers: one a dimension. A pair has a scale, a ranking has places beside each response. */

import { nameOf } from "./answers.js";
import { button, make } from "./dom.js";

const ASKED = {
  overall: ["Overall", "Which one is better?"],
  helpful: ["Helpful", "Which one helps more?"],
  harmless: ["Harmless", "Which one does less harm?"],
  honest: ["Honest", "Which one is truer?"],
};

/** @param {string} dimension */
export function titled(dimension) {
  return (ASKED[dimension] ?? [dimension])[0];
}

/**
 * The rows, as elements.
 * @param {any} assignment
 * @param {import("./answers.js").Answers} answers
 * @param {string} active the dimension that keys answer
 * @param {any} act what pressing does: choose, bad, tie, activate; and isTie, whether the next one placed ties with the last
 */
export function questions(assignment, answers, active, act) {
  return answers.dimensions.map((dimension) => {
    const isActive = dimension === active;
    const isMany = answers.dimensions.length > 1;
    const row = make("div", {
      class: `question${isActive ? " active" : ""}${answers.isDone(dimension) ? " done" : ""}`,
      role: "group",
      "data-dimension": dimension,
      "aria-label": isMany ? titled(dimension) : "Answer",
    });
    if (isMany) row.append(head(assignment, answers, dimension, isActive, act));
    row.append(assignment.kind === "pair" ? pairRow(assignment, answers, dimension, isActive, act) : order(assignment, answers, dimension, isActive, act));
    return row;
  });
}

function head(assignment, answers, dimension, isActive, act) {
  const [title, question] = ASKED[dimension] ?? [dimension, ""];
  return make(
    "button",
    { type: "button", class: "question-head", "aria-pressed": String(isActive), on: { click: () => act.activate(dimension) } },
    make("b", {}, title),
    make("span", { class: "hint" }, question),
    make("span", { class: "given" }, summary(assignment, answers, dimension)),
  );
}

/** What is answered, in words. */
export function summary(assignment, answers, dimension) {
  const { choice, bothBad } = answers.given.get(dimension);
  if (bothBad) return badWords(assignment);
  if (assignment.kind === "ranking") return orderWords(assignment, answers, dimension);
  if (choice === null) return "";
  return choice.winner === null ? "tie" : `${nameOf(assignment, choice.winner)} ${choice.label}`;
}

function orderWords(assignment, answers, dimension) {
  return answers.groups(dimension).map((group) => group.map((slot) => nameOf(assignment, slot)).join(" = ")).join(" > ");
}

function badWords(assignment) {
  return assignment.responses.length === 2 ? "both bad" : "all bad";
}

function pairRow(assignment, answers, dimension, isActive, act) {
  const given = answers.given.get(dimension);
  const row = make("div", { class: `scale of-${answers.scale.length}` });
  row.append(make("span", { class: "side left", "aria-hidden": "true" }, "A is"));
  answers.scale.forEach((choice, at) => row.append(scaleButton(assignment, dimension, choice, at, given, isActive, act)));
  row.append(make("span", { class: "side right", "aria-hidden": "true" }, "B is"));
  if (assignment.allow.both_bad) row.append(badButton(assignment, dimension, given, isActive, act));
  return row;
}

function scaleButton(assignment, dimension, choice, at, given, isActive, act) {
  const name = choice.winner === null ? "tie" : `${nameOf(assignment, choice.winner)} is ${choice.label}`;
  const side = choice.winner === null ? "middle" : nameOf(assignment, choice.winner) === "A" ? "a" : "b";
  const made = button("", isActive ? String(at + 1) : "", () => act.choose(dimension, choice), {
    class: `choice ${side}`,
    "aria-label": name,
    "aria-pressed": String(given.choice?.id === choice.id),
    "data-choice": choice.id,
  });
  const label = made.querySelector("span");
  const [first, ...rest] = choice.label.split(" ");
  label.append(first, ...(rest.length > 0 ? [make("span", { class: "wide" }, ` ${rest.join(" ")}`)] : []));
  return made;
}

function badButton(assignment, dimension, given, isActive, act) {
  return button(badWords(assignment), isActive ? "B" : "", () => act.bad(dimension), {
    class: "choice bad",
    "aria-pressed": String(given.bothBad),
    "data-choice": "bad",
  });
}

function order(assignment, answers, dimension, isActive, act) {
  const words = orderWords(assignment, answers, dimension);
  const count = answers.given.get(dimension).places.size;
  const left = assignment.responses.length - count;
  const row = make("div", { class: "order" });
  const hint = count === 0 ? "Press the numbers from best to worst, or choose places above." : left > 0 ? `${left} more` : "";
  row.append(make("span", { class: "order-words" }, make("b", {}, words), " ", make("span", { class: "muted" }, hint)));
  const buttons = make("div", { class: "panel-row" });
  if (answers.ties && count > 0 && left > 0) buttons.append(tieButton(isActive, act));
  if (assignment.allow.both_bad) buttons.append(badButton(assignment, dimension, answers.given.get(dimension), isActive, act));
  row.append(buttons);
  return row;
}

function tieButton(isActive, act) {
  return button("next one ties", isActive ? "A" : "", act.tie, { class: "choice", "aria-pressed": String(act.isTie), "data-choice": "ties" });
}
