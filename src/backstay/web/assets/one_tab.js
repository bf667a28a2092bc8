/** One tab of a browser rates at a time: two would show the same task twice. */

import { account } from "./api.js";

/**
 * Hold the project for this tab, for as long as it lives; a tab that dies lets go of it by itself.
 * Locks exist only on secure connections and on this machine; elsewhere the server's one lease a rater has to do.
 * @param {string} project
 * @param {() => void} onLost another tab has taken over
 * @param {boolean} steal take it from the tab that has it
 * @returns {Promise<boolean>} whether this tab has it
 */
export function claim(project, onLost, steal = false) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const options = steal ? { steal: true } : { ifAvailable: true };
    navigator.locks
      .request(`backstay.${account}.rate.${project}`, options, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise(() => {});
      })
      .catch(() => onLost());
  });
}
