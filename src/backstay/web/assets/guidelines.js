/** The guidelines beside the task, and whether they have changed since this rater last read them. */

import { ask } from "./api.js";
import { byId, say } from "./dom.js";
import { keep, read } from "./kept.js";
import { take, tell } from "./notices.js";
import { shown } from "./safe_html.js";

export class Guidelines {
  /** @param {string} project */
  constructor(project) {
    this.project = project;
    this.loaded = -1;
    byId("guide-close").addEventListener("click", () => this.toggle(false));
  }

  get wasRead() {
    return read(`guidelines.${this.project}`, 0);
  }

  /** Tell of a version that this rater has not read. @param {number} version */
  check(version) {
    this.version = version;
    if (version <= this.wasRead || this.told === version) return;
    this.told = version;
    const open = [["Read them", () => this.toggle(true)]];
    if (this.wasRead === 0) tell("guidelines", "good", "Read the guidelines before you begin", "They say what counts as better here. G opens and closes them.", open);
    else tell("guidelines", "warn", "The guidelines have changed", `This is version ${version}; you last read version ${this.wasRead}.`, open);
  }

  /** @param {boolean} [wanted] */
  async toggle(wanted = byId("guide").hidden) {
    byId("guide").hidden = !wanted;
    byId("guidelines").setAttribute("aria-expanded", String(wanted));
    document.body.classList.toggle("guided", wanted);
    if (!wanted) return byId("prompt-title").focus({ preventScroll: true });
    take("guidelines");
    if (this.loaded !== this.version) await this.load();
    byId("guide-title").focus();
  }

  async load() {
    byId("guide-text").textContent = "…";
    const answer = await ask("GET", `/projects/${encodeURIComponent(this.project)}/guidelines`);
    if (answer.status !== 200) {
      byId("guide-text").textContent = "The guidelines could not be loaded. Close them and try again.";
      return say("The guidelines could not be loaded.");
    }
    const { version, text, html, at } = answer.data;
    if (version === 0) {
      byId("guide-text").textContent = "There are no guidelines yet. Judge as the question asks; a lead can say what counts here.";
      return;
    }
    byId("guide-title").textContent = `Guidelines, version ${version}`;
    byId("guide-text").replaceChildren(shown(html, text));
    this.mark(version, at);
  }

  mark(version, at) {
    const changed = byId("guide-changed");
    changed.hidden = this.wasRead === 0 || version <= this.wasRead;
    changed.textContent = `Changed since you last read them, on ${new Date(at).toLocaleDateString()}.`;
    this.loaded = version;
    keep(`guidelines.${this.project}`, Math.max(version, this.wasRead));
  }
}
