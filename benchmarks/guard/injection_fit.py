"""Fitting of the injection heads: logistic regression on stretches, then a level for each scale."""

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from injection_corpora import Row
from scipy import sparse
from scipy.optimize import minimize

from backstay.scan.view import View
from backstay.scan.window_features import Piece, read_piece
from backstay.scan.window_model import SCALES, sizes, stretch_scores, stretches

BITS = 17
PER_TEXT = 14
"""Stretches of a text that are learned from."""
OUT_OF_REACH = 1e6
INSIDE, OUTSIDE = 0.6, 0.1
"""Share of a stretch's characters inside an attack from which, and up to which, it is one, or none."""


def pieces_of(rows: Sequence[Row]) -> list[Piece]:
    return [read_piece(View.of(row.text).text, BITS) for row in rows]


def labelled(row: Row, piece: Piece, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places of some stretches of a text and whether each is an attack; those that are half of each are left out."""
    these = stretches(piece)
    if not len(these.first):
        return np.zeros(0, int), np.zeros(0, bool)
    begin, end, words = piece.starts[these.first], piece.ends[these.last - 1], these.last - these.first
    low, high = row.span or ((0, len(row.text)) if row.label else (0, 0))
    share = np.clip(np.minimum(end, high) - np.maximum(begin, low), 0, None) / np.maximum(end - begin, 1)
    distinct = np.unique(np.stack([begin, end]), axis=1, return_index=True)[1]
    truth = share >= INSIDE
    usable = distinct[((share >= INSIDE) | (share <= OUTSIDE))[distinct] & (words >= 2)[distinct]]
    kept = np.concatenate([_some(usable[truth[usable]], rng), _some(usable[~truth[usable]], rng)])
    return kept, truth[kept]


def _some(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return places if len(places) <= PER_TEXT else np.sort(rng.choice(places, PER_TEXT, replace=False))


def table_of(piece: Piece, kept: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Buckets and values of each kept stretch."""
    these = stretches(piece)
    begin, end, _, _ = sizes(piece, these)
    columns, values = [], []
    for at in kept:
        blocks = (
            piece.words[:, these.first[at] : these.last[at]],
            piece.firsts[:, these.segment[at] : these.last_segment[at]],
            piece.chars[:, begin[at] : end[at]],
        )
        columns.append(np.concatenate([block.ravel() for block in blocks]))
        values.append(
            np.concatenate(
                [np.full(block.size, block.size**-0.5 if block.size else 0.0, np.float32) for block in blocks]
            )
        )
    return columns, values


class Instances:
    """All stretches that are learned from, with their text's number and weight."""

    def __init__(self, rows: Sequence[Row], pieces: Sequence[Piece], seed: int = 0) -> None:
        columns: list[np.ndarray] = []
        values: list[np.ndarray] = []
        truth, owner, mass = [], [], []
        sources = Counter((row.source, row.label) for row in rows)
        for number, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
            kept, labels = labelled(row, piece, np.random.default_rng(zlib.crc32(row.text.encode()) + seed))
            c, v = table_of(piece, kept)
            columns += c
            values += v
            truth.append(labels)
            owner += [number] * len(kept)
            mass.append(np.full(len(kept), sources[row.source, row.label] ** -0.5 / np.maximum(len(kept), 1) ** 0.7))
        ends = np.concatenate([[0], np.cumsum([len(c) for c in columns])])
        self.table = sparse.csr_array(
            (np.concatenate(values), np.concatenate(columns).astype(np.int32), ends),
            (len(columns), 1 << BITS),
            dtype=np.float32,
        )
        self.table.sum_duplicates()
        self.truth, self.owner, self.mass = np.concatenate(truth), np.array(owner), np.concatenate(mass)


def refined(data: Instances, chosen: np.ndarray, l2: float, rounds: int) -> tuple[np.ndarray, float]:
    """Fitted weights; in each further round without the stretches of attacks that score as harmless."""
    weights, bias = fit_weights(data, chosen, l2)
    for _ in range(rounds):
        scores = data.table @ weights.astype(np.float32) + bias
        weights, bias = fit_weights(data, chosen & (~data.truth | (scores > 0)), l2)
    return weights, bias


def fit_weights(data: Instances, chosen: np.ndarray, l2: float, iterations: int = 80) -> tuple[np.ndarray, float]:
    """Weighted logistic regression by L-BFGS from zero: the same rows give the same weights."""
    table = data.table[np.flatnonzero(chosen)]
    turned = table.T.tocsr()
    truth, mass = data.truth[chosen], data.mass[chosen].copy()
    for side in (truth, ~truth):
        mass[side] /= 2 * mass[side].sum()
    sign = np.where(truth, 1.0, -1.0)

    def loss(packed: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (table @ packed[:-1].astype(np.float32) + packed[-1])
        slope = -mass * sign / (1.0 + np.exp(np.clip(margin, -500, 500)))
        value = (mass * np.logaddexp(0.0, -margin)).sum() + l2 / 2 * (packed[:-1] @ packed[:-1])
        return value, np.append(turned @ slope.astype(np.float32) + l2 * packed[:-1], slope.sum())

    best = minimize(loss, np.zeros((1 << BITS) + 1), jac=True, method="L-BFGS-B", options={"maxiter": iterations}).x
    return best[:-1], float(best[-1])


def best_scores(pieces: Sequence[Piece], weights: np.ndarray, bias: float) -> np.ndarray:
    """One line a text: its greatest score at each scale; the bias where there is no word."""
    found = np.full((len(pieces), len(SCALES)), bias)
    for number, piece in enumerate(pieces):
        scores = stretch_scores(piece, stretches(piece), weights, bias)
        if len(scores):
            found[number] = scores.reshape(len(SCALES), -1).max(axis=1)
    return found


def levels_of(best: np.ndarray, mass: np.ndarray, share: float, scales: Sequence[int]) -> np.ndarray:
    """Of benign texts' best scores: a level for each of these scales, such that `share` of the mass is above any.

    The same share of the mass is above each level alone; a scale that is not used has a level out of reach.
    """
    low, high = 0.0, share
    for _ in range(40):
        each = (low + high) / 2
        levels = _quantiles(best, mass, each, scales)
        above = (best > levels).any(axis=1)
        low, high = (low, each) if (above * mass).sum() > share * mass.sum() else (each, high)
    return _quantiles(best, mass, low, scales)


def _quantiles(best: np.ndarray, mass: np.ndarray, share: float, scales: Sequence[int]) -> np.ndarray:
    levels = np.full(best.shape[1], OUT_OF_REACH)
    for scale in scales:
        order = np.argsort(best[:, scale])[::-1]
        at = np.searchsorted(np.cumsum(mass[order]) / mass.sum(), share, side="right")
        levels[scale] = best[order[at], scale] + 1e-6
    return levels
