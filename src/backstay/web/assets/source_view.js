/**
 * A response as its source, to mark parts of it. `textContent` of the element is the text, character for character, so
 * offsets in it are offsets in the text; they are counted in code points, as Python counts.
 */

import { make } from "./dom.js";

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\ufe00-\ufe0f\u034f\u115f\u1160\u2800\u3164\uffa0]/gu;
const MOST_UNSEEN = 2000;
const PIECE = 4000;
const LONG_WORD = /\S{500}(?=\S)/gu;

/** Code points before a UTF-16 offset. */
export function codePoints(text, offset) {
  let count = 0;
  for (const _ of text.slice(0, offset)) count += 1;
  return count;
}

/** The UTF-16 offset of a code point. */
export function utf16(text, points) {
  let offset = 0, left = points;
  for (const character of text) {
    if (left === 0) break;
    offset += character.length;
    left -= 1;
  }
  return offset;
}

export class SourceView {
  /**
   * @param {any} response
   * @param {string} name what the response is called
   * @param {() => any[]} marks the spans of this response
   * @param {{mark: (start: number, end: number, label: string) => void, clear: (start: number, end: number) => void}} act
   */
  constructor(response, name, marks, act) {
    Object.assign(this, { response, marks, act });
    this.words = null;
    this.anchor = this.focus = -1;
    this.help = make("p", { class: "help", id: `mark-help-${response.slot}` }, "Select text, or use the arrow keys, with Shift for more words.");
    this.pre = make("pre", {
      class: "source", tabindex: "0", role: "region", "aria-label": `Source of response ${name}`, "aria-describedby": this.help.id,
      on: { keydown: (event) => this.onKey(event) },
    });
    const press = (label, key, act_, kind) => {
      const made = make("button", { type: "button", class: `tool ${kind}`, "aria-keyshortcuts": key }, make("span", {}, label), make("kbd", { "aria-hidden": "true" }, key));
      made.addEventListener("mousedown", (event) => event.preventDefault());
      made.addEventListener("click", act_);
      return made;
    };
    this.element = make("div", { class: "marking" },
      make("div", { class: "marking-tools", role: "group", "aria-label": `Mark response ${name}` },
        press("Good", "G", () => this.mark("good"), "good"), press("Bad", "B", () => this.mark("bad"), "bad"), press("Clear", "X", () => this.clear(), "plain")),
      this.help, this.pre);
    this.draw();
  }

  draw() {
    const text = this.response.text;
    const spans = this.marks().map((span) => ({ ...span, from: utf16(text, span.start), to: utf16(text, span.end) }));
    let seen = 0;
    const budget = () => (seen += 1) <= MOST_UNSEEN;
    const segment = (from, to) => {
      const span = spans.findLast((one) => one.from <= from && one.to > from);
      return make(span ? "mark" : "span", { class: span?.label ?? null }, ...visible(text.slice(from, to), budget));
    };
    const edges = spans.flatMap((span) => [span.from, span.to]);
    const parts = pieces(text).map(([from, to]) => between(from, to, edges).map((cut) => segment(...cut)));
    if (parts.length < 2) this.pre.replaceChildren(...parts.flat());
    else this.pre.replaceChildren(...parts.map((part) => make("span", { class: "piece" }, ...part)));
  }

  /** What is selected, in UTF-16 offsets; null where nothing of this text is. */
  selected() {
    const selection = getSelection();
    if (selection === null || selection.rangeCount === 0 || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    if (!this.pre.contains(range.startContainer) || !this.pre.contains(range.endContainer)) return null;
    const before = document.createRange();
    before.setStart(this.pre, 0);
    before.setEnd(range.startContainer, range.startOffset);
    const start = before.toString().length;
    return { start, end: start + range.toString().length };
  }

  mark(label) {
    this.change((start, end) => this.act.mark(start, end, label));
  }

  clear() {
    this.change((start, end) => this.act.clear(start, end));
  }

  change(how) {
    const found = this.selected();
    if (found === null || found.start === found.end) return;
    const text = this.response.text;
    how(codePoints(text, found.start), codePoints(text, found.end));
    getSelection()?.removeAllRanges();
    this.draw();
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowDown: 8, ArrowLeft: -1, ArrowUp: -8 }[event.key];
    const label = { g: "good", b: "bad" }[event.key.toLowerCase()];
    if (step) this.move(step, event.shiftKey);
    else if (label) this.mark(label);
    else if (event.key.toLowerCase() === "x") this.clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Move the selection by words; `isMore` keeps where it began. */
  move(step, isMore) {
    this.words ??= [...this.response.text.matchAll(/\S+/gu)].map((found) => [found.index, found.index + found[0].length]);
    if (this.words.length === 0) return;
    const last = this.words.length - 1;
    this.focus = this.focus < 0 ? 0 : Math.min(last, Math.max(0, this.focus + step));
    if (!isMore || this.anchor < 0) this.anchor = this.focus;
    const [from, to] = [this.anchor, this.focus].sort((a, b) => a - b);
    this.select(this.words[from][0], this.words[to][1]);
  }

  select(start, end) {
    const range = document.createRange();
    range.setStart(...this.at(start));
    range.setEnd(...this.at(end));
    const selection = getSelection();
    selection?.removeAllRanges();
    selection?.addRange(range);
  }

  /** The text node that holds an offset, and the offset in it. */
  at(offset) {
    const walker = document.createTreeWalker(this.pre, NodeFilter.SHOW_TEXT);
    let left = offset, node = walker.nextNode(), last = node;
    while (node !== null) {
      if (left <= node.data.length) return [node, left];
      left -= node.data.length;
      last = node;
      node = walker.nextNode();
    }
    return [last ?? this.pre, last ? last.data.length : 0];
  }
}

/** The pieces of a text, with unseen characters in elements that name them; the characters stay, isolated. */
function visible(text, budget) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (found[0] === "\n" || found[0] === "\t" || !budget()) continue;
    const code = `⟦U+${found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`;
    parts.push(...breakable(text.slice(done, found.index)), make("span", { class: "raw", "data-code": code }, found[0]));
    done = found.index + found[0].length;
  }
  return [...parts, ...breakable(text.slice(done))];
}

/** Where a long text is cut, after a line where one ends in time: a browser lays out only the pieces on show. */
function pieces(text) {
  const found = [];
  for (let at = 0; at < text.length; ) {
    const last = text.lastIndexOf("\n", at + PIECE - 1);
    const cut = last >= at ? last + 1 : wholeUnit(text, at + PIECE);
    const end = at + PIECE >= text.length ? text.length : cut;
    found.push([at, end]);
    at = end;
  }
  return found;
}

/** An offset that does not part a surrogate pair. */
function wholeUnit(text, offset) {
  return /[\udc00-\udfff]/.test(text[offset] ?? "") ? offset + 1 : offset;
}

/** The parts of a stretch between edges. @returns {[number, number][]} */
function between(from, to, edges) {
  const cuts = [...new Set([from, ...edges.filter((edge) => edge > from && edge < to), to])].sort((a, b) => a - b);
  return cuts.slice(0, -1).map((cut, at) => [cut, cuts[at + 1]]);
}

/** A text with places to break its lines inside words of more than 500 characters, which take a browser minutes. */
function breakable(text) {
  const parts = [];
  let done = 0;
  for (const found of text.matchAll(LONG_WORD)) {
    const end = found.index + found[0].length;
    parts.push(text.slice(done, end), make("wbr"));
    done = end;
  }
  return [...parts, text.slice(done)];
}
