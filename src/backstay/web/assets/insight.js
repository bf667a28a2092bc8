// Keeps the figures of a project's page fresh. Without script the page is complete, and is loaded again by hand.

const EVERY_MS = 10_000;
const root = document.getElementById("overview");
const live = document.getElementById("live");

function at(told, path) {
  return path.split(".").reduce((value, name) => (value === null || value === undefined ? value : value[name]), told);
}

function worded(value, as) {
  if (as === "percent") return `${Math.round(100 * value)}%`;
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function show(told) {
  for (const place of document.querySelectorAll("[data-live]")) {
    const value = at(told, place.dataset.live);
    if (typeof value !== "number") continue;
    const text = worded(value, place.dataset.as);
    if (place.textContent !== text) place.textContent = text;
  }
}

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch(`/api/v1/projects/${encodeURIComponent(root.dataset.project)}/overview`, {
      headers: { accept: "application/json" },
    });
    if (answer.status === 401) {
      live.textContent = "You are signed out; the figures stand still.";
      return;
    }
    if (answer.ok) show(await answer.json());
  } catch {
    root.dataset.stale = "yes"; // Offline: the figures stay as they are, and the next look tries again.
  }
}

if (root) setInterval(look, EVERY_MS);
