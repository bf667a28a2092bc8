/** What a rater has answered so far: plain state, without a page. */

const DEGREES = [
  { strength: 3, label: "much better", short: "much" },
  { strength: 2, label: "better", short: "better" },
  { strength: 1, label: "slightly better", short: "slightly" },
];

/**
 * @typedef {object} Choice
 * @property {string} id
 * @property {number | null} winner the slot that is better; null for a tie
 * @property {number | null} strength
 * @property {string} label
 * @property {string} short
 */

/**
 * The answers to a pair from left to right, as its keys 1, 2, ... give them.
 * @param {{strength: boolean, ties: boolean}} allow
 * @param {number[]} slots the left and the right one
 * @returns {Choice[]}
 */
export function scale(allow, slots) {
  const degrees = allow.strength ? DEGREES : [{ strength: null, label: "better", short: "better" }];
  const side = (winner) => degrees.map((degree) => ({ ...degree, winner, id: `${winner}-${degree.strength ?? 0}` }));
  const tie = { id: "tie", winner: null, strength: null, label: "tie", short: "tie" };
  return [...side(slots[0]), ...(allow.ties ? [tie] : []), ...side(slots[1]).reverse()];
}

export class Answers {
  /** @param {any} assignment */
  constructor(assignment) {
    this.kind = assignment.kind;
    this.ties = assignment.allow.ties;
    this.dimensions = assignment.dimensions;
    this.slots = assignment.responses.map((response) => response.slot);
    this.scale = this.kind === "pair" ? scale(assignment.allow, this.slots) : [];
    this.given = new Map(this.dimensions.map((dimension) => [dimension, this.empty()]));
  }

  empty() {
    return { choice: null, places: new Map(), bothBad: false };
  }

  /** Whether one key is the whole judgment. */
  get isOneKey() {
    return this.kind === "pair" && this.dimensions.length === 1;
  }

  choose(dimension, choice) {
    this.given.set(dimension, { ...this.empty(), choice });
  }

  chooseBad(dimension) {
    const was = this.given.get(dimension).bothBad;
    this.given.set(dimension, { ...this.empty(), bothBad: !was });
  }

  /**
   * Give a response a place, or take it away when it has that place already.
   * Without ties whoever holds the place loses it.
   */
  place(dimension, slot, place) {
    const { places } = this.given.get(dimension);
    const isSame = places.get(slot) === place;
    const next = new Map([...places].filter(([other, held]) => other !== slot && (this.ties || held !== place)));
    if (!isSame) next.set(slot, place);
    this.given.set(dimension, { ...this.empty(), places: next });
  }

  /** Put a response behind those that have a place, or beside the last one; one that has a place loses it. */
  placeNext(dimension, slot, isTie) {
    const { places } = this.given.get(dimension);
    if (places.has(slot)) return this.place(dimension, slot, places.get(slot));
    const last = Math.max(0, ...places.values());
    return this.place(dimension, slot, isTie && last > 0 && this.ties ? last : last + 1);
  }

  /** The groups of a ranking, best first. @returns {number[][]} */
  groups(dimension) {
    const { places } = this.given.get(dimension);
    const used = [...new Set(places.values())].sort((a, b) => a - b);
    return used.map((place) => this.slots.filter((slot) => places.get(slot) === place));
  }

  isDone(dimension) {
    const { choice, places, bothBad } = this.given.get(dimension);
    return bothBad || choice !== null || (this.kind === "ranking" && places.size === this.slots.length);
  }

  /** The first dimension without an answer, from one on. @returns {string | undefined} */
  open(from = this.dimensions[0]) {
    const at = this.dimensions.indexOf(from);
    return [...this.dimensions.slice(at), ...this.dimensions.slice(0, at)].find((name) => !this.isDone(name));
  }

  /** As the API takes them. */
  submission() {
    return this.dimensions.map((dimension) => {
      const { choice, bothBad } = this.given.get(dimension);
      if (bothBad) return { dimension, ranking: null, both_bad: true, strength: null };
      const ranking = this.kind === "pair" ? this.pairRanking(choice) : this.groups(dimension);
      return { dimension, ranking, both_bad: false, strength: choice?.strength ?? null };
    });
  }

  pairRanking(choice) {
    if (choice.winner === null) return [[...this.slots]];
    return [[choice.winner], this.slots.filter((slot) => slot !== choice.winner)];
  }

  /** Take over what the API gave back of an undone judgment. */
  restore(answers) {
    for (const { dimension, ranking, both_bad: bothBad, strength } of answers) {
      if (!this.given.has(dimension)) continue;
      const given = { ...this.empty(), bothBad };
      if (ranking && this.kind === "ranking") {
        ranking.forEach((group, at) => group.forEach((slot) => given.places.set(slot, at + 1)));
      } else if (ranking) {
        const winner = ranking.length === 1 ? null : ranking[0][0];
        given.choice = this.scale.find((choice) => choice.winner === winner && (choice.strength ?? null) === (strength ?? null)) ?? null;
      }
      this.given.set(dimension, given);
    }
  }
}

/** What a response is called: letters in a pair, numbers (which are its keys) in a ranking. */
export function nameOf(assignment, slot) {
  const at = assignment.responses.findIndex((response) => response.slot === slot);
  return assignment.kind === "pair" ? "AB"[at] : String(at + 1);
}
