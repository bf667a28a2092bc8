// The pages work without this file. It counts down, tells of changes, and sends each form once.
"use strict";

const live = document.getElementById("live");

function worded(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24, minutes = Math.floor(s / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${s} s`;
}

function countDown() {
  for (const element of document.querySelectorAll("[data-left]")) {
    element.dataset.from ??= String(performance.now());
    const left = Number(element.dataset.left) - (performance.now() - Number(element.dataset.from));
    element.textContent = worded(left);
    element.parentElement.classList.toggle("soon", left < 300000);
    if (left <= 0) over();
  }
}

function over() {
  const page = document.querySelector('[data-watch="one"]');
  if (page === null || page.dataset.over) return;
  page.dataset.over = "yes";
  showChanged();
}

function showChanged() {
  document.getElementById("changed").hidden = false;
  for (const button of document.querySelectorAll(".deciding button")) button.disabled = true;
}

// Whether the list could be shown anew; if not, the server has another page to show here.
async function showList(list) {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  if (answer.redirected) return false;
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = fresh.getElementById("list");
  if (found === null) return false;
  const focused = document.activeElement?.closest("#list a")?.getAttribute("href");
  list.replaceChildren(...found.childNodes);
  list.dataset.stamp = found.dataset.stamp;
  document.title = fresh.title;
  if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  const count = list.querySelectorAll(".row").length;
  live.textContent = count === 1 ? "1 call waits now" : `${count} calls wait now`;
  return true;
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

async function watch(element) {
  let failures = 0;
  for (;;) {
    const asked = performance.now();
    const query = new URLSearchParams({ about: element.dataset.about ?? "", seen: element.dataset.stamp });
    try {
      const answer = await fetch(`/approvals/changes?${query}`, { credentials: "same-origin" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      failures = 0;
      const { stamp } = await answer.json();
      if (stamp !== element.dataset.stamp) {
        if (element.dataset.watch === "one") return showChanged();
        if (!(await showList(element))) return location.reload();
      }
      document.body.classList.remove("offline");
    } catch {
      failures += 1;
      document.body.classList.add("offline");
      live.textContent = "No connection. What you see may be out of date.";
    }
    await pause(failures ? Math.min(60, 2 ** failures) : performance.now() - asked < 1000 ? 1 : 0);
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
});

window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

setInterval(countDown, 1000);
countDown();
const watched = document.querySelector("[data-watch]");
if (watched !== null) watch(watched);
