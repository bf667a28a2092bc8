/** How long a task took, and how long its rater was not there: page hidden, paused, or two minutes without a sign. */

const IDLE_MS = 120_000;
const SIGNS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchstart", "input"];

export class Clock {
  constructor() {
    this.isPaused = false;
    this.begin();
    for (const sign of SIGNS) addEventListener(sign, () => this.see(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => this.see());
  }

  /** A new task: both counts are zero. */
  begin() {
    this.present = 0;
    this.away = 0;
    this.since = this.sign = performance.now();
    this.wasHidden = document.hidden;
  }

  /** Something happened: account for the time up to now. */
  see() {
    this.settle();
    this.sign = performance.now();
    this.wasHidden = document.hidden;
  }

  settle() {
    const now = performance.now();
    const passed = now - this.since;
    const gone = this.isPaused || this.wasHidden ? passed : Math.max(0, now - Math.max(this.since, this.sign + IDLE_MS));
    this.away += gone;
    this.present += passed - gone;
    this.since = now;
  }

  /** @param {boolean} isPaused */
  pause(isPaused) {
    this.see();
    this.isPaused = isPaused;
  }

  /** Whether somebody is at the page. */
  get isThere() {
    return !this.isPaused && !document.hidden && performance.now() - this.sign < IDLE_MS;
  }

  /** Both counts in whole milliseconds. */
  read() {
    this.settle();
    return { duration_ms: Math.round(this.present), away_ms: Math.round(this.away) };
  }
}

/** @param {number} ms */
export function worded(ms) {
  const s = Math.floor(ms / 1000);
  const rest = String(s % 60).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${rest}` : `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, "0")}:${rest}`;
}
