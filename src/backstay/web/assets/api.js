/** Requests to the console's own API. */

export const BASE = "/api/v1";

/**
 * @typedef {object} Answer
 * @property {number} status 0 where nobody answered
 * @property {any} data
 * @property {number} retryAfterS what the server asks to wait; 0 where it says nothing
 */

/** @param {string} name */
function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/** The headers of every request: what is wanted, and the token of this session. @returns {Record<string, string>} */
export function ownHeaders() {
  return { accept: "application/json", "x-backstay-csrf": meta("csrf") };
}

/** Whose page this is; what is kept on the device is kept under it. */
export const account = meta("account");

/**
 * Ask, and give back what was answered; a dead connection is an answer with status 0, never an exception.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<Answer>}
 */
export async function ask(method, path, body, headers = {}) {
  const given = { ...ownHeaders(), ...headers };
  if (body !== undefined) given["content-type"] = "application/json";
  try {
    const answer = await fetch(BASE + path, {
      method,
      headers: given,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.timeout(20_000),
    });
    const data = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
    return { status: answer.status, data, retryAfterS: Number(answer.headers.get("retry-after")) || 0 };
  } catch {
    return { status: 0, data: null, retryAfterS: 0 };
  }
}

/** Whether the same request may be answered otherwise later. @param {Answer} answer */
export function isPassing(answer) {
  return answer.status === 0 || answer.status === 408 || answer.status === 429 || answer.status >= 500;
}

/** What an error says, as sentences. @param {Answer} answer */
export function told(answer) {
  const error = answer.data?.error;
  const parts = [error?.message, error?.cure].filter(Boolean).map((part) => sentence(String(part)));
  return parts.join(" ") || `The server answered ${answer.status}.`;
}

/** @param {string} words */
function sentence(words) {
  const whole = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
