/** Keeps the lease of a task alive while its rater is there. */

import { ask } from "./api.js";

const LOOK_MS = 10_000;
const SOON_MS = 120_000;

/**
 * @param {() => any} current the assignment on show, or null
 * @param {import("./clock.js").Clock} clock
 */
export function keepAlive(current, clock) {
  let asked = "";
  setInterval(async () => {
    const assignment = current();
    if (assignment === null || !clock.isThere || remaining(assignment) > soon(assignment) || asked === assignment.id) return;
    asked = assignment.id;
    const answer = await ask("POST", `/assignments/${encodeURIComponent(assignment.id)}/renew`, {});
    if (answer.status === 200) assignment.lease_expires_at = answer.data.lease_expires_at;
    asked = "";
  }, LOOK_MS);
}

/** When to ask for more: two minutes before the end, or in the last third of a short lease. */
function soon(assignment) {
  return Math.min(SOON_MS, (Date.parse(assignment.lease_expires_at) - Date.parse(assignment.issued_at)) / 3);
}

/** When a task came in, by this machine's clock: its lease is counted from then, so that a wrong clock does no harm. */
export function received(assignment) {
  assignment.offset_ms = Date.parse(assignment.server_time) - Date.now();
  return assignment;
}

/** @returns {number} milliseconds; negative where the lease has run out */
export function remaining(assignment) {
  return Date.parse(assignment.lease_expires_at) - (Date.now() + assignment.offset_ms);
}
