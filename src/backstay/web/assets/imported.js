/** What became of an import, as elements. Words of the file and its name are text here, never markup. */

import { told } from "./api.js";
import { make } from "./dom.js";

const SHOWN = 20;
const KEPT = "The file and the options below are as you chose them.";
const AGAIN = "Send the same file again: what is stored already is known, and nothing is stored twice.";
const FITS = "Look whether the format fits the file. Columns with other names are mapped at the terminal: backstay import --column OURS=THEIRS.";
const LATER = "Mend the refused rows and import them as a file of their own: those stored now would count twice if they came again in another file.";
const COUNTS = [
  ["rows", "Rows read"],
  ["judgments", "Judgments stored"],
  ["prompts", "New prompts"],
  ["responses", "New responses"],
  ["tasks", "New tasks"],
  ["raters", "New raters"],
  ["duplicates", "Rows that repeat another, counted once"],
  ["known", "Judgments stored before, not stored again"],
  ["refused", "Rows refused"],
  ["items_made", "Items made for raters"],
];

/**
 * @typedef {object} About
 * @property {string} project
 * @property {string} name of the file
 * @property {boolean} isChanged whether the browser can no longer read it
 * @property {() => void} again sends the same once more
 * @property {() => void} partly sends it once more, for its good rows
 */

/**
 * What is shown of an answer.
 * @param {import("./upload.js").Sent} sent
 * @param {About} about
 */
export function outcome(sent, about) {
  const error = sent.data?.error;
  if (sent.status === 201 && sent.data) return stored(sent.data, about);
  if (sent.isCancelled) return cancelled(about);
  if (about.isChanged && !sent.isWhole) return unreadable(about);
  if (sent.status === 0) return lost(sent, about);
  if (error?.code === "import_refused") return refused(error, about);
  if (sent.status === 413) return tooLarge(sent, about);
  if (sent.status === 401) return signedOut(about);
  if (sent.status >= 500 || sent.status < 400) return failed(sent, about);
  return notTaken(sent, about);
}

/** A file that is gone or has changed. @param {Pick<About, "name">} about */
export function unreadable(about) {
  const why = "It has changed or gone since it was chosen, or it is a folder.";
  return note("bad", "Nothing was stored: the file cannot be read", named(about, why), "Choose it again, then send it.");
}

/** A file that the server would refuse. @param {Pick<About, "name">} about @param {number} size @param {number} most */
export function largerThan(about, size, most) {
  const why = `It has ${bytes(size)}; the server takes ${bytes(most)} at most.`;
  return note("bad", "Nothing was stored: the file is too large", named(about, why), smaller());
}

/** A number of bytes in words. @param {number} size */
export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, size)) / 3));
  return `${power ? (size / 1000 ** power).toPrecision(3) : size} ${units[power]}`;
}

/** @param {any} counts @param {About} about */
function stored(counts, about) {
  const { judgments, tasks, refused: left } = counts;
  const what = judgments ? many(judgments, "judgment") : tasks ? many(tasks, "task") : "";
  const title = what ? `${what} stored` : "Nothing new: all of this was stored before";
  const parts = [named(about, left ? `${many(left, "row")} refused, the others are stored.` : "every row is stored.")];
  if (left) parts.push(LATER, rejects(counts.rejects));
  const below = [counted(counts), ...(left ? problems(counts.problems, left) : [])];
  return outcomeOf(note(left ? "warn" : "good", title, ...parts, links(about)), ...below);
}

/** @param {any} error @param {About} about */
function refused(error, about) {
  if (!error.refused) return note("bad", "Nothing was stored: the file was refused", said(error, about), FITS);
  const hasGood = String(error.cure).includes("allow_partial");
  const title = `Nothing was stored: ${many(error.refused, "row")} refused`;
  const what = "Mend these rows, choose the mended file, and send it." + (hasGood ? " Or store the other rows now." : "");
  const parts = [named(about, "what is wrong stands below."), what, rejects(error.rejects)];
  if (hasGood) parts.push(button("Store the good rows", about.partly));
  return outcomeOf(note("bad", title, ...parts), ...problems(error.problems, error.refused));
}

/** @param {About} about */
function cancelled(about) {
  const why = "It had not gone up whole.";
  return note("warn", "Cancelled: nothing was stored", named(about, why), KEPT, offer(about));
}

/** @param {import("./upload.js").Sent} sent @param {About} about */
function lost(sent, about) {
  const why = sent.isWhole
    ? "The whole file had gone up, so the server may have stored it, or a part of it."
    : "The file had not gone up whole, so nothing was stored.";
  return note("bad", "The connection was lost", named(about, why), AGAIN, KEPT, offer(about));
}

/** @param {import("./upload.js").Sent} sent @param {About} about */
function failed(sent, about) {
  const why = "It may have stored a part of the file.";
  return note("bad", `The server failed (${sent.status})`, named(about, ""), told(asked(sent)), why, AGAIN, KEPT, offer(about));
}

/** @param {import("./upload.js").Sent} sent @param {About} about */
function tooLarge(sent, about) {
  return note("bad", "Nothing was stored: the file is too large", named(about, ""), told(asked(sent)), smaller(), KEPT, offer(about));
}

/** @param {About} about */
function signedOut(about) {
  const back = encodeURIComponent(`/lead/${about.project}/import`);
  const link = make("a", { href: `/sign-in?next=${back}` }, "Sign in");
  return note("bad", "Nothing was stored: you are signed out", make("p", {}, link, ", then choose the file again."));
}

/** @param {import("./upload.js").Sent} sent @param {About} about */
function notTaken(sent, about) {
  const fields = (sent.data?.error?.fields ?? []).map((field) => `${field.place}: ${field.message}.`);
  return note("bad", "Nothing was stored: the server refused the request", named(about, ""), told(asked(sent)), ...fields, KEPT, offer(about));
}

/** @param {import("./upload.js").Sent} sent */
function asked(sent) {
  return { status: sent.status, data: sent.data, retryAfterS: 0 };
}

function smaller() {
  return "Compress it with gzip, or split it into files of whole rows and send each.";
}

/** The server's own words; it calls the file by a name of its own. @param {any} error @param {About} about */
function said(error, about) {
  const words = told({ status: 422, data: { error }, retryAfterS: 0 });
  return words.replace(/^Upload(\.[a-z]+)+/, () => about.name);
}

/** @param {any[]} rows @param {number} all how many there are in all @returns {Node[]} */
function problems(rows, all) {
  const shown = rows.slice(0, SHOWN);
  const more = all - shown.length;
  const heads = [["Line", "num"], ["Column", "num"], ["Field", ""], ["Problem", ""]];
  const head = make("tr", {}, ...heads.map(([name, kind]) => make("th", { scope: "col", class: kind || null }, name)));
  const body = shown.map((row) =>
    make("tr", {}, ...[row.line, row.column].map((place) => make("td", { class: "num" }, grouped(place))),
      make("td", {}, make("code", { dir: "auto" }, row.field)), make("td", { class: "why", dir: "auto" }, row.message)));
  const table = scrolling("Refused rows", "refused", make("thead", {}, head), make("tbody", {}, ...body));
  return more > 0 ? [table, make("p", { class: "by and-more" }, `and ${grouped(more)} more in the rejects file`)] : [table];
}

/** @param {any} counts */
function counted(counts) {
  const rows = COUNTS.map(([name, label]) =>
    make("tr", {}, make("th", { scope: "row" }, label), make("td", { class: "num", "data-count": name }, grouped(counts[name]))));
  return scrolling("What was counted", "counts", make("tbody", {}, ...rows));
}

/** @param {string} label @param {string} kind @param {...Node} parts */
function scrolling(label, kind, ...parts) {
  return make("div", { class: `table ${kind}`, tabindex: "0", role: "region", "aria-label": label }, make("table", {}, ...parts));
}

/** @param {string | null} path of the API */
function rejects(path) {
  if (!path?.startsWith("/api/v1/")) return "";
  const link = make("a", { href: path, download: "rejects.jsonl" }, "Rejects file");
  return make("p", {}, link, ": every refused row with its place, one JSON object a line. It is kept for an hour.");
}

/** @param {About} about */
function links(about) {
  const to = (path, words) => make("a", { class: "button plain", href: path }, words);
  const project = encodeURIComponent(about.project);
  return make("div", { class: "buttons" }, to(`/lead/${project}`, "The project"), to(`/rate/${project}`, "Rate a few tasks"));
}

/** @param {About} about */
function offer(about) {
  return button("Send it again", about.again);
}

/** @param {string} words @param {() => void} act */
function button(words, act) {
  return make("div", { class: "buttons" }, make("button", { type: "button", class: "plain", on: { click: act } }, words));
}

/** @param {Pick<About, "name">} about @param {string} words */
function named(about, words) {
  return make("p", {}, make("bdi", { class: "file-name" }, about.name), words ? `: ${words}` : "");
}

/** What was said, and the tables that belong to it. @param {Node} said @param {...Node} tables */
function outcomeOf(said, ...tables) {
  const made = make("section", { "aria-labelledby": "outcome-title" }, said);
  made.append(...tables);
  return made;
}

/** @param {string} kind @param {string} title @param {...(Node|string)} parts */
function note(kind, title, ...parts) {
  const lines = parts.filter((part) => part !== "").map((part) => (typeof part === "string" ? make("p", {}, part) : part));
  return make("div", { class: `note ${kind}` }, make("h2", { id: "outcome-title", tabindex: "-1" }, title), ...lines);
}

/** @param {number} count @param {string} what */
function many(count, what) {
  return `${grouped(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** @param {number} count */
function grouped(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
