/** Progress in the bar at the top: counts, no pressure. */

import { byId } from "./dom.js";
import { worded } from "./clock.js";

/** @param {any} progress */
export function showProgress(progress) {
  byId("work").hidden = false;
  byId("done-today").textContent = String(progress.done_today);
  byId("streak").textContent = String(progress.streak_days);
  byId("streak-figure").hidden = progress.streak_days < 2;
  byId("left").textContent = String(progress.left ?? "");
  byId("left-figure").hidden = progress.left === null;
}

/** @param {number} ms @param {boolean} isWanted */
export function showClock(ms, isWanted) {
  byId("clock-figure").hidden = !isWanted;
  byId("clock").textContent = worded(ms);
}

/** What a pause says. @param {any} progress */
export function soFar(progress) {
  const pace = progress.per_hour === null ? "" : `, about ${Math.round(progress.per_hour)} an hour`;
  return `The clock stands still. You have judged ${progress.done_today} today${pace}.`;
}
