/** A file on its way to the console's API. Of all that a page can ask with, only this tells how much has gone up. */

import { BASE, ownHeaders } from "./api.js";

/**
 * @typedef {object} Sent
 * @property {number} status 0 where nobody answered
 * @property {any} data
 * @property {boolean} isWhole whether every byte had gone up
 * @property {boolean} isCancelled
 */

/**
 * Send a file as the body of a POST; a dead connection is an answer with status 0, never an exception.
 * @param {string} path
 * @param {Blob} file
 * @param {(share: number, bytes: number) => void} onPart
 * @param {() => void} onWhole
 * @returns {{answer: Promise<Sent>, cancel: () => void}}
 */
export function upload(path, file, onPart, onWhole) {
  const request = new XMLHttpRequest();
  let isWhole = false;
  request.open("POST", BASE + path);
  const headers = { ...ownHeaders(), "content-type": "application/octet-stream" };
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", (event) => onPart(event.total ? event.loaded / event.total : 1, event.loaded));
  request.upload.addEventListener("load", () => {
    isWhole = true;
    onWhole();
  });
  const answer = new Promise((resolve) => {
    const end = (isCancelled) => resolve({ status: request.status, data: read(request), isWhole, isCancelled });
    for (const name of ["load", "error"]) request.addEventListener(name, () => end(false));
    request.addEventListener("abort", () => end(true));
  });
  request.send(file);
  return { answer, cancel: () => request.abort() };
}

/** @param {XMLHttpRequest} request */
function read(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return null;
  }
}

/** Whether the browser can still read a file that was chosen: not once it has changed on the disk. @param {Blob} file */
export async function canRead(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
