/** Marked parts of a text. */

/**
 * The spans without what lies between start and end: a new mark takes the place of old ones, and never overlaps them.
 * @param {{start: number, end: number}[]} spans
 * @param {number} start
 * @param {number} end
 */
export function without(spans, start, end) {
  return spans.flatMap((span) => {
    const left = { ...span, end: Math.min(span.end, start) };
    const right = { ...span, start: Math.max(span.start, end) };
    return [left, right].filter((part) => part.start < part.end);
  });
}
