/** One task on show: what is answered and written so far, and what its keys and buttons do. */

import { Answers } from "./answers.js";
import { byId, say } from "./dom.js";
import { draftFor, forgetDraft, keepDraft } from "./drafts.js";
import { take, tell } from "./notices.js";
import { editPanel, flagPanel, keysPanel, reasonPanel, skipPanel } from "./panels.js";
import { questions, titled } from "./questions.js";
import { without } from "./spans.js";
import { refreshResponses, showPrompt, showResponses } from "./task_view.js";

const DRAFT_MS = 300;
const MOST_MARKS = 50;
const LONGEST_EDIT = 20_000;
const TOOLS = { D: "submit", Z: "undo", S: "skip", F: "flag", R: "reason", V: "mark", E: "edit", G: "guidelines", T: "pause", Q: "help", "?": "help" };

export class Task {
  /** @param {any} assignment @param {any} to what reaches beyond the task */
  constructor(assignment, to) {
    this.assignment = assignment;
    this.to = to;
    this.state = { answers: new Answers(assignment), active: assignment.dimensions[0], flags: [], spans: [], rationale: "", edit: null, isMarking: false };
    this.isTie = false;
    this.panel = null;
    this.panelName = "";
    this.shownAt = 0;
    this.timer = 0;
  }

  get answers() {
    return this.state.answers;
  }

  /** @param {any} [answer] what was given before it was taken back */
  show(answer) {
    if (answer) this.restore(answer);
    showPrompt(this.assignment);
    this.showResponses();
    this.wire();
    this.close();
    this.refresh();
    scrollTo({ top: 0 });
    this.focus();
    this.shownAt = performance.now();
    if (!answer) this.offerDraft();
    say(`Next task. ${this.assignment.responses.length} responses.`);
  }

  focus() {
    byId("prompt-title").focus({ preventScroll: true });
  }

  restore(answer) {
    this.answers.restore(answer.answers);
    for (const name of ["flags", "spans", "rationale", "edit"]) this.state[name] = structuredClone(answer[name] ?? this.state[name]);
  }

  offerDraft() {
    const draft = draftFor(this.assignment);
    take("draft");
    if (draft === null) return;
    const use = () => {
      Object.assign(this.state, { rationale: draft.rationale, edit: draft.edit, spans: draft.spans });
      this.showResponses();
      this.refresh();
      take("draft");
    };
    if (draft.same) return use();
    tell("draft", "good", "You wrote something for this task before", "It was not sent then.", [["Use it", use], ["Discard it", () => { forgetDraft(this.assignment); take("draft"); }]]);
  }

  wire() {
    const allow = this.assignment.allow;
    for (const [id, allowed] of [["reason", allow.rationale], ["mark", allow.spans], ["edit", allow.edit]]) byId(id).hidden = !allowed;
    for (const id of new Set(Object.values(TOOLS))) {
      byId(id).onclick = (event) => event.detail < 2 && this.tool(id);
    }
    byId("submit").hidden = this.answers.isOneKey && !this.isRestored;
  }

  get isRestored() {
    return this.answers.isOneKey && this.answers.isDone(this.state.active);
  }

  showResponses() {
    showResponses(this.assignment, this.state, { place: (slot, place) => this.place(slot, place), mark: (...span) => this.mark(...span) });
  }

  refresh() {
    const focused = document.activeElement?.closest("#questions button");
    const key = focused && [focused.closest("[data-dimension]")?.dataset.dimension, focused.dataset.choice];
    byId("questions").replaceChildren(...questions(this.assignment, this.answers, this.state.active, {
      choose: (dimension, choice) => this.choose(dimension, choice),
      bad: (dimension) => this.bad(dimension),
      tie: () => this.tie(),
      isTie: this.isTie,
      activate: (dimension) => this.activate(dimension),
    }));
    if (key) byId("questions").querySelector(`[data-dimension="${CSS.escape(key[0] ?? "")}"] ${key[1] ? `[data-choice="${CSS.escape(key[1])}"]` : "button"}`)?.focus();
    byId("questions").classList.toggle("many", this.answers.dimensions.length > 1);
    byId("submit").classList.toggle("ready", this.answers.open() === undefined);
    for (const [id, has] of [["reason", this.state.rationale], ["flag", this.state.flags.length], ["edit", this.state.edit], ["mark", this.state.spans.length]]) {
      byId(id).classList.toggle("has", Boolean(has));
    }
    refreshResponses(this.assignment, this.state);
  }

  /** Double clicks and clicks that were meant for the task before judge nothing. */
  get isCalm() {
    return performance.now() - this.shownAt >= 250;
  }

  choose(dimension, choice) {
    if (!this.isCalm) return;
    this.answers.choose(dimension, choice);
    this.answered(dimension);
  }

  bad(dimension) {
    if (!this.isCalm || !this.assignment.allow.both_bad) return;
    this.answers.chooseBad(dimension);
    if (this.answers.isDone(dimension)) this.answered(dimension);
    else this.refresh();
  }

  answered(dimension) {
    if (this.answers.isOneKey) return this.finish();
    const next = this.answers.open(dimension);
    if (next !== undefined) this.state.active = next;
    this.refresh();
    say(next === undefined ? "All answered. D sends." : titled(next));
  }

  activate(dimension) {
    this.state.active = dimension;
    this.refresh();
  }

  place(slot, place) {
    this.placed(() => this.answers.place(this.state.active, slot, place));
  }

  placed(how) {
    if (!this.isCalm) return;
    how();
    this.isTie = false;
    if (this.answers.isDone(this.state.active)) this.answered(this.state.active);
    else this.refresh();
  }

  mark(slot, start, end, label) {
    const others = this.state.spans.filter((span) => span.slot !== slot);
    const kept = without(this.state.spans.filter((span) => span.slot === slot), start, end);
    const spans = [...others, ...kept, ...(label ? [{ slot, start, end, label }] : [])];
    if (spans.length > MOST_MARKS) return tell("marks", "warn", "Too many marks", `A judgment holds ${MOST_MARKS} at most.`);
    this.state.spans = spans;
    this.changed();
  }

  changed() {
    this.refresh();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keepDraft(), DRAFT_MS);
  }

  keepDraft() {
    clearTimeout(this.timer);
    if (this.isForgotten) return;
    keepDraft(this.assignment, this.state);
  }

  /** The server has the judgment: nothing of it need stay on the device. */
  forget() {
    clearTimeout(this.timer);
    this.isForgotten = true;
    forgetDraft(this.assignment);
  }

  finish() {
    const missing = this.answers.open();
    if (missing !== undefined) {
      this.activate(missing);
      return say(`Not answered yet: ${titled(missing)}`);
    }
    const edit = this.edited();
    if (edit && [...edit.text].length > LONGEST_EDIT) {
      return tell("edit", "warn", "The improvement is too long", `It may have ${LONGEST_EDIT.toLocaleString()} characters, and has ${[...edit.text].length.toLocaleString()}.`);
    }
    take("edit", "marks");
    this.keepDraft();
    this.close();
    const { flags, spans, rationale } = this.state;
    this.to.judge({ answers: this.answers.submission(), flags, spans, rationale: storable(rationale), edit });
  }

  /** The improved response, where it is one: neither empty nor what it was. */
  edited() {
    const { edit } = this.state;
    if (edit === null || edit.text.trim() === "") return null;
    const original = this.assignment.responses.find((response) => response.slot === edit.slot).text;
    return edit.text === original ? null : { slot: edit.slot, text: storable(edit.text) };
  }

  tool(id) {
    if (!this.isCalm) return;
    if (id === "submit") return this.finish();
    if (id === "undo") return this.to.undo();
    if (id === "pause") return this.to.pause();
    if (id === "guidelines") return this.to.guidelines();
    if (id === "mark") return this.toggleMarking();
    if (this.panelName === id) return this.close(id);
    this.open(id);
  }

  toggleMarking() {
    this.state.isMarking = !this.state.isMarking;
    byId("mark").setAttribute("aria-pressed", String(this.state.isMarking));
    this.showResponses();
    this.refresh();
    if (this.state.isMarking) document.querySelector(".source")?.focus();
    else this.focus();
  }

  open(id) {
    this.close();
    const made = {
      skip: () => skipPanel((reason, note) => { this.keepDraft(); this.close(); this.to.skip(reason, note); }),
      flag: () => flagPanel(this.assignment, this.state, () => this.changed()),
      reason: () => reasonPanel(this.state, () => this.changed()),
      edit: () => editPanel(this.assignment, this.state, () => this.changed()),
      help: () => keysPanel(this.to.settings, () => this.to.keepSettings()),
    }[id];
    this.panel = made();
    this.panelName = id;
    byId("writing").replaceChildren(this.panel.element);
    byId("writing").hidden = false;
    byId(id).setAttribute("aria-expanded", "true");
    (this.panel.focus ?? byId("panel-title")).focus();
  }

  /** @param {string} [back] the tool that gets the focus */
  close(back) {
    for (const id of ["skip", "flag", "reason", "edit", "help"]) byId(id).setAttribute("aria-expanded", "false");
    this.panel = null;
    this.panelName = "";
    byId("writing").hidden = true;
    byId("writing").replaceChildren();
    if (back) byId(back).focus();
  }

  escape() {
    const element = document.activeElement;
    if (element?.matches("textarea, .source")) return this.panel ? byId("panel-title").focus() : this.focus();
    if (this.panel) return this.close(this.panelName);
  }

  /** @param {string} name @returns {boolean} whether the key is one of ours */
  press(name) {
    const own = this.panel?.keys[name];
    if (own) return own(), true;
    const tool = TOOLS[name];
    if (tool) return !byId(tool).hidden && (this.tool(tool), true);
    if (this.panel) return false;
    if (name === "B") return this.bad(this.state.active), true;
    if (name === "A") return this.back(), true;
    return /^[1-9]$/.test(name) && this.digit(Number(name));
  }

  /** A: in a ranking under way the next one ties with the last; otherwise back to the question before. */
  back() {
    const { dimensions } = this.answers;
    const at = dimensions.indexOf(this.state.active);
    const { places } = this.answers.given.get(this.state.active);
    if (this.answers.ties && places.size > 0 && !this.answers.isDone(this.state.active)) return this.tie();
    if (at > 0) this.activate(dimensions[at - 1]);
  }

  tie() {
    this.isTie = !this.isTie;
    this.refresh();
    say(this.isTie ? "The next one ties with the last" : "The next one comes after the last");
  }

  digit(number) {
    if (this.assignment.kind === "pair") {
      const choice = this.answers.scale[number - 1];
      if (choice) this.choose(this.state.active, choice);
      return Boolean(choice);
    }
    const response = this.assignment.responses[number - 1];
    if (response) this.placed(() => this.answers.placeNext(this.state.active, response.slot, this.isTie));
    return Boolean(response);
  }
}

/** What a database can hold: no NUL, and no half of a surrogate pair. @param {string} text */
function storable(text) {
  return text.replaceAll("\0", "\ufffd").replace(/\p{Cs}/gu, "\ufffd");
}
