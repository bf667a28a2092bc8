/** Buttons that copy what stands beside them. Without script, or without a clipboard, they are not there. */

import { byId, say } from "./dom.js";

/** @param {HTMLElement} button */
async function copy(button) {
  const source = byId(/** @type {string} */ (button.dataset.copy));
  const text = source instanceof HTMLTextAreaElement ? source.value : (source.textContent ?? "").trim();
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    say("Copied.");
  } catch {
    say("This browser does not let the page copy. Select the text and copy it.");
    getSelection()?.selectAllChildren(source);
  }
}

if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    /** @type {HTMLElement} */ (button).hidden = false;
    button.addEventListener("click", () => copy(/** @type {HTMLElement} */ (button)));
  }
}
