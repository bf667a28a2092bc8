/**
 * Judgments and skips on their way. Each is written to the device under an id of its own before it is sent, and is sent
 * under that same id until the server has answered: a dead connection, a reload or a crash loses none, and the server
 * takes an id once, so none is doubled.
 */

import { ask, isPassing } from "./api.js";
import { keep, read } from "./kept.js";

const LONGEST_WAIT_MS = 30_000;

/**
 * @typedef {object} Entry
 * @property {string} key the id of this submission
 * @property {string} project
 * @property {string} assignment
 * @property {string} path
 * @property {object} body
 */

/** A UUID version 4; `crypto.randomUUID` exists only where the connection is secure. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export class Outbox {
  /**
   * @param {string} project
   * @param {(problem: import("./api.js").Answer, waitMs: number) => void} onWait told before each wait
   */
  constructor(project, onWait) {
    this.project = project;
    this.onWait = onWait;
    this.wake = () => {};
    addEventListener("online", () => this.wake());
  }

  /** The submission that nobody has acknowledged yet. @returns {Entry | undefined} */
  waiting() {
    return read("outbox", []).find((entry) => entry.project === this.project);
  }

  /**
   * Write down, before anything is sent.
   * @param {string} assignment
   * @param {"judgment" | "skip"} what
   * @param {object} body
   * @returns {{entry: Entry, safe: boolean}}
   */
  put(assignment, what, body) {
    const path = `/assignments/${encodeURIComponent(assignment)}/${what}`;
    const entry = { key: newKey(), project: this.project, assignment, path, body };
    return { entry, safe: keep("outbox", [...read("outbox", []), entry]) };
  }

  /** @param {Entry} entry */
  drop(entry) {
    keep("outbox", read("outbox", []).filter((other) => other.key !== entry.key));
  }

  /**
   * Send until the server answers for good. What it took or refused is dropped; what it could not know (401, 403) stays.
   * @param {Entry} entry
   * @returns {Promise<import("./api.js").Answer>}
   */
  async deliver(entry) {
    const answer = await this.until(() => ask("POST", entry.path, entry.body, { "idempotency-key": entry.key }));
    if (answer.status !== 401 && answer.status !== 403) this.drop(entry);
    return answer;
  }

  /**
   * Repeat a request, with growing pauses, until its answer is no passing trouble.
   * @param {() => Promise<import("./api.js").Answer>} request
   */
  async until(request) {
    for (let tries = 0; ; tries += 1) {
      const answer = await request();
      if (!isPassing(answer)) return answer;
      const wait = Math.min(LONGEST_WAIT_MS, Math.max(1000 * 2 ** Math.min(tries, 6), 1000 * answer.retryAfterS));
      this.onWait(answer, wait);
      await this.rest(wait * (0.75 + Math.random() / 4));
    }
  }

  /** Wait, or until the browser is online again or somebody asks to try now. @param {number} ms */
  rest(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
