/** The page that sends a file: choosing it, sending it once, and showing what became of it. */

import { byId, make, say } from "./dom.js";
import { bytes, largerThan, outcome, unreadable } from "./imported.js";
import { canRead, upload } from "./upload.js";

const TABLES = /\.(csv|jsonl|parquet)(\.gz)?$/i;
const LOOKED_AT = 65536;
const JUDGED = { csv: /(^|[,"\s])choice([,"\s]|$)/, jsonl: /"choice"\s*:/ };
const SENDING = "Sending the file";
const STORING = "Checking and storing";

const form = /** @type {HTMLFormElement} */ (byId("import"));
const fields = /** @type {HTMLFieldSetElement} */ (byId("fields"));
const input = /** @type {HTMLInputElement} */ (byId("file"));
const bar = /** @type {HTMLProgressElement} */ (byId("bar"));
const project = form.dataset.project ?? "";
const most = Number(form.dataset.most);
let isBusy = false;
let isFormatChosen = false;
let cancel = () => {};
let looking = Promise.resolve();

/** @param {string} id */
function value(id) {
  return /** @type {HTMLInputElement | HTMLSelectElement} */ (byId(id)).value;
}

/** @param {string} format @returns {HTMLInputElement | null} */
function formatButton(format) {
  return form.querySelector(`input[name="format"][value="${CSS.escape(format)}"]`);
}

/** Where the file goes, with the options as the API names them. */
function address() {
  const options = new URLSearchParams({
    format: /** @type {HTMLInputElement} */ (form.querySelector("input[name=format]:checked")).value,
    allow_partial: String(/** @type {HTMLInputElement} */ (byId("partly")).checked),
    dimension: value("dimension"),
    heldout_share: value("heldout"),
    prompt_kind: value("prompt-kind"),
  });
  return `/projects/${encodeURIComponent(project)}/imports?${options}`;
}

/** The name and size of the file, and the format that it seems to have. */
function showChosen() {
  const file = input.files?.[0];
  byId("chosen").replaceChildren(...(file ? [make("bdi", {}, file.name), `, ${bytes(file.size)}`] : []));
  looking = file ? chooseFormat(file) : Promise.resolve();
}

/** Unless one was chosen by hand. @param {File} file */
async function chooseFormat(file) {
  const format = await likelyFormat(file);
  const radio = format && !isFormatChosen && file === input.files?.[0] ? formatButton(format) : null;
  if (radio === null) return;
  radio.checked = true;
  say(`Format by the file's name and first line: ${byId(`format-${format}`).textContent}.`);
}

/** By its name, and by whether its first line speaks of a choice; empty where the name says nothing. @param {File} file */
async function likelyFormat(file) {
  const [, name, packed] = TABLES.exec(file.name.toLowerCase()) ?? [];
  const judged = JUDGED[name];
  if (judged === undefined || packed) return name ?? "";
  const [line] = (await file.slice(0, LOOKED_AT).text().catch(() => "")).split("\n", 1);
  return line === "" || judged.test(line) ? name : "unjudged";
}

/** @param {FileList} files */
function take(files) {
  if (isBusy) return;
  if (files.length > 1) {
    byId("chosen").replaceChildren("One file at a time, please.");
    return;
  }
  input.files = files;
  showChosen();
}

/** @param {BeforeUnloadEvent} event */
function warn(event) {
  event.preventDefault();
}

/** @param {boolean} isNow */
function setBusy(isNow) {
  isBusy = isNow;
  fields.disabled = isNow;
  byId("sending").hidden = !isNow;
  if (isNow) addEventListener("beforeunload", warn);
  else removeEventListener("beforeunload", warn);
}

/** @param {File} file */
function begin(file) {
  byId("outcome").replaceChildren();
  setBusy(true);
  byId("cancel").hidden = false;
  byId("stage").textContent = SENDING;
  byId("stage").focus();
  showPart(file, 0, 0);
  say(`${SENDING}.`);
}

/** @param {File} file @param {number} share @param {number} sent bytes */
function showPart(file, share, sent) {
  bar.value = share;
  byId("amount").textContent = `${bytes(Math.min(sent, file.size))} of ${bytes(file.size)}, ${Math.floor(100 * share)} %`;
}

/** Everything has gone up; from here on it cannot be called back. */
function showStoring() {
  if (document.activeElement === byId("cancel")) byId("stage").focus();
  byId("cancel").hidden = true;
  bar.removeAttribute("value");
  byId("stage").textContent = STORING;
  byId("amount").textContent = "The whole file is at the server. A large one takes minutes; keep this page open.";
  say(`The whole file is at the server. ${STORING}.`);
}

/** @param {Node} told */
function show(told) {
  byId("outcome").replaceChildren(told);
  byId("outcome-title").focus();
  say("");
}

/** Send the chosen file, and show what became of it. */
async function run() {
  const file = input.files?.[0];
  if (isBusy || !form.reportValidity() || file === undefined) return;
  if (file.size > most) {
    show(largerThan(file, file.size, most));
    return;
  }
  begin(file);
  const told = (await canRead(file)) ? await sent(file) : unreadable(file);
  setBusy(false);
  show(told);
}

/** @param {File} file */
async function sent(file) {
  await looking;
  const way = upload(address(), file, (share, part) => showPart(file, share, part), showStoring);
  cancel = way.cancel;
  const answer = await way.answer;
  cancel = () => {};
  const isChanged = answer.status === 0 && !(await canRead(file));
  const told = outcome(answer, { project, name: file.name, isChanged, again: run, partly });
  if (answer.status === 201) forget();
  return told;
}

/** The good rows of the same file. */
function partly() {
  /** @type {HTMLInputElement} */ (byId("partly")).checked = true;
  run();
}

/** After a file is stored another one is chosen; what concerns rows that were looked at is chosen anew with it. */
function forget() {
  input.value = "";
  /** @type {HTMLInputElement} */ (byId("partly")).checked = false;
  showChosen();
}

/** @param {DragEvent} event */
function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // Without this the browser would open the file in place of the page.
  byId("drop").classList.toggle("over", !isBusy);
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) byId("drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  byId("drop").classList.remove("over");
  if (!hasFiles(event) || event.dataTransfer === null) return;
  event.preventDefault();
  take(event.dataTransfer.files);
});
input.addEventListener("change", showChosen);
byId("cancel").addEventListener("click", () => cancel());
form.addEventListener("change", (event) => {
  if (/** @type {HTMLInputElement} */ (event.target).name === "format") isFormatChosen = true;
});
form.addEventListener("invalid", (event) => {
  const details = byId("more");
  if (details.contains(/** @type {Node} */ (event.target))) details.setAttribute("open", "");
}, true);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.hidden = false;
showChosen();
