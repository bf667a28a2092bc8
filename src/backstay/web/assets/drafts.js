/** What a rater has written for a task, kept while they write: it outlives a reload, a crash and a lease that ran out. */

import { keep, read } from "./kept.js";

const MOST = 20;

/** A short digest of a text, to know it again; nothing depends on its being hard to forge. @param {string} text */
export function digest(text) {
  let low = 0x811c9dc5, high = 0x1b873593;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b);
  }
  return `${text.length}-${(low >>> 0).toString(16)}-${(high >>> 0).toString(16)}`;
}

/** The same for the same prompt and responses, in whatever order they are shown. */
function signature(assignment) {
  const prompt = assignment.prompt.map((turn) => [turn.role, turn.text]);
  return digest(JSON.stringify([prompt, assignment.responses.map((response) => response.text).sort()]));
}

/**
 * Keep what is written; what is empty is forgotten.
 * @param {any} assignment
 * @param {{rationale: string, edit: {slot: number, text: string} | null, spans: any[]}} written
 */
export function keepDraft(assignment, written) {
  const own = signature(assignment);
  const others = read("drafts", []).filter((draft) => draft.signature !== own);
  const textOf = (slot) => digest(assignment.responses.find((response) => response.slot === slot)?.text ?? "");
  const isEmpty = !written.rationale && !written.edit && written.spans.length === 0;
  const draft = {
    signature: own,
    assignment: assignment.id,
    rationale: written.rationale,
    edit: written.edit && { of: textOf(written.edit.slot), text: written.edit.text },
    spans: written.spans.map(({ slot, ...span }) => ({ ...span, of: textOf(slot) })),
  };
  return keep("drafts", isEmpty ? others : [...others, draft].slice(-MOST));
}

/**
 * What was written for this task before, with the slots that its responses have now.
 * @returns {{same: boolean, rationale: string, edit: any, spans: any[]} | null} `same`: it is the very same lease
 */
export function draftFor(assignment) {
  const found = read("drafts", []).find((draft) => draft.signature === signature(assignment));
  if (!found) return null;
  const slotOf = (of) => assignment.responses.find((response) => digest(response.text) === of)?.slot;
  const edit = found.edit && slotOf(found.edit.of) !== undefined ? { slot: slotOf(found.edit.of), text: found.edit.text } : null;
  const spans = found.spans.map(({ of, ...span }) => ({ slot: slotOf(of), ...span })).filter((span) => span.slot !== undefined);
  return { same: found.assignment === assignment.id, rationale: found.rationale, edit, spans };
}

export function forgetDraft(assignment) {
  keepDraft(assignment, { rationale: "", edit: null, spans: [] });
}

/** The server has a judgment of this assignment: what was written for it need not stay. @param {string} id */
export function forgetAssignment(id) {
  keep("drafts", read("drafts", []).filter((draft) => draft.assignment !== id));
}
