"""A linear model over the stretches of a text: every sentence, and what follows its beginning, gets a score.

A stretch begins where a sentence begins and is one sentence, three sentences, or 16, 48 or 128 words long. Its score is
bias + the sum over the blocks (words, beginnings of sentences, characters) of the block's weights / sqrt(their number).
Stretches begin at sentences and not at fixed places, so that text put before an attack does not move them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backstay.scan.window_features import Piece

SCALES = ("sentence", "three_sentences", "16_words", "48_words", "128_words")
_RUNS = (1, 3)
_WORDS = (16, 48, 128)

LEAST_CHARACTERS = 12
"""Letters, digits and gaps that a stretch needs to score above the bias: a word alone says nothing."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stretches:
    """Word places `first` to `last` (exclusive) of each stretch, and the sentence `segment` that it begins with.

    Stretches of one scale stand together: `len(segment) // len(SCALES)` of each.
    """

    first: Ints
    last: Ints
    segment: Ints
    last_segment: Ints


def stretches(piece: Piece) -> Stretches:
    """All stretches of a piece, by scale and then by place."""
    count, words = piece.segments, len(piece.starts)
    begin = np.searchsorted(piece.segment, np.arange(count + 1))
    numbers = np.arange(count)
    ends = [begin[np.minimum(numbers + run, count)] for run in _RUNS]
    ends += [np.minimum(begin[:-1] + size, words) for size in _WORDS]
    last = np.concatenate(ends)
    first, segment = np.tile(begin[:-1], len(SCALES)), np.tile(numbers, len(SCALES))
    last_segment = piece.segment[np.maximum(last - 1, 0)] + 1 if words else segment
    return Stretches(first, last, segment, last_segment)


def sizes(piece: Piece, these: Stretches) -> tuple[Ints, Ints, Ints, Ints]:
    """First and last place in `chars`, and numbers of words and sentences of each stretch."""
    if not len(these.first):
        empty = np.zeros(0, np.int64)
        return empty, empty, empty, empty
    return (
        piece.char_starts[these.first],
        piece.char_ends[these.last - 1],
        these.last - these.first,
        these.last_segment - these.segment,
    )


def stretch_scores(piece: Piece, these: Stretches, weights: NDArray[np.floating], bias: float) -> Floats:
    """The score of each stretch under one weight a bucket."""
    begin, end, words, firsts = sizes(piece, these)
    if not len(begin):
        return np.zeros(0)
    blocks = (
        (piece.words, these.first, these.last, 3 * words),
        (piece.firsts, these.segment, these.last_segment, 4 * firsts),
        (piece.chars, begin, end, 3 * (end - begin)),
    )
    total = np.full(len(begin), bias)
    for buckets, low, high, number in blocks:
        sums = np.concatenate([[0.0], np.cumsum(weights[buckets].sum(axis=0))])
        total += (sums[high] - sums[low]) / np.sqrt(np.maximum(number, 1))
    return np.where(end - begin >= LEAST_CHARACTERS, total, np.minimum(total, bias))
