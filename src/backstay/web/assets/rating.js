/** The rating page: one task at a time, from asking for it to the server's word that its judgment is kept. */

import { account, ask, told } from "./api.js";
import { Clock } from "./clock.js";
import { button, byId } from "./dom.js";
import { forgetAssignment } from "./drafts.js";
import { Guidelines } from "./guidelines.js";
import { listen } from "./keys.js";
import { keep, read } from "./kept.js";
import { keepAlive, received } from "./lease.js";
import { take, tell } from "./notices.js";
import { claim } from "./one_tab.js";
import { newKey, Outbox } from "./outbox.js";
import { showClock, showProgress, soFar } from "./progress.js";
import { showDesk, showStill, way, WHY } from "./still.js";
import { Task } from "./task.js";

const page = byId("rate");
const project = page.dataset.project ?? "";
const base = `/projects/${encodeURIComponent(project)}`;
const settings = read("settings", { keys: true, clock: true });
const clock = new Clock();
const guidelines = new Guidelines(project);
const outbox = new Outbox(project, troubled);
/** @type {Task | null} */
let task = null;
/** @type {any} */
let progress = null;
let wanted = Number(page.dataset.wanted);
let isBusy = true;
let isPaused = false;
let isLost = false;
let canUndo = true;

function busy(value) {
  isBusy = value;
  document.body.dataset.state = value ? "sending" : task ? "task" : "still";
  byId("answer").toggleAttribute("inert", value);
}

function troubled(answer, waitMs) {
  const seconds = Math.round(waitMs / 1000);
  const kept = outbox.waiting() ? "Your judgment is kept on this device and is sent by itself." : "";
  const again = [["Try now", () => outbox.wake()]];
  if (answer.status === 0) tell("connection", "warn", "No connection", `${kept} Trying again in ${seconds} s, and as soon as there is one.`.trim(), again);
  else tell("connection", "warn", "The server is in trouble", `${kept} It answered ${answer.status}. Trying again in ${seconds} s.`.trim(), again);
}

/** Tell the rater of a link, once, that all that was asked for is done. */
function thank() {
  const all = wanted === 1 ? "the task" : `all ${wanted} tasks`;
  tell("wanted", "good", "Thank you, you are done", `You have judged ${all}. Your completion code is under Progress. You may go on if you like.`, [["Show the code", () => location.assign("/link")]]);
  wanted = 0;
}

/** Show what an answer of the API brings along. */
function follow(data, assignment) {
  progress = data.progress ?? progress;
  if (progress) showProgress(progress);
  if (progress && wanted > 0 && progress.done_total >= wanted) thank();
  if (isLost) return;
  if (assignment) return show(received(assignment));
  task = null;
  const [title, text] = WHY[data.why] ?? ["No task", "The server has none for you now."];
  const back = data.undo ? [button("Undo the last judgment", "Z", undo)] : [];
  showStill(title, text, button("Look again", "", next, { class: "main" }), ...back, way("To the projects", "/rate", "plain"));
  busy(false);
}

/** @param {any} assignment @param {any} [answer] what was answered before, where a judgment was taken back */
function show(assignment, answer) {
  if (isPaused) return stash(assignment, answer);
  task = new Task(assignment, { settings, judge, skip, undo, pause, guidelines: () => guidelines.toggle(), keepSettings });
  clock.begin();
  showDesk();
  byId("undo").disabled = !canUndo;
  task.show(answer);
  guidelines.check(assignment.guidelines_version);
  busy(false);
}

let stashed = null;
function stash(assignment, answer) {
  stashed = [assignment, answer];
  busy(false);
}

/** What ends the page for this person: signed out, or not allowed. */
function ended(answer) {
  task = null;
  const here = encodeURIComponent(location.pathname);
  const kept = outbox.waiting() ? " Your last judgment is kept on this device for your account and is sent after that." : "";
  if (answer.status === 401) {
    showStill("You are signed out", `Sign in again to go on.${kept}`, way("Sign in", `${page.dataset.signIn}?next=${here}`));
  } else {
    showStill("This cannot go on", `${told(answer)}${kept}`, button("Load the page again", "", () => location.reload(), { class: "main" }));
  }
  busy(false);
}

async function next() {
  busy(true);
  const answer = await outbox.until(() => ask("POST", `${base}/assignments`, {}));
  take("connection");
  if (answer.status !== 200) return ended(answer);
  follow(answer.data, answer.data.assignment);
}

/** Send what is in the outbox, then show what comes after it. */
async function send(entry) {
  busy(true);
  const answer = await outbox.deliver(entry);
  take("connection", "unsafe", "sending");
  if (answer.status === 200 || answer.status === 201) {
    task?.forget();
    forgetAssignment(entry.assignment);
    canUndo = answer.data.undo;
    return follow(answer.data, answer.data.next);
  }
  if (answer.status === 401 || answer.status === 403) return ended(answer);
  if (answer.data?.error?.code === "lease_over") {
    tell("refused", "warn", "This task went to somebody else", "Its time ran out before your judgment came in, so the judgment was not counted. What you wrote is kept here, and offered again if the task comes back to you.");
  } else {
    tell("refused", "bad", "Your judgment was not taken", told(answer));
  }
  return next();
}

function post(what, body) {
  take("refused", "draft", "undone");
  const { entry, safe } = outbox.put(task.assignment.id, what, body);
  if (!safe) tell("unsafe", "warn", "This browser keeps nothing", "Its storage is full or switched off: stay on this page until your judgment is sent.");
  return send(entry);
}

function judge(submission) {
  if (isBusy || task === null) return;
  post("judgment", { ...submission, ...clock.read() });
}

function skip(reason, note) {
  if (isBusy || task === null) return;
  post("skip", { reason, note });
}

async function undo() {
  if (isBusy || !canUndo) return;
  busy(true);
  const key = { "idempotency-key": newKey() }; // The same at each attempt, so that one judgment is taken back.
  const answer = await outbox.until(() => ask("POST", `${base}/undo`, {}, key));
  take("connection");
  if (answer.status === 401 || answer.status === 403) return ended(answer);
  if (answer.status !== 200) {
    tell("undone", "warn", "Nothing was taken back", told(answer));
    return busy(false);
  }
  canUndo = false;
  progress = answer.data.progress;
  showProgress(progress);
  tell("undone", "good", "Taken back", "Your last judgment stands below as you gave it. Judge again.");
  show(received(answer.data.assignment), answer.data.answer);
}

function pause() {
  if (isBusy && !isPaused) return;
  isPaused = true;
  clock.pause(true);
  showStill("Paused", soFar(progress), button("Go on", "T", goOn, { class: "main", id: "go-on" }));
}

function goOn() {
  isPaused = false;
  clock.pause(false);
  if (stashed !== null) {
    const [assignment, answer] = stashed;
    stashed = null;
    return show(assignment, answer);
  }
  showDesk();
  task?.focus();
}

function keepSettings() {
  keep("settings", settings);
  showClock(clock.read().duration_ms, settings.clock);
}

function lost() {
  isLost = true;
  task = null;
  busy(false);
  showStill("You are rating in another tab", "One tab at a time, so that no task is judged twice.", button("Rate here instead", "", () => begin(true), { class: "main" }));
}

async function begin(steal = false) {
  if (!(await claim(project, lost, steal))) return lost();
  isLost = false;
  const waiting = outbox.waiting();
  if (!waiting) return next();
  tell("sending", "good", "A judgment was still on its way", "It was kept on this device and is being sent now.");
  return send(waiting);
}

listen({
  isOn: () => settings.keys,
  shownAt: () => task?.shownAt ?? 0,
  press: (name) => {
    if (isPaused) return name === "T" && (goOn(), true);
    if (task === null) return name === "Z" && (undo(), true);
    return !isBusy && task.press(name);
  },
  escape: () => task?.escape(),
  finish: () => !isBusy && task?.finish(),
});
keepAlive(() => (task && !isLost ? task.assignment : null), clock);
setInterval(() => task && !isPaused && showClock(clock.read().duration_ms, settings.clock), 1000);
byId("more").addEventListener("click", () => {
  const isAll = byId("tools").classList.toggle("all");
  byId("more").setAttribute("aria-expanded", String(isAll));
  byId("more").firstElementChild.textContent = isAll ? "Less" : "More";
});
addEventListener("pagehide", () => task?.keepDraft());
if (account) begin();
